// What `falgate top --once --json` writes. The names are a contract, with the units at their ends; what is new comes beside what is there.

import type { Overview, Spending } from '../app/overview.ts'
import { formatUsd, type MicroUsd } from '../money.ts'

/** One JSON object on one line. `notes`: what could not be told, and why. */
export function overviewJson (overview: Overview, notes: readonly string[]): string {
  const { atMs, waiting, oldestMs, places, accounts, state, breakers, company, unknown, largeResultBytes, tenants, failures, replicas } = overview
  const age = (sinceMs: number | null): number | null => sinceMs === null ? null : secondsBetween(sinceMs, atMs)
  return JSON.stringify({
    time: timeOf(atMs),
    waiting,
    oldest_waiting_seconds: age(oldestMs),
    slots: { used: places.used, open: places.open, total: places.total },
    accounts: [...accounts].map(([account, { used, open, total }]) => ({ account, used, open, total })),
    state,
    breakers: breakers.map(({ scope, state, sinceMs, retryAtMs, failures }) => ({ scope, state, since: timeOf(sinceMs), until: state === 'price-unsure' ? null : timeOf(retryAtMs), failures })),
    company: money(company),
    unknown: { open: unknown.open, oldest_seconds: age(unknown.oldestMs) },
    large_result_bytes: largeResultBytes,
    tenants: tenants.map(({ tenant, running, waiting, oldestMs, spending }) => ({ tenant, running, waiting, oldest_waiting_seconds: age(oldestMs), ...money(spending) })),
    failures: failures.map(({ id, tenant, model, code, finishedAtMs, cost }) => ({ time: timeOf(finishedAtMs), id, tenant, model, code, cost_usd: usd(cost) })),
    replicas: replicas.map(({ replica, beatAtMs, following }) => ({ replica, heartbeat_age_seconds: secondsBetween(beatAtMs, atMs), following })),
    notes
  })
}

function money ({ period, spent, held, limit, left }: Spending) {
  return { period, spent_usd: usd(spent), held_usd: usd(held), budget_usd: limit === null ? null : usd(limit), left_usd: left === null ? null : usd(left) }
}

function usd (amount: MicroUsd): number {
  return Number(formatUsd(amount))
}

function timeOf (ms: number): string {
  return new Date(ms).toISOString()
}

function secondsBetween (sinceMs: number, atMs: number): number {
  return Math.max(0, atMs - sinceMs) / 1000
}
