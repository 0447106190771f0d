// The caller's story: look up, admit, wait, answer. What happens at fal meanwhile is told in `step.ts`; both meet only in the ledger.

import { Problem } from '../../errors.ts'
import type { AnswerSource } from '../../metrics.ts'
import type { MicroUsd } from '../../money.ts'
import type { TraceContext } from '../../trace-context.ts'
import type { Tracing } from '../../tracing.ts'
import type { OnTrouble } from '../../trouble.ts'
import type { Admission, Admitted, AdmittedAll, DuplicatesFirst, End, Got, LookFirst, RateState, Refused } from '../admission.ts'
import { unitsBilled } from '../bill.ts'
import type { Connection, Generation } from '../generation.ts'
import { bodyOf, withOutput } from '../large.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Ledger } from '../ledger.ts'
import { hasEnded } from '../phases.ts'
import { pauseWithCaller, type CallerLink } from '../watch/presence.ts'
import type { Lost, Watch } from '../watch/watch.ts'
import { inAdmissionSpan } from './admission-span.ts'
import { admissionOf, reuseNameOf, type AdmissionContext, type CallOptions } from './call.ts'
import type { FileLooks } from './file-looks.ts'
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
  /** It was bought, or joined, because the files of what was stored are gone. */
  readonly foundDead: boolean
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
    readonly media: Generation['media']
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
  | Origin & {
    readonly kind: 'under-way'
    readonly generationId: string
    /** As it is now; `null` for a caller that did not ask for it: one that waited for a picture only learns where to collect it. */
    readonly row: Generation | null
  }
  | { readonly kind: 'caller-gone' }

export interface RequestDeps extends AdmissionContext {
  readonly ledger: Ledger
  /** The ledger's, or that of what runs generations here, which begins at once what nobody waits before. */
  readonly admit: (admission: Admission) => Promise<Admitted>
  readonly cache: ResultCache
  readonly looks: FileLooks
  readonly watch: Watch
  readonly priceRules: PriceRules
  readonly resultTtlMs: number
  readonly draining: () => boolean
  readonly tracing: Tracing
  readonly onTrouble: OnTrouble
}

export interface Requests {
  /** The answer, if it lies in this process; costs no call to the ledger. */
  readonly fromMemory: (options: CallOptions) => Answer | null
  /** The answer to the caller at `connection`, once there is one. */
  readonly request: (options: CallOptions, connection: Connection, caller: CallerLink) => Promise<Answer>
  /**
   * The answers to 2 to 10 calls of one caller, in their order, once there are all of them. They are admitted together: where one is refused, none is bought (rule 38).
   * What becomes of each after that is its own.
   */
  readonly requestAll: (list: readonly CallOptions[], connection: Connection, caller: CallerLink) => Promise<readonly Answer[]>
  /** What a request of this kind would get now; nothing is bought, and the ledger stays as it is. */
  readonly foresee: (options: CallOptions) => Promise<Foresight>
}

/** An admission that starts later than this has bought nothing, whatever the store does with it. */
const ADMISSION_DEADLINE_MS = 900

/** How long a retry may overtake the news that its first caller is gone: before a second identical picture is bought, callers are asked about again after this. */
const ASK_AGAIN_MS = 300

/** An admission without questions that was not refused, or why none was asked for any more. */
type Settled = (Got | Unasked) & Pick<Origin, 'foundDead'>

/** The same of a list. */
type SettledAll = Exclude<AdmittedAll, Refused | LookFirst | DuplicatesFirst> | Unasked

type Unasked = { readonly outcome: 'caller-gone' } | { readonly outcome: 'draining' }

/** What is kept while a caller waits. The row itself has four times as much. */
interface Awaited extends Origin, Pick<Generation, 'id' | 'purchase' | 'tenant' | 'subject' | 'phase' | 'price'> {
  readonly kind: 'awaited'
  /** When the caller began to wait, by the monotonic clock. */
  readonly sinceMs: number
  /** As it was admitted, for a caller that is told of it, with the ledger away, too. */
  readonly row: Generation | null
}

