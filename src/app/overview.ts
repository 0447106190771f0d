// What those on call look at: the line, places, circuit breakers, money, unknowns, what failed last, and the replicas. Read from the ledger, a bounded part of it.

import type { BreakerState } from '../breaker-states.ts'
import type { Balance } from '../generation/accounts.ts'
import { tenantScopeOf, type Breaker } from '../generation/breaker-state.ts'
import type { AccountGauge, Ledger } from '../generation/ledger.ts'
import type { FailedGeneration, SeenReplica, Standing } from '../generation/overview.ts'
import { leftOf } from '../generation/request/budgets.ts'
import { worstOf } from '../generation/run/breakers.ts'
import type { MicroUsd } from '../money.ts'
import type { BudgetLimit } from '../tenants/book.ts'
import { accountNameIn, accountText, type OwnAccount } from '../upstream-account.ts'

/** Money of a tenant or of the company in the period of its budget, or in the month when it has none. */
export interface Spending extends Omit<Balance, 'owner'> {
  /** `null`: nobody limits it. */
  readonly limit: MicroUsd | null
  readonly left: MicroUsd | null
}

/** Places at fal: in use, to be used now, and all. */
export interface Places { readonly used: number, readonly open: number, readonly total: number }

export interface TenantOverview extends Standing { readonly spending: Spending }

export interface Overview {
  /** By the ledger's clock. */
  readonly atMs: number
  readonly waiting: number
  /** The admission of the oldest that waits for its turn, or pauses before another attempt. */
  readonly oldestMs: number | null
  /** Places at fal, with all accounts. */
  readonly places: Places
  /** The same of each account, by the operator's name. */
  readonly accounts: ReadonlyMap<string, Places>
  /** Has it none of the accounts that the environment names? */
  readonly isForeign: boolean
  /** The worst of the circuit breakers. */
  readonly state: BreakerState
  /** Those that are not ok. */
  readonly breakers: readonly Breaker[]
  readonly company: Spending
  readonly unknown: { readonly open: number, readonly oldestMs: number | null }
  readonly largeResultBytes: number
  /** Those of the tenants file, and those that wait or have failed lately. Who has most to do comes first. */
  readonly tenants: readonly TenantOverview[]
  /** The latest first. */
  readonly failures: readonly FailedGeneration[]
  readonly replicas: readonly SeenReplica[]
}

/** The tenants that there are, and their budgets. */
export interface BudgetBook { readonly tenants: ReadonlyMap<string, { readonly budget: BudgetLimit | null }>, readonly companyBudget: BudgetLimit | null }

export interface OverviewAsked {
  /** `null`: the tenants are not known, and so are their budgets. */
  readonly book: BudgetBook | null
  readonly falConcurrency: number
  /** Those whose places are known; `null`: the environment names none, so that each has as many as `falConcurrency`. */
  readonly own: readonly OwnAccount[] | null
  /** Of this tenant alone, unless it is `null`. Line, places and unknowns stay those of all. */
  readonly tenant: string | null
  /** How many of the last failures. */
  readonly failures: number
}

const COMPANY = '*'

/** Rejects as the ledger does. */
export async function readOverview (ledger: Ledger, { book, falConcurrency, own, tenant, failures: count }: OverviewAsked): Promise<Overview> {
  const [gauges, breakers, failures, replicas] = await Promise.all([ledger.gauges(), ledger.breakers(), ledger.failures(count, tenant), ledger.replicas()])
  const waiting = [...gauges.waiting].filter(([, waits]) => waits > 0)
  const names = tenant === null ? [...new Set([...book?.tenants.keys() ?? [], ...waiting.map(([name]) => name), ...failures.map(failure => failure.tenant)])] : [tenant]
  const asked = [...new Set([...names, ...waiting.map(([name]) => name)])]
  const limits = new Map<string, BudgetLimit | null>([...names.map(name => [name, book?.tenants.get(name)?.budget ?? null] as const), [COMPANY, book?.companyBudget ?? null]])
  const [standings, balances] = await Promise.all([
    ledger.standings(asked),
    ledger.balances([...limits].map(([owner, limit]) => ({ owner, per: limit?.per ?? 'month' })))
  ])
  const balanceOf = new Map(balances.map(balance => [balance.owner, balance]))
  const spending = (owner: string): Spending => spendingOf(balanceOf.get(owner), limits.get(owner) ?? null)
  const oldest = standings.flatMap(({ oldestMs }) => oldestMs ?? [])
  const shown = breakers.filter(({ scope, state }) => state !== 'ok' && (tenant === null || !scope.startsWith(tenantScopeOf('')) || scope === tenantScopeOf(tenant)))
  const isNamed = new Set(names)
  const accounts = placesOf(gauges.accounts, own, falConcurrency)
  const sum = (figure: keyof Places): number => [...accounts.values()].reduce((sum, places) => sum + places[figure], 0)
  return {
    atMs: ledger.now(),
    waiting: waiting.reduce((sum, [, waits]) => sum + waits, 0),
    oldestMs: oldest.length === 0 ? null : Math.min(...oldest),
    places: { used: gauges.atUpstream, open: sum('open'), total: sum('total') },
    accounts,
    isForeign: own !== null && gauges.accounts.every(({ upstream }) => upstream !== null && !own.some(account => accountText(account) === upstream)),
    state: worstOf(breakers),
    breakers: shown,
    company: spending(COMPANY),
    unknown: { open: gauges.unknownOpen, oldestMs: gauges.unknownOldestMs },
    largeResultBytes: gauges.asideBytes,
    tenants: standings.filter(({ tenant: name }) => isNamed.has(name)).map(standing => ({ ...standing, spending: spending(standing.tenant) })).toSorted(byWork),
    failures,
    replicas
  }
}

/** Of an account that the environment has no key of nothing is known but what it uses. */
function placesOf (accounts: readonly AccountGauge[], own: readonly OwnAccount[] | null, falConcurrency: number): ReadonlyMap<string, Places> {
  return new Map(accounts.map(({ upstream, used, open }) => {
    const account = own?.find(account => accountText(account) === upstream)
    const total = own === null || upstream === null ? falConcurrency : account === undefined ? 0 : account.slots ?? falConcurrency
    return [upstream === null ? '' : accountNameIn(upstream), { used, open: Math.min(total, open ?? total), total }]
  }))
}

function spendingOf (balance: Balance | undefined, budget: BudgetLimit | null): Spending {
  const { period = '', held = 0, spent = 0 } = balance ?? {}
  return { period, held, spent, limit: budget?.limit ?? null, left: budget === null ? null : leftOf(budget.limit, { held, spent }) }
}

function byWork (one: TenantOverview, other: TenantOverview): number {
  return other.waiting - one.waiting || other.running - one.running || other.spending.spent - one.spending.spent || (one.tenant < other.tenant ? -1 : 1)
}
