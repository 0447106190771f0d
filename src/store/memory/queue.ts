// The waiting line: what stands where, and whose turn it is.
// Tenants are served by start-time fair queueing: each claim costs a tenant 1/weight of virtual time, the smallest virtual time is next, and
// a tenant that enters the queue starts no earlier than the latest claim did, so none saves up turns by staying away.

import type { Generation, Priority } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Entry } from './entry.ts'
import { tenantOf, type State, type TenantState } from './state.ts'

/** Virtual time that one claim costs a tenant of weight 1. Integers only: both stores have to come to the same order. */
const TURN = 1_000_000

/** Ranks of two priorities are this far apart, which no counter reaches; three times this is below 2^53. */
const PRIORITY_STEP = 1e15

const order: readonly Priority[] = ['interactive', 'background', 'low']

/** The position in a tenant's queue: by priority, then by admission. */
export function rankOf ({ row, hidden }: Entry): number {
  return rankAt(row.priority, hidden.number)
}

function rankAt (priority: Priority, number: number): number {
  return order.indexOf(priority) * PRIORITY_STEP + number
}

/** How many of its tenant's generations would be claimed before this waiting one. */
export function positionOf (state: State, entry: Entry): number {
  return tenantOf(state, entry.row.tenant).queue.countBelow(rankOf(entry))
}

/** How many would be claimed before one that this tenant buys now. */
export function nextPosition (state: State, { tenant, priority }: Pick<Generation, 'tenant' | 'priority'>): number {
  return state.tenants.get(tenant)?.queue.countBelow(rankAt(priority, state.counter + 1)) ?? 0
}

/** When the oldest that pauses between attempts was admitted, by tenant. */
export function oldestPausing (state: State): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const id of state.later.first(ledgerConstants.maxPauseLooks)) {
    const row = state.rows.get(id)?.row
    if (row !== undefined) found.set(row.tenant, Math.min(row.createdAtMs, found.get(row.tenant) ?? Infinity))
  }
  return found
}

/** When the oldest that waits in this tenant's queue was admitted; `null`: none does. Of each priority the foremost is the oldest. */
export function oldestOf (state: State, name: string): number | null {
  const waiting = state.tenants.get(name)?.queue.entries() ?? []
  const foremost = order.flatMap((_, place) => waiting.find(([, rank]) => rank >= place * PRIORITY_STEP && rank < (place + 1) * PRIORITY_STEP)?.[0] ?? [])
  const admitted = foremost.flatMap(id => state.rows.get(id)?.row.createdAtMs ?? [])
  return admitted.length === 0 ? null : Math.min(...admitted)
}

/** Puts a tenant into the queue or takes it out: it stands there exactly when it has claimable work and a free slot. */
export function updateTurn (state: State, name: string): void {
  const tenant = tenantOf(state, name)
  if (tenant.queue.size() === 0 || tenant.running >= tenant.maxInFlight) {
    state.turns.delete(name)
    return
  }
  if (state.turns.score(name) === undefined && tenant.virtual < state.virtual) {
    tenant.virtual = state.virtual
    state.note('tenants', name)
  }
  state.turns.set(name, tenant.virtual)
}

/** Charges a tenant of the queue for one claim. To be called before the row changes, while the tenant still stands in the queue. */
export function charge (state: State, name: string): void {
  const tenant = tenantOf(state, name)
  const [foremost] = state.turns.first(1)
  if (foremost !== undefined) state.virtual = Math.max(state.virtual, state.turns.score(foremost) ?? 0)
  tenant.virtual += turnOf(tenant)
  state.note('tenants', name)
}

/** Charges a tenant for one that goes to fal at once, as if it had stood in the empty queue. */
export function passThrough (state: State, name: string): void {
  const tenant = tenantOf(state, name)
  state.virtual = Math.max(tenant.virtual, state.virtual)
  tenant.virtual = state.virtual + turnOf(tenant)
  state.note('tenants', name)
}

function turnOf ({ weight }: TenantState): number {
  return Math.max(1, Math.round(TURN / weight))
}

/** Is there nobody with claimable work and a free slot? */
export function isQueueEmpty (state: State): boolean {
  return state.turns.first(1).length === 0
}
