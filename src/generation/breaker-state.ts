// Whether anything may be bought: for the account, for a tenant, of a model; and the words that change it.

import type { BreakerState } from '../breaker-states.ts'

/** Whether anything may be bought: for the whole account (`*`), for a tenant (see {@link tenantScopeOf}), or of a model (its endpoint id). */
export interface Breaker {
  readonly scope: string
  readonly state: BreakerState
  readonly sinceMs: number
  /** When the next one may go through as the probe, while it is not ok; none does while a price is unsure. */
  readonly retryAtMs: number
  /** The generation that finds out whether buying works again. */
  readonly probe: string | null
  /** Failures in a row, on all replicas together. */
  readonly failures: number
}

/** The scope of the breaker that stands before one tenant only. No endpoint id has a colon. */
export function tenantScopeOf (tenant: string): string {
  return 'tenant:' + tenant
}

/**
 * What one answer of fal says about buying at all. With `after` it is one failure of many: it trips the breaker when it is the `after`th in a row, and lengthens the pause of
 * one that is tripped already, for whatever reason. With `only` it says nothing about a breaker in another state. A breaker that is tripped because the price is
 * unsure takes only reports about that very state.
 */
export interface BreakerReport {
  readonly scope: string
  readonly state: BreakerState
  readonly retryAfterMs: number
  readonly after?: number
  readonly only?: BreakerState
  /**
   * Of a report about the account that comes with evidence: it may be the doing of the generation's tenant, whose own breaker counts it, too. The account's
   * breaker is tripped when a second tenant meets it in the same row of failures, or when the probe of the tenant's breaker, with another input than the last
   * that failed, meets it as well; the latter once, until something of the tenant's is accepted.
   */
  readonly tenantFirst?: true
}
