// A webhook as its row keeps it: whom to tell of a generation, and how far that has come, so that what is due follows from the row alone.

import { integerOf, listOf, textOf, wordOf } from './fields.ts'
import { hasEnded, phases, type Phase } from './phases.ts'

/** How its body looks: as this gateway's own answers, or as fal's webhooks. */
export type HookForm = 'native' | 'fal'

const forms: readonly HookForm[] = ['native', 'fal']

/**
 * What a caller asks for with its request. `id`: one for each admission (see `newHookId`). `base`: the gateway's address as that caller reached it, for addresses in
 * the body.
 */
export interface WantedHook { readonly id: string, readonly url: string, readonly form: HookForm, readonly base: string }

/**
 * How far the latest event has come: `idle`: there was none; `sending`: one process has it until `atMs`; `paused`: it failed, and is tried again at `atMs`; the other
 * two are its ends.
 */
export type HookStage = 'idle' | 'sending' | 'paused' | 'delivered' | 'given-up'

const stages: readonly HookStage[] = ['idle', 'sending', 'paused', 'delivered', 'given-up']

/** A webhook as its row keeps it. */
export interface Hook extends WantedHook {
  /** The id that its reader knows the generation by: that of an alias, where it joined. */
  readonly generation: string
  readonly tenant: string
  readonly subject: string
  /** When it was asked for, or to be sent once more. */
  readonly askedAtMs: number
  /** Which word about this generation the latest one is: 1 is the first, 0: there was none. */
  readonly event: number
  /** Where the generation stood that it tells of. */
  readonly about: Phase | null
  readonly stage: HookStage
  /** How many tries of it failed. */
  readonly tries: number
  readonly atMs: number
  /** What the last try failed with, in a short word. */
  readonly error: string | null
}

export const NO_HOOKS: readonly Hook[] = []

/** As lists of texts, in one order: a new one goes behind the others. */
export const hooks = {
  kind: 'text',
  read: (kept: string | undefined): readonly Hook[] => listOf(JSON.parse(textOf(kept))).map(hookIn),
  write: (value: readonly Hook[]): string => JSON.stringify(value.map(hookTexts))
} as const

function hookTexts ({ id, generation, tenant, subject, url, form, base, askedAtMs, event, about, stage, tries, atMs, error }: Hook): readonly string[] {
  return [id, generation, tenant, subject, url, form, base, String(askedAtMs), String(event), about ?? '', stage, String(tries), String(atMs), error ?? '']
}

function hookIn (value: unknown): Hook {
  const [id, generation, tenant, subject, url, form, base, askedAtMs, event, about, stage, tries, atMs, error] = listOf(value).map(textOf)
  return {
    id: textOf(id),
    generation: textOf(generation),
    tenant: textOf(tenant),
    subject: textOf(subject),
    url: textOf(url),
    form: wordOf(forms, form),
    base: textOf(base),
    askedAtMs: integerOf(askedAtMs),
    event: integerOf(event),
    about: about === '' ? null : wordOf(phases, about),
    stage: wordOf(stages, stage),
    tries: integerOf(tries),
    atMs: integerOf(atMs),
    error: textOf(error) || null
  }
}

/** Does it have nothing to tell of a generation that stands so? Until that has ended it has something still to come. */
export function isTold ({ about, stage }: Pick<Hook, 'about' | 'stage'>, phase: Phase): boolean {
  return about === phase && (stage === 'delivered' || stage === 'given-up')
}

/** Since when there is something to tell of a generation that ended, or became `unknown`, at `endedAtMs`. */
export function sinceOf ({ askedAtMs }: Pick<Hook, 'askedAtMs'>, endedAtMs: number): number {
  return Math.max(askedAtMs, endedAtMs)
}

/**
 * When it is to be sent: never (`null`) what is told, and at no time that is known (`neverMs`) while the generation has not ended. An event waits until the one before it is
 * no more under way, and not for a pause of that one, whose body would be the same.
 */
export function dueOfHook (hook: Hook, phase: Phase, endedAtMs: number, neverMs: number): number | null {
  if (!hasEnded(phase)) return neverMs
  if (isTold(hook, phase)) return null
  if (hook.stage === 'sending' || (hook.stage === 'paused' && hook.about === phase)) return hook.atMs
  return sinceOf(hook, endedAtMs)
}

/** A webhook that nobody was told of yet. */
export function newHook (wanted: WantedHook, { generation, tenant, subject }: Pick<Hook, 'generation' | 'tenant' | 'subject'>, nowMs: number): Hook {
  const { id, url, form, base } = wanted
  return { id, url, form, base, generation, tenant, subject, askedAtMs: nowMs, event: 0, about: null, stage: 'idle', tries: 0, atMs: 0, error: null }
}
