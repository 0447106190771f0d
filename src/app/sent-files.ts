// Files of callers: where they are until they are bought with, and what carries them to where the upstream reads them.

import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { SentFiles } from '../generation/sent-file.ts'
import { createUploadedFiles, createInlineFiles } from '../media/sent-files.ts'
import { openOwnSpool } from '../media/spool.ts'
import type { Metrics } from '../metrics.ts'
import { lookUpPublic } from '../public-address.ts'
import { settings } from '../settings.ts'
import { accountText } from '../upstream-account.ts'
import { createUploads, type Uploads } from '../upstream/uploads.ts'
import { createConnector } from '../upstream/way.ts'
import type { CentralKeys } from './reloadable.ts'
import type { OwnBase } from './way-to-files.ts'

const CONNECT_MS = 10_000

export interface SentFilesOptions {
  readonly config: Pick<Config, 'uploads' | 'proxy'>
  readonly keys: Pick<CentralKeys, 'accounts' | 'of'>
  /** The sandbox in this process: what addresses of its files begin with, and where this process finds these. */
  readonly sandbox: () => OwnBase
  readonly log: Logger
  readonly metrics: Metrics
}

/** Rejects where a folder for them cannot be made. */
export async function openSentFiles (options: SentFilesOptions): Promise<{ readonly files: SentFiles, readonly close: () => Promise<void> }> {
  const { uploads } = options.config
  if (uploads === null) return { files: createInlineFiles(), close: async () => {} }
  const { upload, close } = openUploads(uploads.restUrl, options)
  const spool = await openOwnSpool()
  return {
    files: createUploadedFiles({ folder: spool.folder, upload }),
    close: async () => {
      await close()
      await spool.remove()
    }
  }
}

function openUploads (restUrl: string | null, { config: { proxy }, keys, sandbox, log, metrics }: SentFilesOptions): Uploads {
  const rest = createConnector({ proxy, timeoutMs: CONNECT_MS })
  return createUploads({
    restUrl: () => restUrl ?? sandbox().reached,
    accounts: () => keys.accounts().flatMap(account => {
      const key = keys.of(accountText(account))
      return key === null ? [] : [{ name: account.name, key }]
    }),
    connect: {
      rest,
      // Through a proxy it is the proxy that looks names up.
      public: createConnector({ proxy, timeoutMs: CONNECT_MS, lookup: lookUpPublic }),
      // It is the same host.
      ours: rest
    },
    ownOrigins: () => restUrl === settings.fal.restUrl.fallback ? [] : [new URL(restUrl ?? sandbox().reached).origin],
    reached: address => {
      const { told, reached } = sandbox()
      return restUrl === null && address.startsWith(`${told}/`) ? reached + address.slice(told.length) : address
    },
    onUpload: (outcome, bytes) => {
      metrics.upload(outcome)
      metrics.uploadBytes(bytes)
    },
    log
  })
}
