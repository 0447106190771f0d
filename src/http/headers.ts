// The gateway's headers, each once: its name, what it says, and with which answers it is documented. Web pages may send and read all of them.
// Those of fal's protocol are in `fal-wire/headers.ts`.

/** Routes whose documentation names headers: `POST /generate`, `POST /generations`, and events. */
type HeaderRoute = 'generate' | 'generations' | 'events'

/** A header of a request; `on`: what it means on the routes whose documentation names it. What its value may be is checked where it is read; `values` tells it. */
interface RequestHeader { readonly name: string, readonly on: { readonly [Route in HeaderRoute]?: string }, readonly values?: readonly string[] }

/** What `Falgate-Cache` may say. */
export const cacheModes = ['refresh', 'bypass', 'reuse', 'only'] as const

/** On both routes that make pictures. */
function onBoth (meaning: string): { readonly generate: string, readonly generations: string } {
  return { generate: meaning, generations: meaning }
}

const request = {
  idempotencyKey: { name: 'Idempotency-Key', on: onBoth('Up to 255 visible characters. The same key with the same body costs nothing for 24 hours') },
  prefer: {
    name: 'Prefer',
    on: {
      generate: '`respond-async` does not wait, `wait=n` waits n seconds at most (RFC 7240); not done by then is a 202, whose body is a `Generation`. Generated clients, and tools that hold answers to one schema, leave it out and call `POST /generations`, which always answers in that way',
      generations: '`wait=n` waits n seconds at most before it answers (RFC 7240)'
    }
  },
  cache: { name: 'Falgate-Cache', on: onBoth('`refresh` buys afresh and stores, `bypass` neither reads nor stores, `reuse` takes any stored picture of an input without a seed or buys one, `only` answers from what is stored or 504'), values: cacheModes },
  webhook: { name: 'Falgate-Webhook', on: onBoth('An https address, of a host that the tenant lists, that is told when the generation has ended: at least once, signed by Standard Webhooks') },
  dryRun: { name: 'Falgate-Dry-Run', on: { generate: '`1` tells what would happen, as a `DryRun`, and buys nothing. Of a replica that does not know it, it is a call like any other: look for the header in the answer' }, values: ['1'] },
  retryCount: { name: 'X-Stainless-Retry-Count', on: onBoth('How many times the client has repeated this call, as clients that Stainless made tell by themselves. Above 0 the caller of the same request that still waits counts as gone') },
  requestId: { name: 'X-Request-Id', on: onBoth('Kept when it matches `[\\w.-]{1,128}`') },
  lastEventId: { name: 'Last-Event-ID', on: { events: 'The `id` of the last event that was read. What cannot be read begins at the beginning' } }
} as const satisfies Record<string, RequestHeader>

/** A header of answers; `at`: the statuses that it is documented with, or `all` where every answer has it. */
interface AnswerHeader { readonly name: string, readonly at: 'all' | readonly number[], readonly meaning: string }

const answer = {
  requestId: { name: 'X-Request-Id', at: 'all', meaning: 'The request\'s own, or a new one. It is in every line of the log about the request' },
  generation: { name: 'Falgate-Generation', at: [200, 202], meaning: 'The id to read, follow and cancel it by; not on a stored result that another tenant bought' },
  location: { name: 'Location', at: [202, 504], meaning: 'Of a 202 and of a 504 `still-running`: where to read the generation' },
  cacheStatus: { name: 'Cache-Status', at: [200, 202], meaning: 'RFC 9211: `hit`, or why it was forwarded; `detail` says `bought`, `joined`, `replayed` or `adopted`, `dead-link` where what was stored has files that are gone, and of a stored failure `failed-before` or `unknown-before`' },
  age: { name: 'Age', at: [200, 202], meaning: 'How many seconds ago a stored result, or a stored failure, was made' },
  cost: { name: 'Falgate-Cost-Usd', at: [200, 202], meaning: 'What this answer cost, where that is known' },
  saved: { name: 'Falgate-Saved-Usd', at: [200, 202], meaning: 'What it would have cost without the gateway' },
  dryRun: { name: 'Falgate-Dry-Run', at: [200], meaning: '`1` on the answer to a dry run: nothing was bought, and the body is a `DryRun`' },
  ignored: { name: 'Falgate-Ignored', at: [], meaning: 'At fal\'s doors: fields of the body that the model does not have, and that were left out' },
  mapped: { name: 'Falgate-Mapped', at: [], meaning: 'At OpenAI\'s door: what was meant in other words of the model, as a structured field' },
  processingMs: { name: 'OpenAI-Processing-Ms', at: [], meaning: 'At OpenAI\'s door: how many milliseconds the gateway took' },
  shouldRetry: { name: 'X-Should-Retry', at: [], meaning: 'At OpenAI\'s door: `false` keeps its clients from repeating a request' },
  retryAfterMs: { name: 'Retry-After-Ms', at: [], meaning: 'At OpenAI\'s door: `Retry-After` in milliseconds' },
  replayed: { name: 'Idempotent-Replayed', at: [200, 202], meaning: '`true` on an answer to a repeated key' },
  rateLimitPolicy: { name: 'RateLimit-Policy', at: 'all', meaning: 'The limits of the tenant\'s calls, and of its purchases where one was tried (draft-ietf-httpapi-ratelimit-headers-11)' },
  rateLimit: { name: 'RateLimit', at: 'all', meaning: 'What is left of these limits' },
  retryAfter: { name: 'Retry-After', at: [429, 503, 504], meaning: 'In how many seconds to ask again' },
  preferenceApplied: { name: 'Preference-Applied', at: [202], meaning: 'Which `Prefer` was followed' },
  wwwAuthenticate: { name: 'WWW-Authenticate', at: [401], meaning: 'Of a 401: how to send a key' },
  allow: { name: 'Allow', at: [405], meaning: 'Of a 405: the methods that the address takes' },
  serverTiming: { name: 'Server-Timing', at: 'all', meaning: 'How many milliseconds the gateway took, waiting included' }
} as const satisfies Record<string, AnswerHeader>

/** Names of request headers as Node gives them: in lower case. */
export const requestHeaders = namesOf(request)

/** Names of answer headers, in lower case, which spares Fastify changing them. */
export const answerHeaders = namesOf(answer)

/** What the documents tell of the request headers of a route. */
export function describedRequestHeaders (route: HeaderRoute): readonly { readonly name: string, readonly meaning: string, readonly values: readonly string[] | null }[] {
  return Object.values<RequestHeader>(request).flatMap(({ name, on, values = null }) => {
    const meaning = on[route]
    return meaning === undefined ? [] : [{ name, meaning, values }]
  })
}

/** What the documents tell of answer headers. */
export const describedAnswerHeaders: readonly AnswerHeader[] = Object.values(answer)

/** The documentation of the headers that only some answers have, of those with this status; `alsoCommon`: and of those that every answer has. */
export function headersAt (status: number, { alsoCommon = false } = {}): Record<string, { readonly type: 'string', readonly description: string }> {
  const of = describedAnswerHeaders.filter(({ at }) => at === 'all' ? alsoCommon : at.includes(status))
  return Object.fromEntries(of.map(({ name, meaning }) => [name, { type: 'string', description: `${meaning}.` }]))
}

function namesOf<Key extends string> (headers: Readonly<Record<Key, { readonly name: string }>>): Readonly<Record<Key, string>> {
  const names = Object.entries<{ readonly name: string }>(headers).map(([key, { name }]) => [key, name.toLowerCase()])
  return Object.fromEntries(names) as Readonly<Record<Key, string>> // the same keys
}
