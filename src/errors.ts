// The catalogue of everything that can go wrong for a caller: one code, one status, one sentence.

import type { MicroUsd } from './money.ts'

/** What a caller who gets a problem should do next; the table "May I send it again?" of docs/errors.md is made of it. */
export type Again =
  | 'no' // the same request gets the same answer
  | 'after-change' // something has to be changed first: the request, the key, a limit, a budget
  | 'yes' // safe, and it costs nothing that was not wanted
  | 'billed-answers' // the same, except that what was billed answers the same request for a while
  | 'collect' // send it again or read the generation: nothing is bought twice

/** What the request that got a problem has cost; `nothing` where an entry does not say. */
export type Cost =
  | 'nothing'
  | 'as-billed' // the model was asked: what fal bills for that, often nothing
  | 'possible' // not known yet; the money is held until it is
  | 'once' // the picture is bought, and once only

/**
 * Which requests can meet a problem. From `calling` to `buying` each kind of request meets what the kinds before it meet, too: the documentation of a
 * route names its kind, and lists by hand only what is `certain`.
 */
export type MetBy =
  | 'arriving' // what is not yet the request of some route
  | 'calling' // every request that has to bring a key
  | 'reading' // whatever reads the ledger
  | 'changing' // whatever changes the ledger
  | 'buying' // whatever may buy a picture
  | 'certain' // requests of certain routes

/** What fal's clients are told where the status, or a name made of the code, would mislead them; `http/fal/render.ts` writes it. */
export interface FalEntry {
  readonly status?: number
  /** fal's own name, where it has one for the case. */
  readonly type?: string
  /** The time was the caller's own: no client repeats a request that ran out of it. */
  readonly isCallersTime?: true
}

/** What the catalogue says about a problem. */
export interface ProblemEntry {
  readonly status: number
  readonly metBy: MetBy
  readonly title: string
  readonly again: Again
  readonly cost?: Cost
  readonly fal?: FalEntry
  /** It was logged with its reason when it was found, and holds for everything that is tried meanwhile: no other line of the log tells it again. */
  readonly isLasting?: true
}

/**
 * Every problem a caller can meet: HTTP status, public sentence and what to do.
 * Codes are part of the contract; texts are not.
 *
 * fal's statuses: Python's client repeats a 409 nine times. JavaScript's repeats a 502 and a 504 three times, which could buy three more pictures, or
 * would be in vain; nobody repeats a 500, except JavaScript's when it asks for a status.
 */
