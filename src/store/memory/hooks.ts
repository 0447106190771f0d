// Webhooks: noted at admission, given to who sends them, and what became of that.

import type { Admission } from '../../generation/admission.ts'
import { isTold, newHook, NO_HOOKS, type Hook } from '../../generation/hook.ts'
import { seenHooks, type DueHook, type HookedRow, type HookOutcome, type HookSearch, type SeenHook, type SentAgain, type TriedHook } from '../../generation/hooks.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { hasEnded } from '../../generation/phases.ts'
import type { Entry } from './entry.ts'
import { dueMs, endedAtMs } from './hook-places.ts'
import { adjust, findById, show, showAlias } from './rows.ts'
import type { State } from './state.ts'

type Wanted = Pick<Admission, 'tenant' | 'subject' | 'hook'>

// ------------------------------------------------------------------------------------------------ at admission

/** What an admission wants to be told of: the row that it is given, under this id, or one that is not there yet. */
export interface Wish { readonly admission: Wanted, readonly about: { readonly entry: Entry, readonly generation: string } | null }

/** Is there room for all of these, which are one tenant's? */
export function hasRoomForHooks (state: State, wishes: readonly Wish[]): boolean {
  const asking = wishes.filter(({ admission }) => admission.hook !== null)
  const [first] = asking
  if (first === undefined) return true
  const isFull = asking.some(({ admission, about }) => about !== null && sameOf(about.entry, admission, about.generation) === undefined && openOf(about.entry).length >= ledgerConstants.maxHooks)
  const open = state.hooks.get(first.admission.tenant)
  const added = asking.filter(({ about }) => about === null || open?.score(about.entry.row.id) === undefined).length
  return !isFull && (open?.size() ?? 0) + added <= ledgerConstants.maxHookedGenerations
}

/**
 * Notes whom an admission wants to be told, of this row under the id that its reader knows. The same reader, id, address and form are one webhook. What was told is told once more to
 * a caller that asks later (`isNew`), and not to one that repeats its request.
 */
export function noteHook (state: State, admission: Wanted, generation: string, entry: Entry, isNew: boolean): void {
  const { tenant, subject, hook: wanted } = admission
  if (wanted === null) return
  const { hooks } = entry.hidden
  const same = sameOf(entry, admission, generation)
  // When the admission that noted it first is taken back, this one keeps it.
  if (same?.stage === 'idle') return put(state, entry, hooks.map(hook => hook === same ? { ...hook, id: wanted.id } : hook))
  if (same !== undefined && (!isNew || !isTold(same, entry.row.phase))) return
  put(state, entry, withRoom([...hooks.filter(hook => hook !== same), newHook(wanted, { generation, tenant, subject }, state.now())], entry))
}

/** The hooks of a row that is bought. */
export function firstHooks (state: State, { id, tenant, subject, hook }: Pick<Admission, 'id'> & Wanted): readonly Hook[] {
  return hook === null ? NO_HOOKS : [newHook(hook, { generation: id, tenant, subject }, state.now())]
}

/** What is told makes room, the oldest first. */
function withRoom (hooks: readonly Hook[], { row: { phase } }: Entry): readonly Hook[] {
  const over = hooks.length - ledgerConstants.maxHooks
  if (over <= 0) return hooks
  const going = new Set(hooks.filter(hook => isTold(hook, phase)).slice(0, over))
  return hooks.filter(hook => !going.has(hook))
}

/** A webhook of this admission that nobody was told of yet goes with it: its caller was told that nothing was done. */
export function takeBackHook (state: State, entry: Entry, hook: string): void {
  const { hooks } = entry.hidden
  if (hooks.some(({ id, event }) => id === hook && event === 0)) put(state, entry, hooks.filter(({ id }) => id !== hook))
}

/** Adds those to a row that another one brings, whose place it takes. */
export function carryHooks (state: State, from: readonly Hook[], to: Entry): void {
  const known = new Set(to.hidden.hooks.map(({ id }) => id))
  const added = from.filter(({ id }) => !known.has(id))
  if (added.length > 0) put(state, to, [...to.hidden.hooks, ...added])
}

function put (state: State, entry: Entry, hooks: readonly Hook[]): void {
  adjust(state, entry, { hooks: hooks.length === 0 ? NO_HOOKS : hooks })
}

function openOf (entry: Entry): readonly Hook[] {
  return entry.hidden.hooks.filter(hook => !isTold(hook, entry.row.phase))
}

function sameOf ({ hidden: { hooks } }: Entry, { tenant, subject, hook }: Wanted, generation: string): Hook | undefined {
  return hook === null ? undefined : hooks.find(one => one.tenant === tenant && one.subject === subject && one.generation === generation && one.url === hook.url && one.form === hook.form)
}

// ------------------------------------------------------------------------------------------------ sending

/** What of a tenant may be taken in one call: rows that are due, and how many of its webhooks were taken. */
interface Turn { readonly tenant: string, readonly ids: string[], taken: number }

