// Whether fal can be reached from here, and takes the key: asked without buying anything.

import { Agent } from 'undici'
import { requestUrls } from '../fal-wire/endpoint-id.ts'
import { queueWords } from '../fal-wire/status.ts'
import { exchange, headerOf, noAnswerOf, targetOf, type NoAnswer } from './exchange.ts'
import { parseObject } from './queue-status.ts'
import { createConnector, isExcepted, type Proxy } from './way.ts'

/** The way to a host: how long it took, and whether it led through the proxy; or why there is none. */
export type Way = { readonly ok: true, readonly tookMs: number, readonly isByProxy: boolean } | { readonly ok: false, readonly trouble: Pick<NoAnswer, 'why' | 'code'>, readonly isByProxy: boolean }

export interface ProbeOptions {
  readonly proxy: Proxy | null
  /** For each connection, and for each answer. */
  readonly timeoutMs: number
}

/** Connects to the host of a URL as a submit would, TLS included, and says nothing. Never rejects. */
export async function probeWay (url: string, { proxy, timeoutMs }: ProbeOptions): Promise<Way> {
  const { protocol, host, hostname, port } = new URL(url)
  const isByProxy = proxy !== null && protocol === 'https:' && !isExcepted({ hostname, port }, proxy.except)
  const beganMs = performance.now()
  return await new Promise(resolve => {
    createConnector({ proxy, timeoutMs })({ protocol, host, hostname, port }, (error, socket) => {
      // undici gives no socket beside an error, not even `null`.
      if (error === null) socket.destroy()
      resolve(error === null ? { ok: true, tookMs: performance.now() - beganMs, isByProxy } : { ok: false, trouble: noAnswerOf(error), isByProxy })
    })
  })
}

/**
 * What fal says to this key. `taken`: it was no reason to refuse. `refused`: 401. `blocked`: 403, as for an account without a balance. `unclear`: another answer than
 * those that are documented, by its status. `dateMs`: the clock of who answered, to the second.
 */
export type KeyProbe =
  | { readonly outcome: 'taken' | 'refused' | 'blocked', readonly dateMs: number | null }
  | { readonly outcome: 'unclear', readonly status: number, readonly dateMs: number | null }
  | { readonly outcome: 'no-answer', readonly trouble: NoAnswer }

const BODY_LIMIT_BYTES = 65_536

/** A request of this id was never made. */
const NOBODYS_REQUEST = '00000000-0000-4000-8000-000000000000'

/**
 * Asks for the status of a request that does not exist. It is documented that fal answers 404 with a word of its own to that, and 401 to a wrong key, and
 * asking for a status buys nothing. `queueUrl`: base of the queue without a trailing slash. Never rejects.
 */
export async function probeKey (queueUrl: string, { proxy, timeoutMs }: ProbeOptions, endpointId: string, key: string): Promise<KeyProbe> {
  const agent = new Agent({ connections: 1, connect: createConnector({ proxy, timeoutMs }) })
  const answer = await exchange(agent, {
    ...targetOf(requestUrls(queueUrl, endpointId, NOBODYS_REQUEST).status),
    method: 'GET',
    headers: { authorization: `Key ${key}`, accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'falgate' }
  }, { deadlineMs: timeoutMs, bodyLimitBytes: BODY_LIMIT_BYTES })
  await agent.destroy()
  if (answer.kind === 'no-answer') return { outcome: 'no-answer', trouble: answer }
  const date = Date.parse(headerOf(answer, 'date') ?? '')
  const dateMs = Number.isNaN(date) ? null : date
  if (answer.status === 401) return { outcome: 'refused', dateMs }
  if (answer.status === 403) return { outcome: 'blocked', dateMs }
  // Whatever else answers 404 says nothing of the key.
  const isQueues = answer.status === 404 && answer.text !== null && parseObject(answer.text)?.['status'] === queueWords.notFound
  return isQueues ? { outcome: 'taken', dateMs } : { outcome: 'unclear', status: answer.status, dateMs }
}
