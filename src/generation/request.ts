// The caller's story: look up, admit, wait, answer. What happens at fal meanwhile is told in `step.ts`; both meet only in the ledger.

import { Problem } from '../errors.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import type { Model } from '../models/model.ts'
import type { Tenant } from '../tenants.ts'
import { fingerprint, idempotencyName, resultName, twinName } from './key.ts'
import { hasEnded } from './phases.ts'
import type { Admission, Admitted, Budget, Connection, Ledger, RateState, Reader, Refused, Row, TwinAnswer } from './ports.ts'
import type { ResultCache, StoredResult } from './result-cache.ts'
import type { Watch } from './watch.ts'

/** One request for a picture, validated and authenticated. */
export interface Call {
  /** A fresh UUIDv7: the id of the generation, should this call buy one. */
  readonly id: string
  readonly tenant: Tenant
  /** The browser token's id, or `''` for the tenant's own keys. */
  readonly subject: string
  readonly model: Model
  /** Canonical JSON with defaults filled in. */
  readonly input: string
  /** Canonical JSON as it was sent. */
  readonly inputAsSent: string
  readonly seed: string | null
  /** `only` answers from what is stored or not at all. */
  readonly mode: 'normal' | 'refresh' | 'bypass' | 'only'
  readonly idempotencyKey: string | null
  /** How long the caller waits for the end; 0: not at all. */
  readonly waitMs: number
  /** The caller asked not to be kept waiting: time up is a 202, not a failure. */
  readonly async: boolean
  readonly connection: Connection
  /** Fires when the caller's connection is gone. */
  readonly gone: AbortSignal
}

/** Where an answer came from; the word stands in `Cache-Status` and in the metrics. */
export type Source = 'hit' | 'bought' | 'joined' | 'replayed' | 'adopted'

interface Origin {
  readonly source: Source
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
    readonly cost: MicroUsd
    readonly saved: MicroUsd
    readonly stored: boolean
    readonly ageMs: number
    readonly ttlMs: number
  }
  | Origin & { readonly kind: 'failed', readonly row: Row }
  | Origin & { readonly kind: 'under-way', readonly row: Row }
  | Origin & { readonly kind: 'caller-gone', readonly row: Row }

export interface RequestTools {
  readonly ledger: Ledger
  readonly cache: ResultCache
  readonly watch: Watch
  readonly companyBudget: () => { readonly limit: MicroUsd, readonly per: 'day' | 'month' } | null
  readonly priceOf: (model: Model) => MicroUsd
  readonly resultTtlMs: number
  readonly draining: () => boolean
  /** A fresh UUIDv7. */
  readonly newId: () => string
}

/** An admission that starts later than this has bought nothing, whatever the store does with it. */
const ADMISSION_DEADLINE_MS = 900

/** Rounds of asking whether the callers of undelivered twins are still there. */
const MAX_TWIN_ROUNDS = 4

export type Request = (call: Call) => Promise<Answer>

