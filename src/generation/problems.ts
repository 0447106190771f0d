// The public face of what a ledger refuses and of how a generation ends.

import { Problem } from '../errors.ts'
import { formatUsd } from '../money.ts'
import type { End, RateState, Refused } from './ports.ts'
import { costToReader, type Row } from './row.ts'

/** A refusal after the purchases were counted, so that the answer can tell the state of the window. */
export class RefusedByRate extends Problem {
  readonly rate: RateState

  constructor (code: 'rate-limited' | 'queue-full' | 'budget-exhausted', rate: RateState, detail: string) {
    super(code, { detail, ...(code === 'rate-limited' ? { retryAfterSeconds: Math.max(1, rate.resetSeconds) } : {}) })
    this.rate = rate
  }
}

/** How soon another process may be met, or this one have read the others' prices. */
const PRICES_RETRY_SECONDS = 5

/** Why an admission was refused. */
export function problemOfRefusal (refused: Refused): Problem {
  switch (refused.why) {
    case 'late':
      return new Problem('store-unavailable')
    case 'reused':
      return new Problem('idempotency-key-reused', { detail: 'Another request was sent with this Idempotency-Key in the last 24 hours. Take a new key for a new request.' })
    case 'guard':
      switch (refused.guard) {
        case 'retired': return new Problem('model-retired')
        case 'price-unsure': return new Problem('price-unsure', { retryAfterSeconds: refused.retryAfterSeconds, detail: 'It was billed above what is reserved for it. An operator has to look at that first; nothing is bought meanwhile.' })
        case 'account-blocked': return new Problem('upstream-account-blocked', { retryAfterSeconds: refused.retryAfterSeconds })
        default: return new Problem('upstream-unavailable', { retryAfterSeconds: refused.retryAfterSeconds })
      }
    case 'prices':
      return new Problem('price-table-differs', { retryAfterSeconds: PRICES_RETRY_SECONDS })
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

/** What a generation that ended without a picture means for its callers. */
export function problemOfRow (row: Row): Problem {
  const generationId = row.id
  if (row.phase === 'cancelled') return new Problem('cancelled', { generationId })
  if (row.phase === 'unknown') {
    const then = row.cancelWished
      ? 'It was cancelled, so the same request buys another picture.'
      : 'Nothing is bought again for 15 minutes; look at the generation, or send Falgate-Cache: refresh to buy another picture.'
    return new Problem('outcome-unknown', { generationId, detail: `The request went out and no answer came, so up to $${formatUsd(row.price)} may have been spent. ${then}` })
  }
  if (row.failure === null) return new Problem('internal', { generationId })
  const { code, detail, errors } = row.failure
  return new Problem(code, { detail, generationId, ...(errors === undefined ? {} : { errors }) })
}

/** A success whose bytes the ledger does not have. */
export function resultGone (row: Row): Problem {
  const cost = costToReader(row)
  return new Problem('result-expired', { generationId: row.id, ...(cost === null ? {} : { cost }) })
}

/** What is left of a generation, told to who repeats its request under the key that it was made with. */
export function problemOfEnd ({ id, code, cost, finishedAtMs }: End): Problem {
  return new Problem(code, {
    generationId: id,
    cost,
    detail: `This Idempotency-Key stands for a generation that ended at ${new Date(finishedAtMs).toISOString()} and is not kept any more. Nothing is bought with it; take a new key to buy another picture.`
  })
}
