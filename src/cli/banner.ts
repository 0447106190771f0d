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
    config.redis === null
      ? '  Store     in this process: it ends with it, and so does everything in it.'
      : `  Store     Redis at ${new URL(config.redis.url()).host}.`,
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