export function createRequest (tools: RequestTools): Request {
  const { ledger, cache, watch } = tools

  return request

  async function request (call: Call): Promise<Answer> {
    const cacheName = call.seed === null || call.mode === 'bypass' ? null : resultName(call.tenant.cacheGroup, call.model, call.input)
    // A call with an idempotency key always meets the ledger: only there its key can be checked against the request that it stands for.
    if (cacheName !== null && call.idempotencyKey === null && call.mode !== 'refresh') {
      const stored = cache.get(cacheName)
      if (stored !== undefined) return hit(call, stored)
    }
    if (call.mode === 'only') return await fromStoreOnly(call, cacheName)
    if (tools.draining()) throw new Problem('draining', { retryAfterSeconds: 1 })

    const admitted = await admit(call, cacheName)
    if (admitted.outcome === 'refused') throw problemOf(admitted)
    if (admitted.outcome === 'hit') return hit(call, keep(cacheName, admitted.row) ?? gone(admitted.row))
    const origin: Origin = { source: admitted.outcome, rate: admitted.outcome === 'bought' ? admitted.rate : null }
    return await answerWhenEnded(call, origin, admitted.row, cacheName)
  }

  async function fromStoreOnly (call: Call, cacheName: string | null): Promise<Answer> {
    const row = cacheName === null ? null : await ledger.lookup(cacheName)
    const stored = row === null ? null : keep(cacheName, row)
    if (stored === null) throw new Problem('not-cached', { retryAfterSeconds: 60 })
    return hit(call, stored)
  }

  /** Asks for admission until it is clear which undelivered twins still have a caller; the number of rounds is bounded. */
  async function admit (call: Call, cacheName: string | null): Promise<Exclude<Admitted, { outcome: 'twins' }>> {
    const admission = admissionOf(call, cacheName)
    let twins: readonly TwinAnswer[] = []
    for (let round = 1; ; round++) {
      const admitted = await ledger.admit({ ...admission, deadlineMs: ledger.now() + ADMISSION_DEADLINE_MS, twins, lastRound: round === MAX_TWIN_ROUNDS })
      if (admitted.outcome !== 'twins') return admitted
      if (round === MAX_TWIN_ROUNDS) throw new Error('the ledger asked about twins in the last round')
      twins = [...twins, ...await askAboutTwins(admitted.twins)]
    }
  }

  /** One question for each replica that holds connections of twins. */
  async function askAboutTwins (twins: readonly (Connection & { readonly id: string })[]): Promise<readonly TwinAnswer[]> {
    const replicas = [...new Set(twins.map(twin => twin.replica))]
    const answers = await Promise.all(replicas.map(async replica => {
      const theirs = twins.filter(twin => twin.replica === replica)
      const open = await ledger.askOpen(replica, theirs.map(twin => twin.connection))
      return theirs.map(twin => ({ ...twin, open: open.has(twin.connection) }))
    }))
    return answers.flat()
  }

  function admissionOf (call: Call, cacheName: string | null): Omit<Admission, 'deadlineMs' | 'twins' | 'lastRound'> {
    const { tenant, subject, model } = call
    const company = tools.companyBudget()
    const budgets: Budget[] = []
    if (tenant.budget !== null) budgets.push({ owner: tenant.id, ...tenant.budget })
    if (company !== null) budgets.push({ owner: '*', ...company })
    const keyless = call.idempotencyKey === null
    return {
      id: call.id,
      tenant: tenant.id,
      subject,
      model: model.endpointId,
      input: call.input,
      seed: call.seed,
      price: tools.priceOf(model),
      mode: call.mode === 'only' ? 'normal' : call.mode,
      cacheGroup: call.mode === 'bypass' ? null : tenant.cacheGroup,
      cacheName,
      idempotency: call.idempotencyKey === null
        ? null
        : { name: idempotencyName(tenant.id, subject, call.idempotencyKey), fingerprint: fingerprint(model, call.inputAsSent) },
      twinName: keyless && call.seed === null && call.mode === 'normal' ? twinName(tenant.id, subject, model, call.input) : null,
      connection: call.waitMs > 0 ? call.connection : null,
      priority: call.async ? 'background' : 'interactive',
      rate: tenant.rateLimit,
      maxInFlight: tenant.maxInFlight,
      maxQueued: tenant.maxQueued,
      weight: tenant.weight,
      budgets,
      token: subject === '' ? null : subject
    }
  }

  async function answerWhenEnded (call: Call, origin: Origin, row: Row, cacheName: string | null): Promise<Answer> {
    const sinceMs = performance.now()
    const ended = hasEnded(row.phase) ? row : await waitForEnd(call, row)
    if (ended !== null && origin.source === 'joined' && leftTheLineUnspent(ended)) {
      // The buyer gave up before anything was sent; whoever joined it goes on in its own name.
      return await request({ ...call, id: tools.newId(), waitMs: Math.max(0, call.waitMs - (performance.now() - sinceMs)) })
    }
    if (ended !== null) return answerOf(call, origin, ended, cacheName)
    if (call.gone.aborted) {
      await ledger.left(row.id, call.connection)
      return { ...origin, kind: 'caller-gone', row }
    }
    return { ...origin, kind: 'under-way', row: await latest(call, row) }
  }

  /** The row as it now is; with the ledger away, as it was at admission: the caller still learns where to collect. */
  async function latest (call: Call, row: Row): Promise<Row> {
    try {
      return await ledger.read(row.id, readerOf(call)) ?? row
    } catch {
      return row
    }
  }

  async function waitForEnd (call: Call, row: Row): Promise<Row | null> {
    if (call.waitMs === 0) return null
    const ended = await watch.untilEnded(row.purchase, call.waitMs, call.gone)
    // Through an alias the reader keeps its own id.
    return ended === null ? null : { ...ended, id: row.id }
  }

  function answerOf (call: Call, origin: Origin, row: Row, cacheName: string | null): Answer {
    if (row.phase !== 'succeeded') return { ...origin, kind: 'failed', row }
    const cost = row.cost ?? 0
    const bought = origin.source === 'bought'
    const stored = (call.mode === 'bypass' ? null : keep(cacheName, row))
    return {
      ...origin,
      kind: 'picture',
      generationId: row.id,
      body: stored?.body ?? row.output ?? gone(row),
      cost: bought ? cost : 0,
      saved: bought ? 0 : cost,
      stored: row.stored,
      ageMs: 0,
      ttlMs: tools.resultTtlMs
    }
  }

  function hit (call: Call, stored: StoredResult): Answer {
    const own = stored.tenant === call.tenant.id && stored.subject === call.subject
    const ageMs = Math.max(0, ledger.now() - stored.finishedAtMs)
    return {
      kind: 'picture',
      source: 'hit',
      rate: null,
      generationId: own ? stored.generationId : null,
      body: stored.body,
      cost: 0,
      saved: stored.cost,
      stored: true,
      ageMs,
      ttlMs: Math.max(0, tools.resultTtlMs - ageMs)
    }
  }

  /** Puts a success into the in-process layer, under a name that the ledger has for it. */
  function keep (cacheName: string | null, row: Row): StoredResult | null {
    return cacheName === null || row.output === null || !row.stored ? null : cache.put(cacheName, row, row.output)
  }
}

