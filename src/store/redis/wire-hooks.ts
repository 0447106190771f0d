// How the answers about webhooks are read.

import { integerOf, recordOf, textOf, wordOf } from '../../generation/fields.ts'
import { hooks } from '../../generation/hook.ts'
import type { DueHook, HookedRow, SentAgain } from '../../generation/hooks.ts'
import { phases } from '../../generation/phases.ts'
import { listIn, rowIn } from './wire-rows.ts'

export function dueHookIn (value: unknown): DueHook {
  const { hook, purchase, untilMs, row } = recordOf(value)
  const [found] = hooks.read(textOf(hook))
  if (found === undefined) throw new Error('The ledger gave a delivery without its webhook.')
  const { stage, atMs, about, ...due } = found
  return { ...due, purchase: textOf(purchase), untilMs: integerOf(untilMs), row: rowIn(row) }
}

/** Rows with webhooks, and how many were looked at. */
export function hookedIn (value: unknown): { readonly rows: readonly HookedRow[], readonly looked: number } {
  const { rows, looked } = recordOf(value)
  return { rows: listIn(hookedRowIn)(rows), looked: integerOf(looked) }
}

function hookedRowIn (value: unknown): HookedRow {
  const row = recordOf(value)
  return { hooks: hooks.read(textOf(row['hooks'])), phase: wordOf(phases, row['phase']), endedAtMs: integerOf(row['endedAtMs']) }
}

export function sentAgainIn (value: unknown): SentAgain {
  const { outcome, hooks } = recordOf(value)
  return outcome === 'due' ? { outcome, hooks: integerOf(hooks) } : { outcome: wordOf(['not-ended', 'no-such-hook'], outcome) }
}