export const problems = {
  'malformed-json': { status: 400, metBy: 'buying', title: 'The body is not valid JSON', again: 'after-change', fal: { type: 'bad_request' } },
  'bad-header': { status: 400, metBy: 'buying', title: 'A request header has a value that cannot be used', again: 'after-change', fal: { type: 'bad_request' } },
  'bad-query': { status: 400, metBy: 'certain', title: 'A query parameter has a value that cannot be used', again: 'after-change', fal: { type: 'bad_request' } },
  'key-in-address': { status: 400, metBy: 'calling', title: 'A key or token was sent in the address', again: 'after-change', fal: { type: 'bad_request' } },
  'target-refused': { status: 400, metBy: 'certain', title: 'The proxy does not go there', again: 'after-change', fal: { type: 'bad_request' } },
  'bad-request': { status: 400, metBy: 'arriving', title: 'The request could not be read', again: 'after-change', fal: { type: 'bad_request' } },
  'key-missing': { status: 401, metBy: 'calling', title: 'No key was sent', again: 'after-change' },
  'key-unknown': { status: 401, metBy: 'calling', title: 'The key is not known', again: 'after-change' },
  'key-expired': { status: 401, metBy: 'calling', title: 'The key has expired', again: 'after-change' },
  'token-expired': { status: 401, metBy: 'calling', title: 'The token has expired', again: 'after-change' },
  'ticket-unknown': { status: 401, metBy: 'certain', title: 'The ticket was used before, or has ended', again: 'after-change' },
  'token-revoked': { status: 401, metBy: 'calling', title: 'The token was revoked', again: 'after-change' },
  'budget-exhausted': { status: 402, metBy: 'buying', title: 'The budget is used up', again: 'after-change' },
  'token-exhausted': { status: 402, metBy: 'buying', title: 'The token has nothing left to spend', again: 'after-change' },
  'origin-not-allowed': { status: 403, metBy: 'calling', title: 'This origin may not use the key', again: 'after-change' },
  'link-refused': { status: 403, metBy: 'certain', title: 'This link does not open a file', again: 'after-change' },
  'model-closed': { status: 403, metBy: 'buying', title: 'Nobody has confirmed yet what this model costs', again: 'after-change' },
  'not-allowed': { status: 403, metBy: 'buying', title: 'This tenant may not ask for that', again: 'after-change' },
  'no-such-route': { status: 404, metBy: 'arriving', title: 'There is nothing at this address', again: 'no' },
  'model-unknown': { status: 404, metBy: 'buying', title: 'No model on offer has this endpoint id', again: 'after-change' },
  'no-such-generation': { status: 404, metBy: 'certain', title: 'No generation with this id can be seen with this key', again: 'no' },
  'no-such-file': { status: 404, metBy: 'certain', title: 'The file is not kept any more', again: 'no' },
  'no-such-token': { status: 404, metBy: 'certain', title: 'This tenant has no token with this id', again: 'no' },
  'method-not-allowed': { status: 405, metBy: 'arriving', title: 'This address does not take that method', again: 'after-change' },
  'request-timeout': { status: 408, metBy: 'arriving', title: 'The request did not arrive in time', again: 'yes' },
  'others-waiting': { status: 409, metBy: 'certain', title: 'Others wait for this generation, so it was not cancelled', again: 'no', fal: { status: 400 } },
  'already-finished': { status: 409, metBy: 'certain', title: 'The generation has already ended', again: 'no', fal: { status: 400 } },
  'generation-under-way': { status: 409, metBy: 'certain', title: 'The generation has not ended for good, so it was not deleted', again: 'after-change' },
  'model-retired': { status: 410, metBy: 'buying', title: 'The model is no longer offered upstream', again: 'no' },
  'result-expired': { status: 410, metBy: 'buying', title: 'The picture was made, but its result is not kept any more', again: 'after-change', cost: 'once', fal: { status: 500 } },
  'generation-deleted': { status: 410, metBy: 'buying', title: 'The generation was deleted', again: 'after-change', cost: 'once', fal: { status: 500 } },
  'body-too-large': { status: 413, metBy: 'buying', title: 'The body is too large', again: 'after-change' },
  'range-not-satisfiable': { status: 416, metBy: 'certain', title: 'The file has no such bytes', again: 'after-change' },
  'expectation-failed': { status: 417, metBy: 'arriving', title: 'The Expect header asks for something that is not offered', again: 'after-change' },
  'uri-too-long': { status: 414, metBy: 'arriving', title: 'The address is too long', again: 'after-change' },
  'not-json': { status: 415, metBy: 'buying', title: 'The body has to be application/json', again: 'after-change' },
  'price-unknown': { status: 422, metBy: 'buying', title: 'What this call costs at most cannot be told', again: 'after-change' },
  'invalid-input': { status: 422, metBy: 'buying', title: 'The input does not fit the model', again: 'after-change' },
  'bad-token-wish': { status: 422, metBy: 'certain', title: 'A token cannot be given out like that', again: 'after-change' },
  'content-refused': { status: 422, metBy: 'buying', title: 'The model refused to make this picture', again: 'after-change', cost: 'as-billed' },
  'idempotency-key-reused': { status: 422, metBy: 'buying', title: 'The idempotency key belongs to another request', again: 'after-change' },
  'rate-limited': { status: 429, metBy: 'calling', title: 'Too many requests in this window', again: 'yes', fal: { type: 'concurrent_requests_limit' } },
  'too-many-tokens': { status: 429, metBy: 'certain', title: 'The tenant has as many live tokens as it may', again: 'yes' },
  'too-many-webhooks': { status: 429, metBy: 'buying', title: 'Too many webhooks wait to be told', again: 'yes', fal: { type: 'concurrent_requests_limit' } },
  'queue-full': { status: 429, metBy: 'buying', title: 'The tenant has as many generations under way as it may', again: 'yes', fal: { type: 'concurrent_requests_limit' } },
  'wrong-host': { status: 421, metBy: 'arriving', title: 'The gateway is not known by that host name', again: 'after-change' },
  'headers-too-large': { status: 431, metBy: 'arriving', title: 'The request headers are too large', again: 'after-change' },
  cancelled: { status: 409, metBy: 'buying', title: 'The generation was cancelled', again: 'yes', cost: 'as-billed', fal: { status: 499, type: 'client_cancelled' } },
  internal: { status: 500, metBy: 'buying', title: 'Something went wrong here', again: 'collect', cost: 'possible', fal: { type: 'internal_error' } },
  'upstream-failed': { status: 502, metBy: 'buying', title: 'The model failed', again: 'billed-answers', cost: 'as-billed', fal: { status: 500, type: 'runner_server_error' } },
  'file-unavailable': { status: 502, metBy: 'certain', title: 'The picture was made, but its file could not be read', again: 'collect', cost: 'once' },
  'upload-failed': { status: 502, metBy: 'certain', title: 'The files of the request could not be handed to the upstream', again: 'yes' },
  'outcome-unknown': { status: 502, metBy: 'buying', title: 'It is not known whether the picture was bought', again: 'collect', cost: 'possible', fal: { status: 500 } },
  'store-unavailable': { status: 503, metBy: 'reading', title: 'The ledger cannot be reached, so nothing is bought', again: 'yes' },
  'store-unfit': { status: 503, metBy: 'reading', title: 'The store is not fit to buy with, so nothing is bought', again: 'yes', isLasting: true },
  'foreign-ledger': { status: 503, metBy: 'changing', title: 'The ledger is that of another upstream account, so this process does not buy', again: 'yes', isLasting: true },
  'media-unavailable': { status: 503, metBy: 'certain', title: 'Stored files cannot be read at the moment', again: 'yes' },
  'large-bodies-full': { status: 503, metBy: 'buying', title: 'Too many large requests are under way', again: 'yes' },
  'large-results-full': { status: 503, metBy: 'buying', title: 'There is no room for large results at the moment', again: 'yes' },
  'generation-lost': { status: 503, metBy: 'buying', title: 'The store lost the generation before it was sent', again: 'yes', fal: { type: 'runner_scheduling_failure' } },
  'upstream-unavailable': { status: 503, metBy: 'buying', title: 'The upstream cannot be reached', again: 'yes', fal: { type: 'runner_connection_error' } },
  'upstream-account-blocked': { status: 503, metBy: 'buying', title: 'The upstream does not accept work at the moment', again: 'yes' },
  'price-unsure': { status: 503, metBy: 'buying', title: 'What the model costs is not sure at the moment, so it is not bought', again: 'yes' },
  'price-table-differs': { status: 503, metBy: 'buying', title: 'This process has other prices than the ledger, so it does not buy', again: 'yes' },
  draining: { status: 503, metBy: 'buying', title: 'This process is shutting down', again: 'yes' },
  'still-running': { status: 504, metBy: 'buying', title: 'The generation is still running', again: 'collect', cost: 'once', fal: { type: 'request_timeout', isCallersTime: true } },
  'not-cached': { status: 504, metBy: 'buying', title: 'No stored result answers this request', again: 'after-change', fal: { status: 400 } },
  'start-timeout': { status: 504, metBy: 'certain', title: 'The generation did not start in the time that the request gave it', again: 'yes', fal: { type: 'request_timeout', isCallersTime: true } },
  'upstream-timeout': { status: 504, metBy: 'buying', title: 'The generation was not done in time', again: 'billed-answers', cost: 'as-billed', fal: { status: 500, type: 'request_timeout' } }
} as const satisfies Record<string, ProblemEntry>

