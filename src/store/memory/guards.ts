// The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rules 14 and 37).

import { hash } from 'node:crypto'
import { tenantScopeOf, type Guard, type Verdict } from '../../generation/guard-state.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Row } from '../../generation/row.ts'
import type { MicroUsd } from '../../money.ts'
import { tellGuard } from './news.ts'
import type { Entry, KeptGuard, State } from './state.ts'

/** What stands before a generation: it is one of a model, and of a tenant. */
type Asker = Pick<Row, 'model' | 'tenant'>

/** The account: the scope that stands before everybody. */
const ACCOUNT = '*'

/** Met by more than one tenant, or by something that is no tenant's doing. */
const EVERYBODY = '*'

/** Only an operator opens it: a probe would be one more purchase at a price that nobody knows. */
const UNSURE = 'price-unsure'

function scopesOf ({ model, tenant }: Asker): string[] {
  return [ACCOUNT, tenantScopeOf(tenant), model]
}

/** The guards that stand before a generation and are not ok: the account's, then its tenant's, then its model's. */
export function closedGuards (state: State, asker: Asker): Guard[] {
  return closedOf(state, asker).map(shown)
}

function closedOf (state: State, asker: Asker): KeptGuard[] {
  return scopesOf(asker).flatMap(scope => {
    const guard = state.guards.get(scope)
    return guard === undefined || guard.state === 'ok' ? [] : [guard]
  })
}

/** The first guard that keeps this generation from being bought now: the price is unsure, its pause is not over, or another one is the probe. */
export function blockedBy (state: State, id: string, asker: Asker): Guard | undefined {
  return closedGuards(state, asker).find(guard => guard.state === UNSURE || state.now() < guard.retryAtMs || (guard.probe !== null && guard.probe !== id))
}

/** Makes this generation the probe of every guard that is not ok; only for one that nothing blocks. */
export function becomeProbe (state: State, id: string, asker: Asker): void {
  for (const guard of closedOf(state, asker)) state.guards.set(guard.scope, { ...guard, probe: id })
}

/** The probe ended or lost its owner: the next generation may try. */
export function freeProbe (state: State, row: Row): void {
  for (const guard of closedOf(state, row)) {
    if (guard.probe === row.id) state.guards.set(guard.scope, { ...guard, probe: null })
  }
}

/** The probe pauses for longer than its guard does: another may try before it. */
export function yieldProbe (state: State, { row, hidden: { retryAtMs } }: Entry): void {
  for (const guard of closedOf(state, row)) {
    if (guard.probe === row.id && guard.retryAtMs < retryAtMs) state.guards.set(guard.scope, { ...guard, probe: null })
  }
}

/** Ids of the probes under way. */
export function probes (state: State): string[] {
  return [...state.guards.values()].flatMap(guard => guard.probe ?? [])
}

/** How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent. */
export function retryAfterSecondsOf (state: State, guard: Guard): number {
  if (guard.state === UNSURE) return ledgerConstants.unsureRetryMs / 1000
  const pauseMs = guard.retryAtMs - state.now()
  return Math.max(1, Math.ceil((pauseMs > 0 ? pauseMs : state.times.leaseMs) / 1000))
}

/** Takes a word about buying at all that concerns nobody in particular. */
export function judge (state: State, verdict: Verdict): Guard {
  return shown(take(state, verdict, EVERYBODY))
}

/**
 * Takes a word that came with evidence about this generation. What may be its tenant's doing is counted for that tenant and for the account, whose guard it
 * closes only when another tenant met it, too, or when the tenant's probe, with another input than those that failed, meets it again: that once, until
 * something of the tenant's works, because a tenant that breaks everything that it sends proves nothing more.
 */
export function judgeFor (state: State, row: Row, verdict: Verdict): void {
  if (verdict.tenantFirst !== true) {
    take(state, verdict, EVERYBODY)
    return
  }
  const scope = tenantScopeOf(row.tenant)
  const input = hash('sha1', row.input ?? '')
  const before = state.guards.get(scope)
  const proves = before?.state === 'open' && before.probe === row.id && !before.proved && !before.inputs.includes(input)
  if (before !== undefined || hasRoom(state)) {
    const guard = take(state, { ...verdict, scope }, row.tenant)
    const inputs = [input, ...guard.inputs.filter(other => other !== input)].slice(0, ledgerConstants.maxFailedInputs)
    state.guards.set(scope, { ...guard, inputs, proved: guard.proved || proves })
  }
  const isAccountOk = (state.guards.get(ACCOUNT)?.state ?? 'ok') === 'ok'
  if (proves && isAccountOk) take(state, { scope: ACCOUNT, state: verdict.state, retryAfterMs: verdict.retryAfterMs }, EVERYBODY)
  else take(state, { ...verdict, scope: ACCOUNT }, row.tenant)
}

