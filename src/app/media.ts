// Stored files: what stores them, and what the doors serve.

import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { StoredFiles } from '../generation/media.ts'
import type { FileKeeper } from '../generation/run/keep-files.ts'
import { endingIn } from '../media/file-name.ts'
import { createKeeper } from '../media/keeper.ts'
import { kindOf } from '../media/kinds.ts'
import { createMediaLinks } from '../media/links.ts'
import type { Metrics } from '../metrics.ts'
import { followFiles } from './files.ts'
import { faultOf, openMediaStore, readKeys, removalTermsOf } from './media-place.ts'
import type { WayToFiles } from './way-to-files.ts'

export interface Media {
  readonly keeper: FileKeeper
  readonly files: StoredFiles
  /** Follows the file of keys, where there is one. */
  readonly start: () => void
  /** Reads that file again. */
  readonly reload: () => Promise<void>
  readonly close: () => Promise<void>
}

export interface MediaOptions {
  readonly config: Config
  readonly way: WayToFiles
  readonly expectFile: Ledger['expectFile']
  readonly log: Logger
  readonly metrics: Metrics
}

/** Where files are not kept: `null`. Rejects with a sentence that says what is wrong with the place for them, and what to do. */
export async function openMedia ({ config, way, expectFile, log, metrics }: MediaOptions): Promise<Media | null> {
  const { media } = config
  if (media === null) return null
  const { store, bucketKeys } = await openMediaStore(config, media)
  const wrong = await faultOf(store, media)
  if (wrong?.isLasting === true) throw new Error(wrong.sentence)
  if (wrong !== null) log.warn({ reason: wrong.sentence }, 'stored files are out of reach')
  const read = await readKeys(media)
  if (!read.ok) throw new Error(read.faults.join('; '))
  let keys = read.value
  const keeper = createKeeper({
    store,
    allowed: way.allowed,
    connect: way.connect,
    maxBytes: media.maxFileBytes,
    expect: async (name, bytes) => await expectFile(name, bytes, media.maxBytes),
    onFile: (outcome, why, bytes) => {
      metrics.mediaFile(outcome)
      metrics.mediaBytes(bytes)
      if (outcome !== 'stored') log.warn({ outcome, reason: why }, 'file not kept')
    }
  })

  const followed = followFiles({ what: 'keys of links', files: [media.keyFile], read: async () => await readKeys(media), take: read => { keys = read }, log })
  const bucketFollowed = bucketKeys === null ? null : followFiles({ ...bucketKeys, what: 'keys to the bucket', log })

  return {
    keeper: {
      waitMs: media.waitMs,
      removal: { remove: store.remove, terms: removalTermsOf(media) },
      keep: async (address, signal) => await keeper.keep(way.reached(address), signal)
    },
    files: {
      links: createMediaLinks({ keys: () => keys, lastsMs: media.linkMs, now: Date.now }),
      open: store.open,
      bytesOf: store.bytesOf,
      kindOf: name => kindOf(endingIn(name))
    },
    start: () => {
      followed.start()
      bucketFollowed?.start()
    },
    reload: async () => {
      await followed.reload()
      await bucketFollowed?.reload()
    },
    close: async () => {
      followed.stop()
      bucketFollowed?.stop()
      await keeper.close()
      await store.close()
    }
  }
}
