// Whether anything may be bought: for the account, for a tenant, of a model; and the words that change it.

/** Whether anything may be bought: for the whole account (`*`), for a tenant (see {@link tenantScopeOf}), or of a model (its endpoint id). */
export type GuardState = 'ok' | 'open' | 'account-blocked' | 'retired' | 'price-unsure'

export interface Guard {
  readonly scope: string
  readonly state: GuardState
  readonly sinceMs: number
  /** When the next one may go through as the probe, while it is not ok; none does while a price is unsure. */
  readonly retryAtMs: number
  /** The generation that finds out whether buying works again. */
  readonly probe: string | null
  /** Failures in a row, on all replicas together. */
  readonly failures: number
}

/** The scope of the guard that stands before one tenant only. No endpoint id has a colon. */
export function tenantScopeOf (tenant: string): string {
  return 'tenant:' + tenant
}

/**
 * A word about buying at all. With `after` it is one failure of many: it closes the guard when it is the `after`th in a row, and lengthens the pause of
 * one that is closed already, for whatever reason. With `only` it says nothing about a guard in another state. A guard that is closed because the price is
 * unsure hears only words about that very state.
 */
export interface Verdict {
  readonly scope: string
  readonly state: GuardState
  readonly retryAfterMs: number
  readonly after?: number
  readonly only?: GuardState
  /**
   * Of a word about the account that comes with evidence: it may be the doing of the generation's tenant, whose own guard counts it, too. The account's
   * guard is closed when a second tenant meets it in the same row of failures, or when the probe of the tenant's guard, with another input than the last
   * that failed, meets it as well; the latter once, until something of the tenant's is accepted.
   */
  readonly tenantFirst?: true
}
