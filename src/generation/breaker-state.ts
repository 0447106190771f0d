// Whether anything may be bought: for the account, for a tenant, of a model; and the words that change it.

import type { BreakerState } from '../breaker-states.ts'
import { accountNameIn } from '../upstream-account.ts'

/**
 * Whether anything may be bought: with an account (`*` is the ledger's first, for others see {@link accountScopeOf}), for a tenant (see {@link tenantScopeOf}), or of a
 * model (its endpoint id).
 */
export interface Breaker {
  readonly scope: string
  /** The account, as rows name it, where it stands before one; `null` also for the first one of a ledger without a mark. */
  readonly account: string | null
  readonly state: BreakerState
  readonly sinceMs: number
  /** When the next one may go through as the probe, while it is not ok; none does while a price is unsure. */
  readonly retryAtMs: number
  /** The generation that finds out whether buying works again. */
  readonly probe: string | null
  /** Failures in a row, on all replicas together. */
  readonly failures: number
}

/** The scope of the ledger's first account; in a report that comes with evidence, of the account that it is about. */
export const ACCOUNT_SCOPE = '*'

/** The scope of the breaker of another account than the ledger's first (`first`), which are both as rows name them. */
export function accountScopeOf (account: string | null, first: string | null): string {
  return account === null || account === first ? ACCOUNT_SCOPE : OTHER_ACCOUNT + accountNameIn(account)
}

const OTHER_ACCOUNT = 'account:'

/** The account that a scope is about, as rows name it; `null`: none, or one without a name. */
export function accountOfScope (scope: string, first: string | null): string | null {
  if (scope === ACCOUNT_SCOPE) return first
  return scope.startsWith(OTHER_ACCOUNT) ? `${first?.split(' ', 1)[0] ?? 'fal'} ${scope.slice(OTHER_ACCOUNT.length)}` : null
}

/** Is it the scope of an account? */
export function isAccountScope (scope: string): boolean {
  return scope === ACCOUNT_SCOPE || scope.startsWith(OTHER_ACCOUNT)
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
