// A dry run: what a request would get if it were made now, and by which figures. It goes the way of `request.ts` up to where that begins to write.

import { entryOf, Problem } from '../../errors.ts'
import type { MicroUsd } from '../../money.ts'
import type { Foreseen, Preview, RateState } from '../admission.ts'
import type { Generation } from '../generation.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded } from '../phases.ts'
import { leftOf } from './budgets.ts'
import { admissionOf, type AdmissionContext, type CallOptions, type Prices } from './call.ts'
import { settleDuplicates } from './duplicate-rounds.ts'
import { answeringAgain, problemOfEnd, problemOfFailed, problemOfRefusal } from './problems.ts'

/** What would become of a request, in a word. */
export const outlooks = ['buy', 'hit', 'join', 'replay', 'reattach', 'refuse'] as const

export interface Foresight {
  readonly would: typeof outlooks[number]
  /** What would refuse it; or what it would be told, where it leads to an end without a picture. */
  readonly problem: Problem | null
  /** What it costs at most, if it is bought; `null` where that cannot be told, or may not be bought. */
  readonly price: Prices | null
  /** How the tenant stands now; `null` where the ledger did not say. */
  readonly standing: Standing | null
}

export interface Standing {
  /** What is left of the tenant's own budget; `null` without one. */
  readonly left: MicroUsd | null
  readonly rate: RateState
  /** How many of the tenant's generations would be claimed before it. */
  readonly position: number
  /** How many of them are at fal. */
  readonly running: number
}

export interface ForesightDeps extends AdmissionContext {
  readonly ledger: Pick<Ledger, 'preview' | 'askOpen' | 'now'>
  readonly draining: () => boolean
  /** Does the answer lie in this process? */
  readonly isInMemory: (options: CallOptions) => boolean
  /** What is stored for a request that may not buy. */
  readonly stored: (options: CallOptions) => Promise<Generation | null>
}

/** No file is looked at for it: what is stored is believed to be there. */
const BELIEVED = { filesLastMs: null, lookedAt: null } as const

/** Nothing was found out about what a call costs, so the ledger is asked how the tenant stands without it. */
const FREE: Prices = { price: 0, unitPrice: 0, how: '' }

type Told = Pick<Foresight, 'would' | 'problem'>

/** Rejects as the request would when the ledger cannot be reached. */
export function createForesight (deps: ForesightDeps): (options: CallOptions) => Promise<Foresight> {
  const { ledger } = deps

  return async options => {
    const price = priceOf(options)
    const preview = await previewOf(options, price instanceof Problem ? FREE : price)
    return {
      ...await tell(options, price, preview),
      price: price instanceof Problem ? null : price,
      standing: preview instanceof Problem ? null : standingOf(options, preview)
    }
  }

  function priceOf ({ model, sent }: CallOptions): Prices | Problem {
    try {
      return deps.pricesOf(model, sent)
    } catch (error) {
      if (error instanceof Problem) return error
      throw error
    }
  }

  /** What the ledger says of it, or why it says nothing. Nobody waits for it, so it has no connection. */
  async function previewOf (options: CallOptions, prices: Prices): Promise<Settled | Problem> {
    const admission = admissionOf(options, null, { ...deps, pricesOf: () => prices })
    try {
      return await settleDuplicates<Settled>(ledger, async known => {
        const { would, ...figures } = await ledger.preview({ ...admission, ...known, ...BELIEVED })
        return would.outcome === 'duplicates' ? would : { ...figures, would, budgets: admission.budgets }
      })
    } catch (error) {
      if (error instanceof Problem) return error
      throw error
    }
  }

  /** In the order in which a request finds out. */
  async function tell (options: CallOptions, price: Prices | Problem, preview: Settled | Problem): Promise<Told> {
    if (deps.isInMemory(options)) return { would: 'hit', problem: null }
    if (options.mode === 'only' || deps.draining()) return await tellStored(options)
    if (price instanceof Problem) return refusedBy(price)
    if (preview instanceof Problem) return refusedBy(lasting(preview))
    const { would } = preview
    switch (would.outcome) {
      case 'bought': return { would: 'buy', problem: null }
      case 'refused': return refusedBy(problemOfRefusal(would))
      case 'gone': return { would: 'replay', problem: problemOfEnd(would.end) }
      case 'hit': case 'look': return { would: 'hit', problem: null }
      case 'joined': return { would: 'join', problem: problemOfRow(would.row, options) }
      case 'replayed': return { would: 'replay', problem: problemOfRow(would.row, options) }
      case 'adopted': return { would: 'reattach', problem: problemOfRow(would.row, options) }
    }
  }

  /** Of a request that may not buy. */
  async function tellStored (options: CallOptions): Promise<Told> {
    const { mode, tenant, subject, needsId } = options
    const row = await deps.stored(options).catch((error: unknown) => lasting(error))
    if (row instanceof Problem) return refusedBy(row)
    // What others bought has no id to come back with.
    const isGiven = row !== null && (!needsId || (row.tenant === tenant.id && row.subject === subject))
    return isGiven ? { would: 'hit', problem: null } : refusedBy(new Problem(mode === 'only' ? 'not-cached' : 'draining'))
  }

  /** What leads to an end without a picture is answered with that. */
  function problemOfRow (row: Extract<Foreseen, { row: unknown }>['row'], options: CallOptions): Problem | null {
    if (!hasEnded(row.phase) || row.phase === 'succeeded') return null
    return problemOfFailed({ row, ...answeringAgain(row, options, ledger.now()) })
  }
}

/** A preview without questions. */
interface Settled extends Omit<Preview, 'would'> {
  readonly would: Exclude<Foreseen, { outcome: 'duplicates' }>
  readonly budgets: ReturnType<typeof admissionOf>['budgets']
}

function refusedBy (problem: Problem): Told {
  return { would: 'refuse', problem }
}

/** What holds for every request, and so for this one. What may be over by then says nothing: it is thrown. */
function lasting (error: unknown): Problem {
  if (error instanceof Problem && entryOf(error.code).isLasting === true) return error
  throw error
}

function standingOf ({ tenant }: CallOptions, { budgets, balances, rate, position, running }: Settled): Standing {
  const { budget } = tenant
  const balance = budget === null ? undefined : balances[budgets.findIndex(({ owner, per }) => owner === tenant.id && per === budget.per)]
  return { left: budget === null || balance === undefined ? null : leftOf(budget.limit, balance), rate, position, running }
}
