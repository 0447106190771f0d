// The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rules 14 and 37).

import { hash } from 'node:crypto'
import { ACCOUNT_SCOPE, accountOfScope, accountScopeOf, isAccountScope, tenantScopeOf, type Breaker, type BreakerReport } from '../../generation/breaker-state.ts'
import type { Generation } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { MicroUsd } from '../../money.ts'
import { accountOf, apart, ownAccounts, type Account } from './accounts.ts'
import type { Entry } from './entry.ts'
import { addBreakerEvent } from './outbox.ts'
import type { KeptBreaker, State } from './state.ts'

/** What stands before a generation: it is one of a model, and of a tenant. */
type Asker = Pick<Generation, 'model' | 'tenant'>

/** Met by more than one tenant, or by something that is no tenant's doing. */
const EVERYBODY = '*'

/** Only an operator closes it: a probe would be one more purchase at a price that nobody knows. */
const UNSURE = 'price-unsure'

function scopeOf (state: State, account: Account): string {
  return accountScopeOf(account, state.upstream)
}

/** The breakers that stand before a generation and are not ok: those of these accounts, then its tenant's, then its model's. */
function trippedOf (state: State, { model, tenant }: Asker, accounts: readonly Account[]): KeptBreaker[] {
  return [...accounts.map(account => scopeOf(state, account)), tenantScopeOf(tenant), model].flatMap(scope => {
    const breaker = state.breakers.get(scope)
    return breaker === undefined || breaker.state === 'ok' ? [] : [breaker]
  })
}

/** Does it keep this generation from being bought now? The price is unsure, its pause is not over, or another one is the probe. */
function blocks (state: State, breaker: KeptBreaker, id: string): boolean {
  return breaker.state === UNSURE || state.now() < breaker.retryAtMs || (breaker.probe !== null && breaker.probe !== id)
}

/** With which account a generation may be bought now; or the breaker that stands before it, where there is one: without any no account was there to choose. */
export type Way = { readonly account: Account } | { readonly account?: never, readonly breaker: KeptBreaker | undefined }

/**
 * The first of these accounts that is ok, or one whose probe it would be; of the breakers of several accounts that one stands before it which is over first.
 * `isProbeFirst`: the account whose probe it would be before the others. `isNoProbe`: only where nothing before it is tripped.
 */
export function wayOf (state: State, id: string, asker: Asker, accounts: readonly Account[], { isProbeFirst = false, isNoProbe = false } = {}): Way {
  const tripped = trippedOf(state, asker, accounts)
  const [first] = accounts
  if (first === undefined) return { breaker: undefined }
  let before: KeptBreaker | undefined
  const ok: Account[] = []
  const probed: Account[] = []
  for (const account of accounts) {
    const breaker = tripped.find(({ scope }) => scope === scopeOf(state, account))
    if (breaker === undefined) ok.push(account)
    else if (isNoProbe || blocks(state, breaker, id)) before = before === undefined || breaker.retryAtMs < before.retryAtMs ? breaker : before
    else if (breaker.probe === id) probed.unshift(account)
    else probed.push(account)
  }
  const [account] = isProbeFirst ? [...probed, ...ok] : [...ok, ...probed]
  if (account === undefined) return { breaker: before }
  const other = tripped.find(breaker => !isAccountScope(breaker.scope) && (isNoProbe || blocks(state, breaker, id)))
  return other === undefined ? { account } : { breaker: other }
}

/** The accounts whose probe a generation may be: the first one's from its admission on, another one's only as long as it is at fal with that. */
function probable (state: State, account: Account | undefined): readonly Account[] {
  return account === undefined || apart(state, account) === null ? [state.upstream] : [state.upstream, account]
}

/** Makes this generation the probe of every breaker that is not ok, of accounts that of this one; only for one that nothing blocks. It is no other account's any more. */
export function becomeProbe (state: State, id: string, asker: Asker, account: Account | undefined): void {
  const scope = account === undefined ? undefined : scopeOf(state, account)
  for (const breaker of trippedOf(state, asker, probable(state, account))) {
    if (breaker.scope === scope || !isAccountScope(breaker.scope)) state.breakers.set(breaker.scope, { ...breaker, probe: id })
    else if (breaker.probe === id) state.breakers.set(breaker.scope, { ...breaker, probe: null })
  }
}

