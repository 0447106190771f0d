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

/** What the catalogue says about a problem. */
export interface ProblemEntry { readonly status: number, readonly title: string, readonly again: Again, readonly cost?: Cost }

/**
 * Every problem a caller can meet: HTTP status, public sentence and what to do.
 * Codes are part of the contract; texts are not.
 */
export const problems = {
  'malformed-json': { status: 400, title: 'The body is not valid JSON', again: 'after-change' },
  'bad-header': { status: 400, title: 'A request header has a value that cannot be used', again: 'after-change' },
  'bad-query': { status: 400, title: 'A query parameter has a value that cannot be used', again: 'after-change' },
  'target-refused': { status: 400, title: 'The proxy does not go there', again: 'after-change' },
  'bad-request': { status: 400, title: 'The request could not be read', again: 'after-change' },
  'key-missing': { status: 401, title: 'No key was sent', again: 'after-change' },
  'key-unknown': { status: 401, title: 'The key is not known', again: 'after-change' },
  'key-expired': { status: 401, title: 'The key has expired', again: 'after-change' },
  'token-expired': { status: 401, title: 'The token has expired', again: 'after-change' },
  'token-revoked': { status: 401, title: 'The token was revoked', again: 'after-change' },
  'budget-exhausted': { status: 402, title: 'The budget is used up', again: 'after-change' },
  'token-exhausted': { status: 402, title: 'The token has nothing left to spend', again: 'after-change' },
  'origin-not-allowed': { status: 403, title: 'This origin may not use the key', again: 'after-change' },
  'not-allowed': { status: 403, title: 'This tenant may not ask for that', again: 'after-change' },
  'no-such-route': { status: 404, title: 'There is nothing at this address', again: 'no' },
  'no-such-generation': { status: 404, title: 'No generation with this id can be seen with this key', again: 'no' },
  'method-not-allowed': { status: 405, title: 'This address does not take that method', again: 'after-change' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time', again: 'yes' },
  'others-waiting': { status: 409, title: 'Others wait for this generation, so it was not cancelled', again: 'no' },
  'already-finished': { status: 409, title: 'The generation has already ended', again: 'no' },
  'result-expired': { status: 410, title: 'The picture was made, but its result is not kept any more', again: 'after-change', cost: 'once' },
  'model-retired': { status: 410, title: 'The model is no longer offered upstream', again: 'no' },
  'body-too-large': { status: 413, title: 'The body is too large', again: 'after-change' },
  'uri-too-long': { status: 414, title: 'The address is too long', again: 'after-change' },
  'not-json': { status: 415, title: 'The body has to be application/json', again: 'after-change' },
  'invalid-input': { status: 422, title: 'The input does not fit the model', again: 'after-change' },
  'content-refused': { status: 422, title: 'The model refused to make this picture', again: 'after-change', cost: 'as-billed' },
  'idempotency-key-reused': { status: 422, title: 'The idempotency key belongs to another request', again: 'after-change' },
  'rate-limited': { status: 429, title: 'Too many requests in this window', again: 'yes' },
  'queue-full': { status: 429, title: 'The tenant has as many generations under way as it may', again: 'yes' },
  'headers-too-large': { status: 431, title: 'The request headers are too large', again: 'after-change' },
  cancelled: { status: 409, title: 'The generation was cancelled', again: 'yes', cost: 'as-billed' },
  internal: { status: 500, title: 'Something went wrong here', again: 'collect', cost: 'possible' },
  'upstream-failed': { status: 502, title: 'The model failed', again: 'billed-answers', cost: 'as-billed' },
  'outcome-unknown': { status: 502, title: 'It is not known whether the picture was bought', again: 'collect', cost: 'possible' },
  'store-unfit': { status: 503, title: 'The store is not fit to buy with, so nothing is bought', again: 'yes' },
  'foreign-ledger': { status: 503, title: 'The ledger is that of another upstream account, so this process does not buy', again: 'yes' },
  'store-unavailable': { status: 503, title: 'The ledger cannot be reached, so nothing is bought', again: 'yes' },
  'large-results-full': { status: 503, title: 'There is no room for large results at the moment', again: 'yes' },
  'generation-lost': { status: 503, title: 'The store lost the generation before it was sent', again: 'yes' },
  'upstream-unavailable': { status: 503, title: 'The upstream cannot be reached', again: 'yes' },
  'upstream-account-blocked': { status: 503, title: 'The upstream does not accept work at the moment', again: 'yes' },
  'price-unsure': { status: 503, title: 'What the model costs is not sure at the moment, so it is not bought', again: 'yes' },
  'price-table-differs': { status: 503, title: 'This process has other prices than the ledger, so it does not buy', again: 'yes' },
  draining: { status: 503, title: 'This process is shutting down', again: 'yes' },
  'still-running': { status: 504, title: 'The generation is still running', again: 'collect', cost: 'once' },
  'not-cached': { status: 504, title: 'No stored result answers this request', again: 'after-change' },
  'start-timeout': { status: 504, title: 'The generation did not start in the time that the request gave it', again: 'yes' },
  'upstream-timeout': { status: 504, title: 'The generation was not done in time', again: 'billed-answers', cost: 'as-billed' }
} as const satisfies Record<string, ProblemEntry>

export type ProblemCode = keyof typeof problems

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

/** Is this text one of the catalogue's codes? */
export function isProblemCode (text: string): text is ProblemCode {
  return Object.hasOwn(problems, text)
}