/** Did it end without ever being sent: cancelled, or past its deadline in line? */
function leftTheLineUnspent (row: Row): boolean {
  return row.attempt === 0 && (row.phase === 'cancelled' || row.phase === 'failed')
}

function readerOf (call: Call): Reader {
  return { tenant: call.tenant.id, subject: call.subject }
}

/** A success whose bytes the ledger does not have. */
function gone (row: Row): never {
  throw new Problem('result-expired', { generationId: row.id })
}

/** The public face of a refused admission. */
function problemOf (refused: Refused): Problem {
  switch (refused.why) {
    case 'late':
      return new Problem('store-unavailable', { retryAfterSeconds: 1 })
    case 'reused':
      return new Problem('idempotency-key-reused', { detail: 'Another request was sent with this Idempotency-Key in the last 24 hours. Take a new key for a new request.' })
    case 'guard':
      switch (refused.guard) {
        case 'retired': return new Problem('model-retired')
        case 'account-blocked': return new Problem('upstream-account-blocked', { retryAfterSeconds: refused.retryAfterSeconds })
        default: return new Problem('upstream-unavailable', { retryAfterSeconds: refused.retryAfterSeconds })
      }
    case 'token':
      switch (refused.token) {
        case 'expired': return new Problem('token-expired')
        case 'exhausted': return new Problem('token-exhausted')
        default: return new Problem('token-revoked')
      }
    case 'rate':
      return new RefusedByRate('rate-limited', refused.rate, `This tenant may buy ${refused.rate.max} pictures in ${refused.rate.windowSeconds} seconds. Stored results and repeats are not counted.`)
    case 'full':
      return new RefusedByRate('queue-full', refused.rate, 'Wait until some of the generations under way have ended.')
    case 'budget':
      return new RefusedByRate('budget-exhausted', refused.rate, refused.owner === '*' ? 'The company\'s budget for this period is spent or reserved.' : 'The tenant\'s budget for this period is spent or reserved.')
  }
}

/** A refusal after the purchases were counted, so that the answer can tell the state of the window. */
export class RefusedByRate extends Problem {
  readonly rate: RateState

  constructor (code: 'rate-limited' | 'queue-full' | 'budget-exhausted', rate: RateState, detail: string) {
    super(code, { detail, ...(code === 'budget-exhausted' ? {} : { retryAfterSeconds: code === 'queue-full' ? 5 : Math.max(1, rate.resetSeconds) }) })
    this.rate = rate
  }
}

/** What a generation that did not succeed means for its callers. */
export function problemOfRow (row: Row): Problem {
  if (row.phase === 'cancelled') return new Problem('cancelled', { generationId: row.id })
  if (row.phase === 'unknown') {
    return new Problem('outcome-unknown', {
      generationId: row.id,
      detail: `The request went out and no answer came, so up to $${formatUsd(row.price)} may have been spent. Nothing is bought again for 15 minutes; look at the generation, or send Falgate-Cache: refresh to buy another picture.`
    })
  }
  const { code, detail, errors } = row.failure ?? { code: 'internal', detail: 'The generation ended without a reason.' }
  return new Problem(code, { detail, generationId: row.id, ...(errors === undefined ? {} : { errors }), ...(code === 'upstream-unavailable' || code === 'upstream-account-blocked' || code === 'upstream-timeout' ? { retryAfterSeconds: 10 } : {}) })
}