/** The probe ended or lost its owner: the next generation may try. */
export function freeProbe (state: State, row: Generation): void {
  for (const breaker of trippedOf(state, row, probable(state, row.upstream))) {
    if (breaker.probe === row.id) state.breakers.set(breaker.scope, { ...breaker, probe: null })
  }
}

/** It is not at fal with this account any more, so that it is not its probe. */
export function leaveAccount (state: State, id: string, account: string): void {
  const scope = scopeOf(state, account)
  const breaker = state.breakers.get(scope)
  if (breaker?.probe === id) state.breakers.set(scope, { ...breaker, probe: null })
}

/** The probe pauses for longer than its breaker does: another may try before it. */
export function yieldProbe (state: State, { row, hidden: { retryAtMs } }: Entry): void {
  for (const breaker of trippedOf(state, row, probable(state, row.upstream))) {
    if (breaker.probe === row.id && breaker.retryAtMs < retryAtMs) state.breakers.set(breaker.scope, { ...breaker, probe: null })
  }
}

/** Could another account of this process take a generation that was refused with its own? */
export function isElsewhere (state: State, row: Generation): boolean {
  return ownAccounts(state).some(account => account !== accountOf(state, row) && (state.breakers.get(scopeOf(state, account))?.state ?? 'ok') === 'ok')
}

/** Ids of the probes under way. */
export function probes (state: State): string[] {
  return [...state.breakers.values()].flatMap(breaker => breaker.probe ?? [])
}

/** How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent. */
export function retryAfterSecondsOf (state: State, breaker: KeptBreaker): number {
  if (breaker.state === UNSURE) return ledgerConstants.unsureRetryMs / 1000
  const pauseMs = breaker.retryAtMs - state.now()
  return Math.max(1, Math.ceil((pauseMs > 0 ? pauseMs : state.times.leaseMs) / 1000))
}

/** Takes a word about buying at all that concerns nobody in particular. */
export function takeReport (state: State, report: BreakerReport): Breaker {
  return shown(state.upstream, take(state, report, EVERYBODY))
}

/**
 * Takes a word that came with evidence about this generation. One about the account is about that which it was sent with. What may be its tenant's doing is counted for that tenant and for the account. It trips the
 * account's breaker in two cases: another tenant met it, too; or the tenant's probe met it again, with another input than those that failed. The second case
 * counts once until something of the tenant's works: a tenant that breaks everything it sends proves nothing more.
 */
export function takeReportFor (state: State, row: Generation, given: BreakerReport): void {
  const ofAccount = scopeOf(state, accountOf(state, row))
  const report = given.scope === ACCOUNT_SCOPE ? { ...given, scope: ofAccount } : given
  if (report.tenantFirst !== true) {
    take(state, report, EVERYBODY)
    return
  }
  const scope = tenantScopeOf(row.tenant)
  const input = hash('sha1', row.input ?? '')
  const before = state.breakers.get(scope)
  const proves = before?.state === 'open' && before.probe === row.id && !before.proved && !before.inputs.includes(input)
  if (before !== undefined || hasRoom(state)) {
    const breaker = take(state, { ...report, scope }, row.tenant)
    const inputs = [input, ...breaker.inputs.filter(other => other !== input)].slice(0, ledgerConstants.maxFailedInputs)
    state.breakers.set(scope, { ...breaker, inputs, proved: breaker.proved || proves })
  }
  const isAccountOk = (state.breakers.get(ofAccount)?.state ?? 'ok') === 'ok'
  if (proves && isAccountOk) take(state, { scope: ofAccount, state: report.state, retryAfterMs: report.retryAfterMs }, EVERYBODY)
  else take(state, { ...report, scope: ofAccount }, row.tenant)
}

/** Is there a place for another tenant's breaker? If need be the oldest row of failures that tripped nothing is forgotten. */
function hasRoom (state: State): boolean {
  const tenants = [...state.breakers.values()].filter(({ scope }) => isTenants(scope))
  if (tenants.length < ledgerConstants.maxTenantBreakers) return true
  const [oldest] = tenants.filter(breaker => breaker.state === 'ok').sort((one, other) => one.sinceMs - other.sinceMs || (one.scope < other.scope ? -1 : 1))
  if (oldest === undefined) return false
  state.breakers.delete(oldest.scope)
  return true
}

/** Is it the scope of a tenant's breaker? */
export function isTenants (scope: string): boolean {
  return scope.startsWith(tenantScopeOf(''))
}

/**
 * Takes a report, the last one counting. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees
 * the place by ending. A tenant's breaker that is ok is forgotten.
 */
