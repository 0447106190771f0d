// One log line and the counters for each change of a generation's state, and for money that is booked outside of one; and the spans of waiting and of the end.

import type { Logger } from 'pino'
import type { BreakerState } from '../../breaker-states.ts'
import type { Metrics } from '../../metrics.ts'
import { formatUsd, type MicroUsd } from '../../money.ts'
import type { Tracing } from '../../tracing.ts'
import { isCostAbsurd } from '../bill.ts'
import { tenantScopeOf } from '../breaker-state.ts'
import type { Doubt } from '../doubt.ts'
import type { Brief, Generation } from '../generation.ts'
import type { BreakerNotice, OutboxEvent } from '../outbox.ts'
import { hasEnded, type Phase } from '../phases.ts'
import { lineFactsOf, spanFactsOf } from '../whose.ts'

export interface Observer {
  /** A change that this process' evidence made; how long the phase before lasted, where that was seen here, and how long it took to write it. */
  readonly onMove: (from: Phase, to: Generation, phaseMs: number | null, writingMs?: number) => void
  /** What happened without anybody's evidence, and how breakers stand; each piece is told to one process. */
  readonly onOutboxEvent: (event: OutboxEvent) => void
  /** A result that could not be used, and why: it is looked at again. */
  readonly onLookAgain: (row: Generation, seen: Doubt) => void
  /** A generation that fal lets wait, at this position. */
  readonly onBehind: (row: Generation, position: number) => void
}

/** Tells log, metrics and traces. Every change is told once, whichever process makes it. */
export function createObserver (log: Logger, metrics: Metrics, tracing: Tracing, now: () => number): Observer {
  function moved (from: Phase, to: Brief, booked: MicroUsd, phaseMs: number | null, writingMs = 0): void {
    const seconds = phaseMs === null ? undefined : Math.max(0, Math.round(phaseMs)) / 1000
    const ended = hasEnded(to.phase)
    if (seconds !== undefined) metrics.phaseSeconds(to.model, from, seconds)
    if (ended) countEnd(to, booked, metrics)
    log[levelOf(to)]({
      from,
      to: to.phase,
      attempt: to.attempt,
      code: to.failure?.code,
      cost_usd: to.cost === null ? undefined : formatUsd(to.cost),
      reserved_usd: ended ? formatUsd(to.price) : undefined,
      cost_assumed: to.costAssumed || undefined,
      phase_seconds: seconds,
      total_seconds: ended ? ((to.finishedAtMs ?? now()) - to.createdAtMs) / 1000 : undefined,
      ...lineFactsOf(to)
    }, 'generation')
    if (from === 'waiting') tellLine(to, tracing, now())
    if (ended) tellSettlement(to, tracing, writingMs)
    if (ended) tellIfAbsurd(to)
  }

  function tellIfAbsurd (row: Brief): void {
    if (!isCostAbsurd(row)) return
    log.error({ ...lineFactsOf(row), booked_usd: formatUsd(row.cost ?? 0), reserved_usd: formatUsd(row.price) }, 'fal billed more than ten times the reservation; ten times is booked, as an assumption, until an operator says what it cost')
  }

  let isBehindTold = false

  return {
    onBehind: (row, position) => {
      if (isBehindTold) return
      isBehindTold = true
      log.warn({ ...lineFactsOf(row), queue_position: position }, 'fal lets generations wait in its own queue: the account may run fewer at once than FAL_CONCURRENCY, or the model is busy')
    },
    onLookAgain: (row, seen) => {
      metrics.lookedAgain(seen)
      log.warn({ ...lineFactsOf(row), result: seen }, 'looking again')
    },
    onMove: (from, to, phaseMs, writingMs) => { moved(from, to, to.cost ?? 0, phaseMs, writingMs) },
    onOutboxEvent: event => {
      if (event.kind === 'breaker') {
        tellBreaker(event, log)
        return
      }
      const { kind, from, row, booked } = event
      if (kind === 'ended') {
        moved(from, row, booked, null)
        return
      }
      if (kind === 'shared') {
        metrics.sharedRequestId()
        log.error(lineFactsOf(row), 'fal gave it the request id of another generation; it is not asked for its result under that id')
        return
      }
      // What was counted once stays counted; only the journal takes away.
      if (booked > 0) metrics.spent(row.tenant, row.model, booked)
      const facts = { ...lineFactsOf(row), booked_usd: formatUsd(booked), cost_usd: row.cost === null ? undefined : formatUsd(row.cost) }
      if (kind === 'late') {
        metrics.lateCost()
        const cost = row.cost ?? 0
        if (cost > row.price && cost - booked <= row.price) metrics.overrun()
        log.error(facts, 'a generation that had ended was billed after all, or higher; the difference was booked')
        tellIfAbsurd(row)
      } else if (kind === 'found') {
        metrics.generationEnded(row.tenant, row.model, row.phase)
        log.warn(facts, 'the picture of a generation that was settled by hand was found; the books were corrected')
        tellIfAbsurd(row)
      } else if (kind === 'corrected') {
        log.warn(facts, 'an operator corrected what a generation cost; the difference was booked')
      } else {
        metrics.doublePurchase()
        log.error(facts, 'one generation was bought twice; both purchases were booked')
      }
    }
  }
}

