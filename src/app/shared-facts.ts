// What is known of all replicas together: read from the ledger when somebody asks.

import type { Config } from '../config.ts'
import { accountScopeOf, isAccountScope, type Breaker } from '../generation/breaker-state.ts'
import type { AccountGauge, Ledger } from '../generation/ledger.ts'
import { leftOf, monthOf } from '../generation/request/budgets.ts'
import { worstOf } from '../generation/run/breakers.ts'
import type { SharedFacts } from '../metrics.ts'
import type { BudgetLimit, TenantBook } from '../tenants/book.ts'
import { accountNameIn, accountText, type OwnAccount } from '../upstream-account.ts'

/** What Prometheus is told. Rejects as the ledger does. */
export async function readSharedFacts (ledger: Ledger, { tenants, companyBudget }: TenantBook, { falConcurrency, media }: Pick<Config, 'falConcurrency' | 'media'>, own: readonly OwnAccount[]): Promise<SharedFacts> {
  const { waiting, accounts: gauges, unknownOpen, unknownOldestMs, asideBytes, keptFiles, keptBytes, orphans, hooksDue, hooksOldestMs, hooksGivenUp } = await ledger.gauges()
  const breakers = await ledger.breakers()
  // A tenant's reservations are told for its budget's period, or for the month when it has none.
  const limits = new Map<string, BudgetLimit>([...tenants.values()].map(tenant => [tenant.id, tenant.budget ?? monthOf(tenant)]))
  if (companyBudget !== null) limits.set('*', companyBudget)
  const balances = await ledger.balances([...limits].map(([owner, { per }]) => ({ owner, per })))
  const limited = balances.filter(({ owner }) => owner === '*' || (tenants.get(owner)?.budget ?? null) !== null)
  return {
    waiting,
    accounts: accountFacts(gauges, breakers, own, falConcurrency),
    budgetLeft: new Map(limited.map(balance => [balance.owner, leftOf(limits.get(balance.owner)?.limit ?? 0, balance)])),
    held: new Map(balances.map(({ owner, held }) => [owner, held])),
    unknownOpen,
    unknownOldestSeconds: secondsSince(unknownOldestMs),
    largeResultBytes: asideBytes,
    media: media === null ? null : { files: keptFiles, bytes: keptBytes, orphans, maxBytes: media.maxBytes ?? 0 },
    webhooks: { due: hooksDue, oldestSeconds: secondsSince(hooksOldestMs), givenUp: hooksGivenUp }
  }

  /** By the ledger's clock; 0 where there is no such time. */
  function secondsSince (atMs: number | null): number {
    return atMs === null ? 0 : Math.max(0, ledger.now() - atMs) / 1000
  }
}

/** Those of the ledger, and of them those that this process has no key of as having no slots. */
function accountFacts (gauges: readonly AccountGauge[], breakers: readonly Breaker[], own: readonly OwnAccount[], falConcurrency: number): SharedFacts['accounts'] {
  const first = gauges[0]?.upstream ?? null
  const ofOthers = breakers.filter(({ scope }) => !isAccountScope(scope))
  return new Map(gauges.map(({ upstream, used, open }) => {
    const account = own.find(account => accountText(account) === upstream)
    const slots = account === undefined ? 0 : account.slots ?? falConcurrency
    const scope = accountScopeOf(upstream, first)
    return [upstream === null ? '' : accountNameIn(upstream), { used, slots, open: Math.min(slots, open ?? slots), state: worstOf([...breakers.filter(breaker => breaker.scope === scope), ...ofOthers]) }]
  }))
}

/** How many of the purchases of the last hour, or of its first thousand, were each model's. Rejects as the ledger does. */
export async function readModelUses (ledger: Ledger): Promise<ReadonlyMap<string, number>> {
  const uses = new Map<string, number>()
  const nowMs = ledger.now()
  for (const { model } of await ledger.journal(nowMs - 3_600_000, nowMs, 1000)) uses.set(model, (uses.get(model) ?? 0) + 1)
  return uses
}