/** The ledger's `takeHooks`. */
export function takeHooks (state: State, max: number, exceptTenants: readonly string[]): DueHook[] {
  const taken: DueHook[] = []
  const except = new Set(exceptTenants)
  const tenants = state.hookTurns.first(max + except.size, state.now()).filter(tenant => !except.has(tenant))
  let turns: readonly Turn[] = tenants.map(tenant => ({ tenant, ids: state.hooks.get(tenant)?.first(ledgerConstants.maxHooksAtOnce, state.now()) ?? [], taken: 0 }))
  while (turns.length > 0 && taken.length < max) {
    turns = turns.filter(turn => {
      const due = taken.length < max && turn.taken < ledgerConstants.maxHooksAtOnce ? takeNext(state, turn) : null
      if (due === null) return false
      taken.push(due)
      turn.taken += 1
      return true
    })
  }
  return taken
}

function takeNext (state: State, { tenant, ids }: Turn): DueHook | null {
  for (let [id] = ids; id !== undefined; [id] = ids) {
    const entry = state.rows.get(id)
    const hook = entry === undefined ? undefined : firstDue(state, entry, tenant)
    if (entry !== undefined && hook !== undefined) return take(state, entry, hook)
    ids.shift()
  }
  return null
}

/** Of equals that which was noted first. */
function firstDue (state: State, entry: Entry, tenant: string): Hook | undefined {
  let found: Hook | undefined
  let foundMs = Infinity
  for (const hook of entry.hidden.hooks) {
    const atMs = hook.tenant === tenant ? dueMs(entry, hook) : null
    if (atMs === null || atMs > state.now() || atMs >= foundMs) continue
    found = hook
    foundMs = atMs
  }
  return found
}

function take (state: State, entry: Entry, hook: Hook): DueHook {
  const { phase } = entry.row
  const untilMs = state.now() + ledgerConstants.hookLeaseMs
  const isSame = hook.about === phase
  const died = isSame && hook.stage === 'sending'
  const sending: Hook = {
    ...hook,
    about: phase,
    event: isSame ? hook.event : hook.event + 1,
    stage: 'sending',
    tries: isSame ? hook.tries + (died ? 1 : 0) : 0,
    error: died ? 'gone' : isSame ? hook.error : null,
    atMs: untilMs
  }
  put(state, entry, entry.hidden.hooks.map(known => known === hook ? sending : known))
  const { stage, atMs, about, ...due } = sending
  return { ...due, purchase: entry.row.id, untilMs, row: hook.generation === entry.row.id ? show(state, entry) : showAlias(state, hook.generation, hook, entry) }
}

/** The ledger's `hookTried`. */
export function hookTried (state: State, { id, purchase, event, untilMs }: TriedHook, then: HookOutcome): boolean {
  const entry = state.rows.get(purchase)
  const hook = entry?.hidden.hooks.find(known => known.id === id)
  if (entry === undefined || hook === undefined || hook.event !== event || hook.stage === 'delivered') return false
  const isHolders = hook.stage === 'sending' && hook.atMs === untilMs
  if (then.kind !== 'delivered' && !isHolders) return false
  put(state, entry, entry.hidden.hooks.map(known => known === hook ? { ...hook, ...triedWith(state, hook, then) } : known))
  return true
}

function triedWith (state: State, { tries }: Hook, then: HookOutcome): Partial<Hook> {
  switch (then.kind) {
    case 'delivered': return { stage: 'delivered', error: null }
    case 'again': return { stage: 'paused', tries: tries + 1, error: then.error, atMs: state.now() + then.pauseMs }
    case 'given-up': return { stage: 'given-up', tries: tries + 1, error: then.error }
  }
}

// ------------------------------------------------------------------------------------------------ operators

/** The ledger's `hooks`. */
export function listHooks (state: State, search: HookSearch): SeenHook[] {
  const looks = ledgerConstants.maxHookLooks
  const open = search.tenant === null ? state.untold.first(looks) : state.hooks.get(search.tenant)?.first(looks) ?? []
  const rows = (ids: readonly string[]): HookedRow[] => ids.flatMap(id => {
    const entry = state.rows.get(id)
    return entry === undefined ? [] : [{ hooks: entry.hidden.hooks, phase: entry.row.phase, endedAtMs: endedAtMs(entry) }]
  })
  return seenHooks(rows(open), rows(state.givenUp.last(looks, Infinity)), search, state.now())
}

/** The ledger's `sendHooksAgain`. */
export function sendHooksAgain (state: State, id: string): SentAgain {
  const entry = findById(state, id)?.entry
  const own = entry?.hidden.hooks.filter(({ generation }) => generation === id) ?? []
  if (entry === undefined || own.length === 0) return { outcome: 'no-such-hook' }
  if (!hasEnded(entry.row.phase)) return { outcome: 'not-ended' }
  put(state, entry, entry.hidden.hooks.map(hook => hook.generation === id && !(hook.stage === 'sending' && hook.atMs > state.now()) ? sentAgain(state, entry, hook) : hook))
  return { outcome: 'due', hooks: own.length }
}

/** What was told of where it stands now is told once more, under the same number; what is new has not been tried. */
function sentAgain (state: State, { row: { phase } }: Entry, hook: Hook): Hook {
  const again = { ...hook, askedAtMs: state.now(), tries: 0 }
  return hook.about === phase ? { ...again, stage: 'paused', atMs: state.now() } : again
}