/** From its admission, or from when it came back from an attempt that fal did not take, to its next attempt, or to the end that it met before. */
function tellLine (row: Brief, tracing: Tracing, nowMs: number): void {
  const endMs = row.finishedAtMs ?? nowMs
  tracing.tell('falgate.line', row.trace, spanFactsOf(row), { lastedMs: Math.max(0, endMs - (row.waitsSinceMs ?? row.createdAtMs)), agoMs: Math.max(0, nowMs - endMs) })
}

/** The writing of its end, with what was booked. */
function tellSettlement (row: Brief, tracing: Tracing, lastedMs: number): void {
  const { phase, cost, costAssumed, failure } = row
  const code = phase === 'failed' || phase === 'unknown' ? failure?.code ?? null : null
  tracing.tell('falgate.settlement', row.trace, {
    ...spanFactsOf(row),
    'falgate.outcome': phase,
    'falgate.cost_usd': cost === null ? undefined : Number(formatUsd(cost)),
    'falgate.cost_assumed': costAssumed || undefined
  }, { lastedMs, code })
}

function countEnd (row: Brief, booked: MicroUsd, metrics: Metrics): void {
  metrics.generationEnded(row.tenant, row.model, row.phase)
  if (booked > 0) metrics.spent(row.tenant, row.model, booked)
  if (booked > 0 && row.costAssumed) metrics.costAssumed()
  if (booked > row.price) metrics.overrun()
  if (row.failure?.code === 'result-expired') metrics.resultExpired()
  if (row.failure?.code === 'invalid-input') metrics.refusedInput(row.model)
}

/** What operators read when a breaker changes; one line, whichever process made the change, and none for each generation that meets it. */
const breakerTexts: Readonly<Record<BreakerState, string>> = {
  ok: 'fal takes generations again',
  open: 'fal fails again and again; nothing is bought until a probe works',
  'account-blocked': 'fal does not accept our account (key or balance); nothing is bought until a probe works',
  retired: 'fal does not offer this model any more; it is not bought until a probe works',
  'price-unsure': 'this model was billed far above what is reserved for it, or above it twice in a row; it is not bought until an operator has looked: falgate correct'
}

/** The same of a tenant's own breaker, which only failures trip. */
const tenantBreakerTexts = {
  ok: 'fal takes this tenant\'s generations again',
  tripped: 'this tenant\'s generations fail again and again when they are sent; nothing is bought for it until a probe works, others go on'
} as const

function tellBreaker ({ scope, from, state }: BreakerNotice, log: Logger): void {
  const ofTenant = tenantBreakerTexts[state === 'ok' ? 'ok' : 'tripped']
  const ofOthers = from === 'price-unsure' && state === 'ok' ? 'an operator has looked at what this model costs; it is bought again' : breakerTexts[state]
  log[state === 'ok' ? 'info' : 'error']({ scope, from, to: state }, scope.startsWith(tenantScopeOf('')) ? ofTenant : ofOthers)
}

/** Money without a picture is ours to look after; a refused prompt is not, and an upstream that takes nothing was told by its breaker. */
function levelOf (row: Brief): 'info' | 'warn' | 'error' {
  if (row.phase === 'unknown' || row.failure?.code === 'result-expired') return 'error'
  return row.phase === 'failed' && row.failure?.code !== 'content-refused' && row.failure?.code !== 'invalid-input' ? 'warn' : 'info'
}
