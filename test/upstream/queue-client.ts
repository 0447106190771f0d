// An upstream client against a scripted server, closed with its test, with waits short enough for tests.

import type { Upstream } from '../../src/generation/upstream.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { createUpstreams, type UpstreamOptions, type Upstreams } from '../../src/upstream/queue.ts'
import { scriptedServer, type ScriptedServer, type Scripts } from '../support/scripted-server.ts'

export const MODEL = 'fal-ai/imagen4/preview/ultra'
export const KEY = 'key-id:key-secret'
export const REQUEST_ID = '7d1e0a52-6a3b-4bb5-9f0e-2d5a1f3c9b10'
export const REQUEST_PATH = `/queue/fal-ai/imagen4/requests/${REQUEST_ID}`

export interface Bench {
  readonly upstream: Upstream & Pick<Upstreams, 'close'>
  readonly server: ScriptedServer
  /** What the metric was told: `submit 2xx`. */
  readonly counted: readonly string[]
  /** Everything that was logged, as text. */
  readonly logged: () => string
  readonly signal: AbortSignal
}

export async function queueClient (t: { readonly teardown: (close: () => Promise<void>) => void }, scripts: Scripts, options: Partial<UpstreamOptions> = {}): Promise<Bench> {
  const server = await scriptedServer(t, scripts)
  const counted: string[] = []
  const lines: string[] = []
  const log = (facts: object, message: string): void => { lines.push(JSON.stringify(facts) + message) }
  const { of, close } = createUpstreams({
    models: () => builtInModels,
    queueUrl: () => `${server.url}/queue`,
    keyOf: () => KEY,
    onRequest: (operation, outcome) => counted.push(`${operation} ${outcome}`),
    log: { debug: log, warn: log, error: log },
    ...options,
    timeouts: { pollMs: 1, pollMaxMs: 2, troubleMs: 1, troubleMaxMs: 2, ...options.timeouts }
  })
  t.teardown(close)
  return { upstream: { ...of(null), close }, server, counted, logged: () => lines.join('\n'), signal: new AbortController().signal }
}
