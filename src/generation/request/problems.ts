// The public face of what a ledger refuses and of how a generation ends.

import { Problem } from '../../errors.ts'
import { formatUsd } from '../../money.ts'
import type { End, RateState, Refused } from '../admission.ts'
import { costToReader, type Listed, type Generation } from '../generation.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import { hasEnded, type Phase } from '../phases.ts'
import type { CallOptions } from './call.ts'

/** A refusal after the purchases were counted, so that the answer can tell the state of the window. */
export class RefusedByRate extends Problem {
  readonly rate: RateState

  constructor (code: 'rate-limited' | 'queue-full' | 'budget-exhausted', rate: RateState, detail: string) {
    super(code, { detail, ...(code === 'rate-limited' ? { retryAfterSeconds: Math.max(1, rate.resetSeconds) } : {}) })
    this.rate = rate
  }
}

/** What lies aside for an hour goes bit by bit. */
const LARGE_RETRY_SECONDS = 60

/** How soon another process may be met, or this one have read the others' prices. */
const PRICES_RETRY_SECONDS = 5

/** Why an admission was refused. */
export function problemOfRefusal (refused: Refused): Problem {
  switch (refused.why) {
    case 'late':
      return new Problem('store-unavailable')
    case 'reused':
      return new Problem('idempotency-key-reused', { detail: 'Another request was sent with this Idempotency-Key in the last 24 hours. Take a new key for a new request.' })
    case 'breaker':
      switch (refused.breaker) {
        case 'retired': return new Problem('model-retired')
        case 'price-unsure': return new Problem('price-unsure', { retryAfterSeconds: refused.retryAfterSeconds, detail: 'It was billed above what is reserved for it. An operator has to look at that first; nothing is bought meanwhile.' })
        case 'account-blocked': return new Problem('upstream-account-blocked', { retryAfterSeconds: refused.retryAfterSeconds })
        default: return new Problem('upstream-unavailable', { retryAfterSeconds: refused.retryAfterSeconds })
      }
    case 'prices':
      return new Problem('price-table-differs', { retryAfterSeconds: PRICES_RETRY_SECONDS })
    case 'large':
      return new Problem('large-results-full', { retryAfterSeconds: LARGE_RETRY_SECONDS, detail: 'Results with pictures inside are kept for an hour, and those that are kept now leave no room. Without "sync_mode": true the model answers with addresses, for which there is room.' })
    case 'hooks':
      return new Problem('too-many-webhooks')
    case 'token':
      switch (refused.token) {
        case 'expired': return new Problem('token-expired')
        case 'exhausted': return new Problem('token-exhausted')
        default: return new Problem('token-revoked')
      }
    case 'rate':
      return new RefusedByRate('rate-limited', refused.rate, `This tenant may buy ${refused.rate.max} pictures in ${refused.rate.windowSeconds} seconds. Stored results and repeats are not counted.`)
    case 'full':
      return new RefusedByRate('queue-full', refused.rate, 'Wait until some of the generations under way have ended.')
    case 'budget':
      return new RefusedByRate('budget-exhausted', refused.rate, refused.owner === '*' ? 'The company\'s budget for this period is spent or reserved.' : 'The tenant\'s budget for this period is spent or reserved.')
  }
}

/** What leads a request to a generation that ended before: its key, its cache name (or, while it is `unknown`, its body), or nothing. */
export type LedBy = 'key' | 'name' | null

/** What is told of an end needs nothing that may be long. */
type Ended = Omit<Listed, 'input' | 'output'>

/** What leads the same request, sent once more, to this row, and for how long; only where that one answers again. */
export function answeringAgain (row: Ended, options: Pick<CallOptions, 'idempotencyKey' | 'seed' | 'mode'>, nowMs: number): { readonly ledBy: LedBy, readonly forMs: number } {
  const ledBy = answersAgain(row) ? leadOf(options, row) : null
  return { ledBy, forMs: ledBy === 'key' ? ledgerConstants.idempotencyMs : ledBy === 'name' ? Math.max(0, row.answersUntilMs - nowMs) : 0 }
}

function leadOf ({ idempotencyKey, seed, mode }: Pick<CallOptions, 'idempotencyKey' | 'seed' | 'mode'>, { phase }: Ended): LedBy {
  if (idempotencyKey !== null) return 'key'
  if (mode === 'reuse') return 'name'
  return mode === 'normal' && (seed !== null || phase === 'unknown') ? 'name' : null
}