export function createRequests (deps: RequestDeps): Requests {
  const { ledger, cache, watch } = deps
  const foresee = createForesight({ ...deps, isInMemory: options => fromMemory(options) !== null, stored: storedFor })
  return { fromMemory, request, requestAll, foresee }

  function fromMemory (options: CallOptions): Answer | null {
    // An idempotency key is checked against the request that it stands for, and only the ledger knows that one.
    if (options.idempotencyKey !== null || options.mode === 'refresh') return null
    // Whom to tell is noted by the ledger alone.
    if (options.hook !== null) return null
    const stored = options.cacheName === null ? undefined : cache.get(options.cacheName)
    return stored === undefined || (options.needsId && !isOwn(options, stored)) || !deps.looks.isSure(stored) ? null : hit(options, stored)
  }

  /** Waits in one function alone, which has nothing at hand but what the answer needs: whatever it had would be kept as long as the caller waits. */
  async function request (options: CallOptions, connection: Connection, caller: CallerLink): Promise<Answer> {
    const begun = await begin(options, connection, caller)
    if (begun.kind !== 'awaited') return begun
    const outcome = await watch.untilEnded(begun.purchase, options.waitMs, caller)
    return await answerTo(options, connection, caller, begun, outcome)
  }

  /** Everything up to the moment from which the caller waits; the answer, when there is one at once. */
  async function begin (options: CallOptions, connection: Connection, caller: CallerLink): Promise<Answer | Awaited> {
    if (options.mode === 'only' || deps.draining()) return await fromStore(options)
    if (!caller.isOpen()) return { kind: 'caller-gone' } // nobody is left to buy for

    const admitted = await admit(options, connection, caller)
    if (admitted.outcome === 'caller-gone') return { kind: 'caller-gone' }
    if (admitted.outcome === 'draining') return await fromStore(options)
    return await beginAt(options, connection, caller, admitted, admitted.foundDead)
  }

  async function requestAll (list: readonly CallOptions[], connection: Connection, caller: CallerLink): Promise<readonly Answer[]> {
    const [first] = list
    if (first?.mode === 'only' || deps.draining()) return await allFromStore(list)
    if (!caller.isOpen()) return list.map(() => ({ kind: 'caller-gone' }))
    const foundDead = await Promise.all(list.map(isDead))
    const admitted = await admitAll(list, connection, caller)
    if (admitted.outcome === 'draining') return await allFromStore(list)
    if (admitted.outcome === 'caller-gone') return list.map(() => ({ kind: 'caller-gone' }))
    return await Promise.all(list.map(async (options, index) => {
      const got = admitted.got[index]
      // That one was admitted, and is forgotten by now.
      if (got === undefined || got.outcome === 'refused') throw problemOfRefusal({ outcome: 'refused', why: 'late' })
      const begun = await beginAt(options, connection, caller, got, foundDead[index] === true)
      return begun.kind !== 'awaited' ? begun : await answerTo(options, connection, caller, begun, await watch.untilEnded(begun.purchase, options.waitMs, caller))
    }))
  }

  /** Is there something stored for this call, whose files are gone? It leads nowhere then. */
  async function isDead ({ cacheName, mode }: CallOptions): Promise<boolean> {
    const row = cacheName === null || mode === 'refresh' ? null : await ledger.lookup(cacheName)
    return row !== null && !await deps.looks.areThere(row)
  }

  /** What is stored of each, or nothing of any. */
  async function allFromStore (list: readonly CallOptions[]): Promise<readonly Answer[]> {
    return await Promise.all(list.map(fromStore))
  }

  /** From what the ledger said of a call to the moment from which its caller waits. */
  async function beginAt (options: CallOptions, connection: Connection, caller: CallerLink, admitted: Got, isStoredDead: boolean): Promise<Answer | Awaited> {
    if (admitted.outcome === 'gone') return { kind: 'gone', end: admitted.end, source: 'replayed', rate: null, foundDead: false }
    if (admitted.outcome === 'hit') return hit(options, isAlias(admitted.row) ? resultOf(admitted.row) : keep(options.cacheName, admitted.row))
    const { row } = admitted
    const foundDead = isStoredDead && (admitted.outcome === 'bought' || admitted.outcome === 'joined')
    const origin: Origin = { source: admitted.outcome, rate: admitted.outcome === 'bought' ? admitted.rate : null, foundDead }
    if (hasEnded(row.phase)) return await answerToEnd(options, connection, caller, origin, row, null)
    const awaited = awaitedOf(row, origin, options)
    return options.waitMs === 0 ? await answerInVain(options, connection, caller, awaited) : awaited
  }

  /**
   * Serves what is stored and buys nothing: for a caller that wants nothing bought, or in a process that takes no new work. There a request with an
   * `Idempotency-Key` is refused, because only an admission tells what the key stands for, or binds it; so is one with a webhook, which only an admission notes.
   */
  async function fromStore (options: CallOptions): Promise<Answer> {
    const row = await storedFor(options)
    if (row !== null) return hit(options, keep(options.cacheName, row))
    throw new Problem(options.mode === 'only' ? 'not-cached' : 'draining')
  }

  async function storedFor ({ mode, idempotencyKey, cacheName, hook }: CallOptions): Promise<Generation | null> {
    const isServed = mode === 'only' || ((mode === 'normal' || mode === 'reuse') && idempotencyKey === null)
    const row = cacheName !== null && isServed && hook === null ? await ledger.lookup(cacheName) : null
    return row === null || await deps.looks.areThere(row) ? row : null
  }

  async function admit (options: CallOptions, connection: Connection, caller: CallerLink): Promise<Settled> {
    return await inAdmissionSpan(deps.tracing, options, async trace => await settle(admissionOf(options, connection, deps), trace, caller))
  }

  /** The same of a list, in the trace of the caller. */
  async function admitAll (list: readonly CallOptions[], connection: Connection, caller: CallerLink): Promise<SettledAll> {
    const admissions = list.map(options => ({ ...admissionOf(options, connection, deps), trace: options.trace }))
    const admitted = await settleDuplicates<SettledAll | Refused>(ledger, async known => {
      if (!caller.isOpen()) return { outcome: 'caller-gone' }
      if (deps.draining()) return { outcome: 'draining' }
      const deadlineMs = ledger.now() + ADMISSION_DEADLINE_MS
      const answer = await ledger.admitAll(admissions.map(admission => ({ deadlineMs, ...known, filesLastMs: null, lookedAt: null, ...admission })))
      // They were looked at before.
      if (answer.outcome === 'look') throw new Error('the ledger wants files to be looked at that are there for ever')
      return answer
    }, async () => { await pauseWithCaller(ASK_AGAIN_MS, caller) })
    const [{ model, priceRule } = { model: '', priceRule: '' }] = admissions
    if (admitted.outcome === 'all' && admitted.got.some(({ outcome }) => outcome === 'bought')) deps.priceRules.taken(model, priceRule)
    if (admitted.outcome !== 'refused') return admitted
    if (admitted.why === 'prices') deps.priceRules.refused(model, priceRule, admitted.ledgerRule)
    throw problemOfRefusal(admitted)
  }

  /** Asks for admission until it is clear which undelivered duplicates still have a caller. That takes a while, in which this caller may leave, or the process begin to. */
  async function settle (admission: ReturnType<typeof admissionOf>, trace: TraceContext | null, caller: CallerLink): Promise<Settled> {
    const { model, priceRule } = admission
    let foundDead = false
    const admitted = await settleDuplicates<Got | Refused | Unasked>(ledger, async known => {
      if (!caller.isOpen()) return { outcome: 'caller-gone' }
      if (deps.draining()) return { outcome: 'draining' }
      const looked = await deps.looks.admit(async looked => await deps.admit({ deadlineMs: ledger.now() + ADMISSION_DEADLINE_MS, ...known, ...looked, ...admission, trace }))
      foundDead ||= looked.foundDead
      return looked.admitted
    }, async () => { await pauseWithCaller(ASK_AGAIN_MS, caller) })
    if (admitted.outcome === 'bought') deps.priceRules.taken(model, priceRule)
    if (admitted.outcome !== 'refused') return { ...admitted, foundDead }
    if (admitted.why === 'prices') deps.priceRules.refused(model, priceRule, admitted.ledgerRule)
    throw problemOfRefusal(admitted)
  }

  /** The answer to a caller that has waited. */
  async function answerTo (options: CallOptions, connection: Connection, caller: CallerLink, awaited: Awaited, outcome: Generation | Lost | null): Promise<Answer> {
    if (outcome === null) return await answerInVain(options, connection, caller, awaited)
    if ('lastSeen' in outcome) throw problemOfLost(awaited, outcome.lastSeen ?? awaited.phase)
    // Through an alias the reader keeps its own id, and sees nobody else's name.
    const ended = { ...outcome, id: awaited.id, tenant: awaited.tenant, subject: awaited.subject }
    // What was bought here gave way to the same purchase, which the ledger had lost and got back.
    const origin: Origin = { rate: awaited.rate, foundDead: awaited.foundDead, source: ended.purchase === awaited.purchase ? awaited.source : 'joined' }
    return await answerToEnd(options, connection, caller, origin, ended, awaited.sinceMs)
  }

  /** The answer out of a row that has ended: while its caller waited since `sinceMs`, or, where that is `null`, before the call came. */
  async function answerToEnd (options: CallOptions, connection: Connection, caller: CallerLink, origin: Origin, ended: Generation, sinceMs: number | null): Promise<Answer> {
    if (origin.source === 'joined' && leftTheQueueUnspent(ended)) {
      // The buyer gave up before anything was bought. A caller that had joined it asks again, in its own name and for the rest of its time.
      const waitedMs = sinceMs === null ? 0 : performance.now() - sinceMs
      return await request({ ...options, waitMs: Math.max(0, options.waitMs - waitedMs) }, connection, caller)
    }
    if (ended.phase !== 'succeeded') return failed(options, origin, ended, sinceMs === null)
    const row = await readOutput(ended)
    return row === null ? { kind: 'under-way', generationId: ended.id, row: ended, ...origin } : answerOf(origin, row, options)
  }

  /** The answer before there is an end, to a caller that does not wait, or not any longer. */
  async function answerInVain (options: CallOptions, connection: Connection, caller: CallerLink, { source, rate, foundDead, id, row }: Awaited): Promise<Answer> {
    if (caller.isOpen()) return { kind: 'under-way', generationId: id, row: row === null ? null : await latest(options, row), source, rate, foundDead }
    if (options.waitMs > 0) await tellLeft(connection, id)
    return { kind: 'caller-gone' }
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
  async function tellLeft (connection: Connection, id: string): Promise<void> {
    try {
      await ledger.left(id, connection)
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
      media: row.media,
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
      foundDead: false,
      generationId: isOwn(options, stored) ? stored.generationId : null,
      body: stored.body,
      row: null,
      bases: stored.bases,
      media: stored.media,
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

function awaitedOf (row: Generation, { source, rate, foundDead }: Origin, { async }: CallOptions): Awaited {
  const { id, tenant, subject, phase, price } = row
  // Of two equal texts one is kept.
  return { kind: 'awaited', id, purchase: isAlias(row) ? row.purchase : id, tenant, subject, phase, price, source, rate, foundDead, sinceMs: performance.now(), row: async ? row : null }
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
