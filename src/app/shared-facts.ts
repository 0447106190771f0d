// What is known of all replicas together: read from the ledger when somebody asks.

import type { Config } from '../config.ts'
import type { Ledger } from '../generation/ledger.ts'
import { leftOf, monthOf } from '../generation/request/budgets.ts'
import { worstOf } from '../generation/run/breakers.ts'
import type { SharedFacts } from '../metrics.ts'
import type { BudgetLimit, TenantBook } from '../tenants/book.ts'

/** What Prometheus is told. Rejects as the ledger does. */
export async function readSharedFacts (ledger: Ledger, { tenants, companyBudget }: TenantBook, { falConcurrency }: Pick<Config, 'falConcurrency'>): Promise<SharedFacts> {
  const { waiting, atUpstream, slots, unknownOpen, unknownOldestMs, asideBytes } = await ledger.gauges()
  const breakers = await ledger.breakers()
  // A tenant's reservations are told for its budget's period, or for the month when it has none.
  const limits = new Map<string, BudgetLimit>([...tenants.values()].map(tenant => [tenant.id, tenant.budget ?? monthOf(tenant)]))
  if (companyBudget !== null) limits.set('*', companyBudget)
  const balances = await ledger.balances([...limits].map(([owner, { per }]) => ({ owner, per })))
  const limited = balances.filter(({ owner }) => owner === '*' || (tenants.get(owner)?.budget ?? null) !== null)
  return {
    waiting,
    slotsUsed: atUpstream,
    slots: falConcurrency,
    slotsOpen: Math.min(falConcurrency, slots ?? falConcurrency),
    budgetLeft: new Map(limited.map(balance => [balance.owner, leftOf(limits.get(balance.owner)?.limit ?? 0, balance)])),
    held: new Map(balances.map(({ owner, held }) => [owner, held])),
    unknownOpen,
    unknownOldestSeconds: unknownOldestMs === null ? 0 : Math.max(0, ledger.now() - unknownOldestMs) / 1000,
    largeResultBytes: asideBytes,
    upstreamState: worstOf(breakers)
  }
}

/** How many of the purchases of the last hour, or of its first thousand, were each model's. Rejects as the ledger does. */
export async function readModelUses (ledger: Ledger): Promise<ReadonlyMap<string, number>> {
  const uses = new Map<string, number>()
  const nowMs = ledger.now()
  for (const { model } of await ledger.journal(nowMs - 3_600_000, nowMs, 1000)) uses.set(model, (uses.get(model) ?? 0) + 1)
  return uses
}
