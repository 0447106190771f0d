// The caller's story: look up, admit, wait, answer. What happens at fal meanwhile is told in `step.ts`; both meet only in the ledger.

import { setTimeout } from 'node:timers/promises'
import { Problem } from '../../errors.ts'
import type { AnswerSource } from '../../metrics.ts'
import type { MicroUsd } from '../../money.ts'
import type { OnTrouble } from '../../trouble.ts'
import type { Admission, Admitted, DuplicatesFirst, End, RateState } from '../admission.ts'
import { unitsBilled } from '../bill.ts'
import type { Connection, Generation } from '../generation.ts'
import { bodyOf, withOutput } from '../large.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded } from '../phases.ts'
import type { Watch } from '../watch/watch.ts'
import { admissionOf, reuseNameOf, type AdmissionContext, type CallOptions } from './call.ts'
import { createForesight, type Foresight } from './foresight.ts'
import { settleDuplicates } from './duplicate-rounds.ts'
import type { PriceRules } from './price-rules.ts'
import { answeringAgain, problemOfLost, problemOfRefusal, resultGone, type LedBy } from './problems.ts'
import { storedResultOf, type ResultCache, type StoredResult } from './result-cache.ts'

interface Origin {
  /** Where the answer came from; the word stands in `Cache-Status` and in the metrics. */
  readonly source: AnswerSource
  /** The tenant's purchases in this window; known only after an admission that counted. */
  readonly rate: RateState | null
}

/** What a caller gets. Everything else is thrown as a `Problem`. */
export type Answer =
  | Origin & {
    readonly kind: 'picture'
    /** The generation's id, unless the caller may not read it. */
    readonly generationId: string | null
    readonly body: Buffer | string
    /** Its row with the output, where that was read for this answer: not of what is stored. */
    readonly row: Generation | null
    /** Where in the body addresses stand that are made for who asks. */
    readonly bases: Generation['bases']
    readonly cost: MicroUsd
    readonly saved: MicroUsd
    /** What fal billed for this answer, in fal's units. */
    readonly units: string
    readonly stored: boolean
    readonly ageMs: number
    readonly ttlMs: number
  }
  | Origin & {
    readonly kind: 'failed'
    readonly row: Generation
    /** What leads the same request to this end again, and for how long. */
    readonly ledBy: LedBy
    readonly forMs: number
    /** How long ago it ended, when that was before this call came. */
    readonly ageMs: number | null
  }
  /** What the key stands for is forgotten; that it was bought is not. */
  | Origin & { readonly kind: 'gone', readonly end: End }
  | Origin & { readonly kind: 'under-way', readonly row: Generation }
  | { readonly kind: 'caller-gone' }

export interface RequestDeps extends AdmissionContext {
  readonly ledger: Ledger
  /** The ledger's, or that of what runs generations here, which begins at once what nobody waits before. */
  readonly admit: (admission: Admission) => Promise<Admitted>
  readonly cache: ResultCache
  readonly watch: Watch
  readonly priceRules: PriceRules
  readonly resultTtlMs: number
  readonly draining: () => boolean
  readonly onTrouble: OnTrouble
}

export interface Requests {
  /** The answer, if it lies in this process; costs no call to the ledger. */
  readonly fromMemory: (options: CallOptions) => Answer | null
  /** The answer to the caller at `connection`, once there is one; `gone` fires when that caller is. */
  readonly request: (options: CallOptions, connection: Connection, gone: AbortSignal) => Promise<Answer>
  /** What a request of this kind would get now; nothing is bought, and the ledger stays as it is. */
  readonly foresee: (options: CallOptions) => Promise<Foresight>
}

/** An admission that starts later than this has bought nothing, whatever the store does with it. */
const ADMISSION_DEADLINE_MS = 900

/** How long a retry may overtake the news that its first caller is gone: before a second identical picture is bought, callers are asked about again after this. */
const ASK_AGAIN_MS = 300

/** An admission without questions, or why none was asked for any more. */
type Settled = Exclude<Admitted, DuplicatesFirst> | { readonly outcome: 'caller-gone' } | { readonly outcome: 'draining' }

