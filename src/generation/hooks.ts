// Webhooks on their way: what is due, what became of it, and what operators see.

import type { Generation } from './generation.ts'
import { dueOfHook, isTold, sinceOf, type Hook } from './hook.ts'
import { hasEnded, type Phase } from './phases.ts'

/** One delivery that is due, which its holder alone may make until `untilMs`. */
export interface DueHook extends Omit<Hook, 'stage' | 'atMs' | 'about'> {
  /** The id of the row that it is kept with. */
  readonly purchase: string
  readonly untilMs: number
  /** The generation as its reader sees it now, and as the body tells it. Of an output that is too long for a row see the ledger's `aside`. */
  readonly row: Generation
}

/** Which delivery it is that was tried. */
export type TriedHook = Pick<DueHook, 'id' | 'purchase' | 'event' | 'untilMs'>

/** What became of a delivery. `error`: a short word, never anything of a body. */
export type HookOutcome = { readonly kind: 'delivered' } | { readonly kind: 'again', readonly pauseMs: number, readonly error: string } | { readonly kind: 'given-up', readonly error: string }

/** Makes one delivery. Must not reject for what a receiver does. `null`: the signal stopped it, and it is left to the process that takes it next. */
export type DeliverHook = (hook: DueHook, stopped: AbortSignal) => Promise<HookOutcome | null>

/** A webhook as operators see it. Its address may hold a secret, so only the host is shown. */
export interface SeenHook extends Pick<Hook, 'id' | 'generation' | 'tenant' | 'form' | 'event' | 'tries' | 'askedAtMs' | 'error'> {
  readonly host: string
  /** `waiting`: the generation has not ended. */
  readonly state: 'waiting' | 'due' | 'sending' | 'delivered' | 'given-up'
  /** Since when somebody should have been told; `null` while it waits. */
  readonly sinceMs: number | null
  /** When it is tried next; `null` where it is not. */
  readonly nextAtMs: number | null
}

/** Those that operators look for: of one tenant or (`null`) all; `stuck`: that were tried in vain, or given up. */
export interface HookSearch { readonly tenant: string | null, readonly stuck: boolean, readonly limit: number }

/** What became of an operator's wish to send again all that a generation, by the id that its reader knows, has to tell. */
export type SentAgain = { readonly outcome: 'due', readonly hooks: number } | { readonly outcome: 'not-ended' | 'no-such-hook' }

/** The webhooks of a row, and how that stands. */
export interface HookedRow { readonly hooks: readonly Hook[], readonly phase: Phase, readonly endedAtMs: number }

/** What operators are shown of rows with open webhooks, longest due first, and of rows with one that was given up, newest first. */
export function seenHooks (open: readonly HookedRow[], givenUp: readonly HookedRow[], { tenant, stuck, limit }: HookSearch, nowMs: number): SeenHook[] {
  const seen = (rows: readonly HookedRow[]): readonly SeenHook[] => rows.flatMap(row => row.hooks.map(hook => seenHook(hook, row, nowMs))).filter(hook => tenant === null || hook.tenant === tenant)
  return [
    ...seen(open).filter(({ state, tries }) => state !== 'delivered' && state !== 'given-up' && (!stuck || tries > 0)),
    ...seen(givenUp).filter(({ state }) => state === 'given-up')
  ].slice(0, limit)
}

function seenHook (hook: Hook, { phase, endedAtMs }: HookedRow, nowMs: number): SeenHook {
  const { id, generation, tenant, url, form, event, tries, askedAtMs, error } = hook
  const isWaiting = !hasEnded(phase)
  const state = isWaiting ? 'waiting' : isTold(hook, phase) ? hook.stage === 'given-up' ? 'given-up' : 'delivered' : hook.stage === 'sending' && hook.atMs > nowMs ? 'sending' : 'due'
  return {
    id,
    generation,
    tenant,
    form,
    event,
    tries,
    askedAtMs,
    error,
    state,
    host: hostOf(url),
    sinceMs: isWaiting ? null : sinceOf(hook, endedAtMs),
    nextAtMs: isWaiting ? null : dueOfHook(hook, phase, endedAtMs, Infinity)
  }
}

/** The host of an address, with its port where it names one. */
function hostOf (url: string): string {
  return URL.canParse(url) ? new URL(url).host : ''
}
