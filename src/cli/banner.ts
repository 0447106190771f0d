// What a start tells a human: where it listens, what is behind it, and a call to paste.

import type { Config } from '../config.ts'
import type { Model } from '../models/model.ts'
import { DEMO_KEY } from '../tenants/book.ts'
import { curlLines } from './curl.ts'

export interface Started {
  readonly config: Config
  /** The operator's names of the accounts at fal; none with the sandbox. */
  readonly accounts: readonly string[]
  /** The model that the call means. */
  readonly model: Model
  readonly version: string
  readonly url: string
  readonly seconds: number
}

/** The text for a terminal; with a curl only where its key is known. */
export function bannerText ({ config, accounts, model, version, url, seconds }: Started): string {
  const sandbox = config.fal.kind === 'sandbox'
  const demo = sandbox && config.tenantsFile === null
  return [
    '',
    `falgate ${version} listens on ${url} after ${seconds.toFixed(2)} s`,
    '',
    ...(sandbox
      ? [
          '  Upstream  a sandbox: pictures are drawn on this machine, they are not the model\'s',
          '            and cost nothing. For the real one set FAL_KEY and TENANTS_FILE',
          '            (README, "Production in ten minutes").'
        ]
      : [`  Upstream  ${config.falQueueUrl ?? 'this process'}${accounts.length > 1 ? `, accounts ${accounts.join(', ')}` : ''}: pictures cost money.`]),
    ...storeLines(config),
    ...fileLines(config),
    demo ? `  Key       ${DEMO_KEY}` : `  Keys      those of ${config.tenantsFile ?? 'the demo tenant'}`,
    `  Page      ${url}/`,
    `  Docs      ${url}/docs`,
    '',
    'Make a picture:',
    '',
    ...curlLines(`${url}/generate`, demo ? DEMO_KEY : '<key>', model.example),
    ''
  ].join('\n')
}

/** Where everything is kept, and what that means. */
function storeLines ({ redis, disk, fal }: Config): readonly string[] {
  if (redis !== null) return [`  Store     Redis at ${new URL(redis.url()).host}.`]
  if (disk !== null) return [`  Store     Everything is kept in ${disk.folder}; one process at a time.`]
  if (fal.kind === 'sandbox') return ['  Store     in this process: it ends with it, and so does everything in it.']
  return [
    '  Store     WARNING: in this process (STORE=memory). Paid pictures, budgets and idempotency',
    '            keys end with it.'
  ]
}

function fileLines ({ media }: Config): readonly string[] {
  if (media === null) return []
  const { at } = media
  return [`  Files     of results are kept in ${at.kind === 'folder' ? at.folder : `the bucket ${at.bucket.name}`}.`]
}