function take (state: State, report: BreakerReport, metBy: string): KeptBreaker {
  const { scope, only } = report
  const before = state.breakers.get(scope) ?? { scope, state: 'ok', sinceMs: state.now(), retryAtMs: 0, probe: null, failures: 0, metBy: null, inputs: [], proved: false }
  // A price that is unsure is an operator's matter, whatever else is heard of the model meanwhile.
  const isDeaf = before.state === UNSURE && only !== UNSURE
  if (isDeaf || (only !== undefined && before.state !== only)) return before
  const breaker = report.state === 'ok' ? closed(state, before) : failed(state, before, report, before.metBy === null || before.metBy === metBy ? metBy : EVERYBODY)
  if (report.state === 'ok' && isTenants(scope)) state.breakers.delete(scope)
  else state.breakers.set(scope, breaker)
  if (breaker.state !== before.state) addBreakerEvent(state, scope, before.state, breaker.state)
  if (before.state === UNSURE && breaker.state === 'ok') state.overruns.delete(scope)
  return breaker
}

function closed (state: State, { scope, state: word, sinceMs }: KeptBreaker): KeptBreaker {
  return { scope, state: 'ok', sinceMs: word === 'ok' ? sinceMs : state.now(), retryAtMs: 0, probe: null, failures: 0, metBy: null, inputs: [], proved: false }
}

function failed (state: State, before: KeptBreaker, { state: word, retryAfterMs, after }: BreakerReport, metBy: string): KeptBreaker {
  const now = state.now()
  const counted = { ...before, failures: before.failures + 1, metBy }
  // Too few failures in a row, or for the account all of one tenant.
  if (after !== undefined && before.state === 'ok' && (counted.failures < after || (isAccountScope(before.scope) && metBy !== EVERYBODY))) return counted
  // One more failure does not change why the breaker is tripped, only until when.
  if (after !== undefined && before.state !== 'ok' && before.state !== word) return { ...counted, retryAtMs: Math.max(before.retryAtMs, now + retryAfterMs) }
  return { ...counted, state: word, sinceMs: word === before.state ? before.sinceMs : now, retryAtMs: now + retryAfterMs, probe: word === UNSURE ? null : before.probe }
}

/** fal accepted this generation: it closes the breakers whose probe it is, and ends a row of failures. */
export function clear (state: State, row: Generation): void {
  for (const scope of [scopeOf(state, accountOf(state, row)), tenantScopeOf(row.tenant), row.model]) {
    const breaker = state.breakers.get(scope)
    if (breaker !== undefined && (breaker.state === 'ok' ? breaker.failures > 0 : breaker.probe === row.id)) takeReport(state, { scope, state: 'ok', retryAfterMs: 0 })
  }
}

/**
 * Weighs a bill that is being booked (rule 31): one that is absurd, or the second in a row above its reservation, leaves the price of the model unsure. What
 * cost nothing, and what was told without a cost, says nothing about the price.
 */
export function weighBill (state: State, { model, price }: Generation, told: MicroUsd | null): void {
  if (told === null || told === 0) return
  if (told <= price) {
    state.overruns.delete(model)
    return
  }
  const overruns = (state.overruns.get(model) ?? 0) + 1
  state.overruns.set(model, overruns)
  const isAbsurd = told > price * ledgerConstants.maxOverrun
  if (isAbsurd || overruns >= ledgerConstants.maxOverrunsInARow) takeReport(state, { scope: model, state: UNSURE, retryAfterMs: ledgerConstants.unsureRetryMs })
}

/** An operator has spoken about a bill of this model. Was its price unsure until now? */
export function trustPrice (state: State, model: string): boolean {
  state.overruns.delete(model)
  const isUnsure = state.breakers.get(model)?.state === UNSURE
  if (isUnsure) takeReport(state, { scope: model, state: 'ok', retryAfterMs: 0, only: UNSURE })
  return isUnsure
}

/** Every breaker that ever got a report; of tenants, those that are not ok or count failures. */
export function breakers (state: State): Breaker[] {
  return [...state.breakers.values()].map(breaker => shown(state.upstream, breaker)).sort((one, other) => one.scope < other.scope ? -1 : 1)
}

function shown (first: string | null, { scope, state, sinceMs, retryAtMs, probe, failures }: KeptBreaker): Breaker {
  return { scope, account: accountOfScope(scope, first), state, sinceMs, retryAtMs, probe, failures }
}