/** Is there a place for another tenant's guard? If need be the oldest row of failures that closed nothing is forgotten. */
function hasRoom (state: State): boolean {
  const tenants = [...state.guards.values()].filter(({ scope }) => isTenants(scope))
  if (tenants.length < ledgerConstants.maxTenantGuards) return true
  const [oldest] = tenants.filter(guard => guard.state === 'ok').sort((one, other) => one.sinceMs - other.sinceMs || (one.scope < other.scope ? -1 : 1))
  if (oldest === undefined) return false
  state.guards.delete(oldest.scope)
  return true
}

/** Is it the scope of a tenant's guard? */
export function isTenants (scope: string): boolean {
  return scope.startsWith(tenantScopeOf(''))
}

/**
 * Takes a word about buying at all, the last one counting. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees
 * the place by ending. A tenant's guard that is ok is forgotten.
 */
function take (state: State, verdict: Verdict, metBy: string): KeptGuard {
  const { scope, only } = verdict
  const before = state.guards.get(scope) ?? { scope, state: 'ok', sinceMs: state.now(), retryAtMs: 0, probe: null, failures: 0, metBy: null, inputs: [], proved: false }
  // A price that is unsure is an operator's matter, whatever else is heard of the model meanwhile.
  const isDeaf = before.state === UNSURE && only !== UNSURE
  if (isDeaf || (only !== undefined && before.state !== only)) return before
  const guard = verdict.state === 'ok' ? opened(state, before) : judged(state, before, verdict, before.metBy === null || before.metBy === metBy ? metBy : EVERYBODY)
  if (verdict.state === 'ok' && isTenants(scope)) state.guards.delete(scope)
  else state.guards.set(scope, guard)
  if (guard.state !== before.state) tellGuard(state, scope, before.state, guard.state)
  if (before.state === UNSURE && guard.state === 'ok') state.overruns.delete(scope)
  return guard
}

function opened (state: State, { scope, state: word, sinceMs }: KeptGuard): KeptGuard {
  return { scope, state: 'ok', sinceMs: word === 'ok' ? sinceMs : state.now(), retryAtMs: 0, probe: null, failures: 0, metBy: null, inputs: [], proved: false }
}

function judged (state: State, before: KeptGuard, { state: word, retryAfterMs, after }: Verdict, metBy: string): KeptGuard {
  const now = state.now()
  const counted = { ...before, failures: before.failures + 1, metBy }
  if (after !== undefined && before.state === 'ok' && (counted.failures < after || (before.scope === ACCOUNT && metBy !== EVERYBODY))) return counted
  if (after !== undefined && before.state !== 'ok' && before.state !== word) return { ...counted, retryAtMs: Math.max(before.retryAtMs, now + retryAfterMs) }
  return { ...counted, state: word, sinceMs: word === before.state ? before.sinceMs : now, retryAtMs: now + retryAfterMs, probe: word === UNSURE ? null : before.probe }
}

/** fal accepted this generation: it opens the guards whose probe it is, and ends a row of failures. */
export function clear (state: State, row: Row): void {
  for (const scope of scopesOf(row)) {
    const guard = state.guards.get(scope)
    if (guard !== undefined && (guard.state === 'ok' ? guard.failures > 0 : guard.probe === row.id)) judge(state, { scope, state: 'ok', retryAfterMs: 0 })
  }
}

/**
 * Weighs a bill that is being booked (rule 31): one that is absurd, or the second in a row above its reservation, leaves the price of the model unsure. What
 * cost nothing, and what was told without a cost, says nothing about the price.
 */
export function weighBill (state: State, { model, price }: Row, told: MicroUsd | null): void {
  if (told === null || told === 0) return
  if (told <= price) {
    state.overruns.delete(model)
    return
  }
  const overruns = (state.overruns.get(model) ?? 0) + 1
  state.overruns.set(model, overruns)
  const isAbsurd = told > price * ledgerConstants.maxOverrun
  if (isAbsurd || overruns >= ledgerConstants.maxOverrunsInARow) judge(state, { scope: model, state: UNSURE, retryAfterMs: ledgerConstants.unsureRetryMs })
}

/** An operator has spoken about a bill of this model. Was its price unsure until now? */
export function trustPrice (state: State, model: string): boolean {
  state.overruns.delete(model)
  const isUnsure = state.guards.get(model)?.state === UNSURE
  if (isUnsure) judge(state, { scope: model, state: 'ok', retryAfterMs: 0, only: UNSURE })
  return isUnsure
}

/** Every guard that ever got a verdict; of tenants, those that are not ok or count failures. */
export function guards (state: State): Guard[] {
  return [...state.guards.values()].map(shown).sort((one, other) => one.scope < other.scope ? -1 : 1)
}

function shown ({ scope, state, sinceMs, retryAtMs, probe, failures }: KeptGuard): Guard {
  return { scope, state, sinceMs, retryAtMs, probe, failures }
}