export type ProblemCode = keyof typeof problems

const allCodes = Object.keys(problems).filter(isProblemCode)

/** One line of a 422: where, what, and the machine's name for it. */
export interface FieldFault {
  /** JSON pointer into the body, `''` for the body itself. */
  readonly path: string
  readonly message: string
  readonly code: string
  /** Limits that belong to the code, such as `{"le": 1}`. */
  readonly ctx?: Readonly<Record<string, unknown>>
}

/** What a problem may carry besides its code. */
export interface ProblemFacts {
  /** What a caller may read about this very case. Never holds keys, prompts or upstream texts. */
  readonly detail?: string
  readonly retryAfterSeconds?: number
  readonly errors?: readonly FieldFault[]
  readonly generationId?: string
  /** What that generation cost, where its result cannot be told any more. */
  readonly cost?: MicroUsd
  /** Further response headers: `Allow`, `WWW-Authenticate`, `Location`. */
  readonly headers?: Readonly<Record<string, string>>
  /** For the log only. */
  readonly cause?: unknown
}

/** A refusal or failure with a public face. Whatever is thrown and is not a `Problem` becomes `internal`. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly facts: ProblemFacts

  constructor (code: ProblemCode, facts: ProblemFacts = {}) {
    super(facts.detail ?? problems[code].title, { cause: facts.cause })
    this.name = 'Problem'
    this.code = code
    this.status = problems[code].status
    this.facts = facts
  }
}

/** A model that is not on offer until an operator has said what it costs. Whatever names it gets the same answer. */
export function modelClosed (): Problem {
  return new Problem('model-closed', { detail: 'An operator has to say so with `falgate model price`.' })
}

/** What the catalogue says about a code. */
export function entryOf (code: ProblemCode): ProblemEntry {
  return problems[code]
}

const kinds: readonly MetBy[] = ['calling', 'reading', 'changing', 'buying']

/** What every request of this kind can meet, in the order of the catalogue. */
export function problemsMetBy (kind: Exclude<MetBy, 'arriving' | 'certain'>): readonly ProblemCode[] {
  const met = kinds.slice(0, kinds.indexOf(kind) + 1)
  return allCodes.filter(code => met.includes(problems[code].metBy))
}

/** Is it the ledger that refuses, whatever is asked of it? */
export function isOfLedger (code: ProblemCode): boolean {
  const { metBy } = problems[code]
  return metBy === 'reading' || metBy === 'changing'
}

/** Is this text one of the catalogue's codes? */
export function isProblemCode (text: string): text is ProblemCode {
  return Object.hasOwn(problems, text)
}