/** What a generation that ended without a picture means for its callers, and how they get another one. */
export function problemOfGeneration (row: Ended, ledBy: LedBy = row.seed === null || row.cacheGroup === null ? null : 'name'): Problem {
  const { phase, failure, id: generationId } = row
  if (phase === 'unknown') return new Problem('outcome-unknown', { generationId, detail: `The request went out and no answer came, so up to $${formatUsd(row.price)} may have been spent. ${afterUnknown(row, ledBy)}` })
  const detail = [failure?.detail, answersAgain(row) ? afterBilled(row, ledBy) : undefined].filter(sentence => sentence !== undefined).join(' ')
  const facts = { generationId, ...(detail === '' ? {} : { detail }) }
  if (phase === 'cancelled') return new Problem('cancelled', facts)
  if (failure === null) return new Problem('internal', facts)
  return new Problem(failure.code, { ...facts, ...(failure.errors === undefined ? {} : { errors: failure.errors }) })
}

/**
 * The same, for its own caller: `ledBy` tells what leads the same request here again, and for how long. A client would send it sooner, so it is told to
 * wait a minute.
 */
export function problemOfFailed ({ row, ledBy, forMs }: { readonly row: Ended, readonly ledBy: LedBy, readonly forMs: number }): Problem {
  const { code, facts } = problemOfGeneration(row, ledBy)
  return new Problem(code, { ...facts, ...(forMs > 0 ? { retryAfterSeconds: Math.min(MAX_RETRY_AFTER_SECONDS, Math.ceil(forMs / 1000)) } : {}) })
}

const MAX_RETRY_AFTER_SECONDS = 60

/** Is the same request answered with this end for a while? It was billed, or may have been, and nobody called it off. */
function answersAgain ({ phase, cost, cancelWished }: Ended): boolean {
  return phase !== 'succeeded' && hasEnded(phase) && !cancelWished && (phase === 'unknown' || (cost ?? 0) > 0)
}

function afterUnknown ({ cancelWished }: Ended, ledBy: LedBy): string {
  if (cancelWished) return 'It was cancelled, so the same request buys another picture.'
  if (ledBy === 'key') return 'Nothing is bought under this Idempotency-Key for 24 hours; look at the generation, or send a new key with Falgate-Cache: refresh to buy another picture.'
  return 'Nothing is bought again for 15 minutes; look at the generation, or send Falgate-Cache: refresh to buy another picture.'
}

function afterBilled ({ answersUntilMs }: Ended, ledBy: LedBy): string | undefined {
  if (ledBy === 'key') return 'It was billed, so this Idempotency-Key gets this answer for 24 hours; a new key with Falgate-Cache: refresh buys another picture.'
  if (ledBy === null || answersUntilMs === 0) return undefined
  return `It was billed, so the same request gets this answer until ${new Date(answersUntilMs).toISOString()}; Falgate-Cache: refresh buys another picture at once.`
}

/**
 * What it means that the store does not know a generation any more and nobody put it back: what waited in the queue, as far as was seen here, was not bought; what
 * had gone out may have been.
 */
export function problemOfLost ({ id: generationId, price }: Pick<Generation, 'id' | 'price'>, lastSeen: Phase): Problem {
  if (lastSeen === 'waiting') return new Problem('generation-lost', { generationId, detail: 'The store forgot it while it waited for a slot, before it was sent to the model as far as is known here, so nothing was bought. The same request begins again.' })
  return new Problem('outcome-unknown', {
    generationId,
    detail: `The store forgot it after it had gone to the model, and no process put it back, so up to $${formatUsd(price)} may have been spent that nobody accounts for. The same request may buy another picture.`
  })
}

/** A success whose bytes the ledger does not have. */
export function resultGone (row: Generation): Problem {
  const cost = costToReader(row)
  return new Problem('result-expired', { generationId: row.id, ...(cost === null ? {} : { cost }) })
}

/** What is left of a generation, told to a caller that repeats its request under the key that it was made with. */
export function problemOfEnd ({ id, code, cost, finishedAtMs }: End): Problem {
  return new Problem(code, {
    generationId: id,
    cost,
    detail: `This Idempotency-Key stands for a generation that ended at ${new Date(finishedAtMs).toISOString()} and is not kept any more. Nothing is bought with it; take a new key to buy another picture.`
  })
}