export function createRequests (deps: RequestDeps): Requests {
  const { ledger, cache, watch } = deps
  const foresee = createForesight({ ...deps, isInMemory: options => fromMemory(options) !== null, stored: storedFor })
  return { fromMemory, request, foresee }

  function fromMemory (options: CallOptions): Answer | null {
    // An idempotency key is checked against the request that it stands for, and only the ledger knows that one.
    if (options.idempotencyKey !== null || options.mode === 'refresh') return null
    const stored = options.cacheName === null ? undefined : cache.get(options.cacheName)
    return stored === undefined || (options.needsId && !isOwn(options, stored)) ? null : hit(options, stored)
  }

  async function request (options: CallOptions, connection: Connection, gone: AbortSignal): Promise<Answer> {
    if (options.mode === 'only' || deps.draining()) return await fromStore(options)
    if (gone.aborted) return { kind: 'caller-gone' } // nobody is left to buy for

    const admitted = await admit(options, connection, gone)
    if (admitted.outcome === 'caller-gone') return { kind: 'caller-gone' }
    if (admitted.outcome === 'draining') return await fromStore(options)
    if (admitted.outcome === 'refused') throw problemOfRefusal(admitted)
    if (admitted.outcome === 'gone') return { kind: 'gone', end: admitted.end, source: 'replayed', rate: null }
    if (admitted.outcome === 'hit') return hit(options, isAlias(admitted.row) ? resultOf(admitted.row) : keep(options.cacheName, admitted.row))
    const origin: Origin = { source: admitted.outcome, rate: admitted.outcome === 'bought' ? admitted.rate : null }
    return await answerWhenEnded(options, connection, gone, origin, admitted.row)
  }

  /**
   * Serves what is stored and buys nothing: for a caller that wants nothing bought, or in a process that takes no new work. There a request with an
   * `Idempotency-Key` is refused, because only an admission tells what the key stands for, or binds it.
   */
  async function fromStore (options: CallOptions): Promise<Answer> {
    const row = await storedFor(options)
    if (row !== null) return hit(options, keep(options.cacheName, row))
    throw new Problem(options.mode === 'only' ? 'not-cached' : 'draining')
  }

  async function storedFor ({ mode, idempotencyKey, cacheName }: CallOptions): Promise<Generation | null> {
    const isServed = mode === 'only' || ((mode === 'normal' || mode === 'reuse') && idempotencyKey === null)
    return cacheName !== null && isServed ? await ledger.lookup(cacheName) : null
  }

  /** Asks for admission until it is clear which undelivered duplicates still have a caller. That takes a while, in which this caller may leave, or the process begin to. */
  async function admit (options: CallOptions, connection: Connection, gone: AbortSignal): Promise<Settled> {
    const admission = admissionOf(options, connection, deps)
    const { model, priceRule } = admission
    const admitted = await settleDuplicates<Settled>(ledger, async known => {
      if (gone.aborted) return { outcome: 'caller-gone' }
      if (deps.draining()) return { outcome: 'draining' }
      return await deps.admit({ deadlineMs: ledger.now() + ADMISSION_DEADLINE_MS, ...known, ...admission })
    }, async () => { await setTimeout(ASK_AGAIN_MS, undefined, { signal: gone }).catch(() => {}) })
    if (admitted.outcome === 'bought') deps.priceRules.taken(model, priceRule)
    if (admitted.outcome === 'refused' && admitted.why === 'prices') deps.priceRules.refused(model, priceRule, admitted.ledgerRule)
    return admitted
  }

  async function answerWhenEnded (options: CallOptions, connection: Connection, gone: AbortSignal, origin: Origin, row: Generation): Promise<Answer> {
    const sinceMs = performance.now()
    const endedBefore = hasEnded(row.phase)
    const ended = endedBefore ? row : await waitForEnd(row, options.waitMs, gone)
    // What was bought here gave way to the same purchase, which the ledger had lost and got back.
    if (ended !== null && ended.purchase !== row.purchase) origin = { ...origin, source: 'joined' }
    if (ended !== null && origin.source === 'joined' && leftTheQueueUnspent(ended)) {
      // The buyer gave up before anything was bought. A caller that had joined it asks again, in its own name and for the rest of its time.
      return await request({ ...options, waitMs: Math.max(0, options.waitMs - (performance.now() - sinceMs)) }, connection, gone)
    }
    if (ended !== null && ended.phase !== 'succeeded') return failed(options, origin, ended, endedBefore)
    if (ended !== null) {
      const row = await readOutput(ended)
      return row === null ? { kind: 'under-way', row: ended, ...origin } : answerOf(origin, row, options)
    }
    if (!gone.aborted) return { kind: 'under-way', row: await latest(options, row), ...origin }
    if (options.waitMs > 0) await tellLeft(connection, row)
    return { kind: 'caller-gone' }
  }

  async function waitForEnd (row: Generation, waitMs: number, gone: AbortSignal): Promise<Generation | null> {
    if (waitMs === 0) return null
    const ended = await watch.untilEnded(row.purchase, waitMs, gone)
    if (ended !== null && 'lastSeen' in ended) throw problemOfLost(row, ended.lastSeen ?? row.phase)
    // Through an alias the reader keeps its own id, and sees nobody else's name.
    return ended === null ? null : { ...ended, id: row.id, tenant: row.tenant, subject: row.subject }
  }

  /** The row with its output. Null when that could not be read now; the caller can collect it later. */
  async function readOutput (row: Generation): Promise<Generation | null> {
    try {
      return await withOutput(ledger, row)
    } catch (error) {
      deps.onTrouble('read-large-result', error)
      return null
    }
  }

  /** The row as it now is; with the ledger away, as it was at admission: the caller still learns where to collect. */
  async function latest ({ tenant, subject }: CallOptions, row: Generation): Promise<Generation> {
    try {
      return await ledger.read(row.id, { tenant: tenant.id, subject }) ?? row
    } catch (error) {
      deps.onTrouble('read-at-timeout', error)
      return row
    }
  }

  /** Not knowing that a caller left only means that its replica is asked. */
  async function tellLeft (connection: Connection, row: Generation): Promise<void> {
    try {
      await ledger.left(row.id, connection)
    } catch (error) {
      deps.onTrouble('note-left', error)
    }
  }

  function failed (options: CallOptions, origin: Origin, row: Generation, endedBefore: boolean): Answer {
    const { finishedAtMs, answersUntilMs } = row
    const nowMs = ledger.now()
    const endedAtMs = finishedAtMs ?? answersUntilMs - ledgerConstants.answerMs
    return { kind: 'failed', row, ...answeringAgain(row, options, nowMs), ageMs: endedBefore ? Math.max(0, nowMs - endedAtMs) : null, ...origin }
  }

  function answerOf (origin: Origin, row: Generation, options: CallOptions): Answer {
    if (row.output === null) throw resultGone(row)
    const cost = row.cost ?? 0
    const bought = origin.source === 'bought'
    return {
      kind: 'picture',
      generationId: row.id,
      body: row.stored ? keepNew(options, row) : bodyOf(row, row.output),
      row,
      bases: row.bases,
      cost: bought ? cost : 0,
      saved: bought ? 0 : cost,
      units: bought ? unitsBilled(row, cost) : '0',
      stored: row.stored,
      ageMs: 0,
      ttlMs: deps.resultTtlMs,
      ...origin
    }
  }

  function hit (options: CallOptions, stored: StoredResult): Answer {
    const ageMs = Math.max(0, ledger.now() - stored.finishedAtMs)
    return {
      kind: 'picture',
      source: 'hit',
      rate: null,
      generationId: isOwn(options, stored) ? stored.generationId : null,
      body: stored.body,
      row: null,
      bases: stored.bases,
      cost: 0,
      saved: stored.cost,
      units: '0',
      stored: true,
      ageMs,
      ttlMs: Math.max(0, deps.resultTtlMs - ageMs)
    }
  }

  /** Puts a success that just came into the in-process layer, also in place of an older one that is there for those who reuse pictures. Gives what is sent. */
  function keepNew (options: CallOptions, row: Generation): Buffer | string {
    if (row.output === null) throw resultGone(row)
    const name = reuseNameOf(options)
    if (name !== null && name !== options.cacheName && cache.get(name) !== undefined) cache.put(name, row, row.output)
    return options.cacheName === null ? bodyOf(row, row.output) : keep(options.cacheName, row).body
  }

  /** Puts a success that the ledger has under this name into the in-process layer. */
  function keep (cacheName: string | null, row: Generation): StoredResult {
    if (row.output === null || cacheName === null) throw resultGone(row)
    return cache.put(cacheName, row, row.output)
  }
}

/** A success under the id that its reader was given, which is nobody else's. */
function resultOf (row: Generation): StoredResult {
  if (row.output === null) throw resultGone(row)
  return storedResultOf(row, row.output)
}

function isAlias ({ id, purchase }: Generation): boolean {
  return id !== purchase
}

function isOwn ({ tenant, subject }: CallOptions, stored: StoredResult): boolean {
  return stored.tenant === tenant.id && stored.subject === subject
}

/** Did it end without ever being accepted: cancelled, or past its deadline in the queue? */
function leftTheQueueUnspent (row: Generation): boolean {
  return row.requestId === null && row.cost === 0 && (row.phase === 'cancelled' || row.failure?.code === 'upstream-timeout' || row.failure?.code === 'start-timeout')
}
