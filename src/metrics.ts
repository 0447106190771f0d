// What is counted and measured, for Prometheus. Names and labels are a contract: dashboards outlive code.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { breakerStates, type BreakerState } from './breaker-states.ts'
import type { ProblemCode } from './errors.ts'
import type { MicroUsd } from './money.ts'
import { storeFaults, type StoreFault } from './store-faults.ts'

/** How an answer came about. */
export type AnswerSource = 'bought' | Saver

/** What kept an answer from costing anything. */
export const savers = ['hit', 'joined', 'replayed', 'adopted'] as const
export type Saver = typeof savers[number]

/** Facts that the ledger knows for all replicas, read when Prometheus asks. */
export interface SharedFacts {
  readonly waiting: ReadonlyMap<string, number>
  readonly slotsUsed: number
  readonly slots: number
  /** Those of them that are used while fal takes no more. */
  readonly slotsOpen: number
  readonly budgetLeft: ReadonlyMap<string, MicroUsd>
  /** By tenant, and `*` for the company where it has a budget. */
  readonly held: ReadonlyMap<string, MicroUsd>
  readonly unknownOpen: number
  /** Seconds since the admission of the oldest open unknown, `0` when there is none. */
  readonly unknownOldestSeconds: number
  readonly largeResultBytes: number
  readonly upstreamState: BreakerState
}

export interface Metrics {
  /** One answered request; `route` is the pattern, never the path. */
  readonly httpDuration: (route: string, method: string, status: number, seconds: number) => void
  readonly answered: (tenant: string, source: AnswerSource) => void
  readonly generationEnded: (tenant: string, model: string, outcome: string) => void
  readonly phaseSeconds: (model: string, phase: string, seconds: number) => void
  readonly spent: (tenant: string, model: string, cost: MicroUsd) => void
  readonly saved: (tenant: string, by: Saver, cost: MicroUsd) => void
  /** What this process has saved a tenant since its start. */
  readonly savedBy: (tenant: string, by: Saver) => MicroUsd
  /** `tenant` is empty where the refusal came before anybody was recognised. */
  readonly refused: (tenant: string, code: ProblemCode) => void
  readonly upstreamRequest: (operation: string, outcome: string) => void
  readonly redisUp: (isUp: boolean) => void
  readonly storeFault: (fault: StoreFault, isThere: boolean) => void
  readonly ledgerRollback: () => void
  readonly overrun: () => void
  readonly resultExpired: () => void
  readonly lookedAgain: (result: string) => void
  readonly costAssumed: () => void
  readonly lateCost: () => void
  readonly doublePurchase: () => void
  readonly sharedRequestId: () => void
  readonly namesContested: (names: number) => void
  readonly undelivered: (tenant: string) => void
  /** How many event streams are open. */
  readonly eventStreams: (open: number) => void
  readonly eventStreamDropped: (reason: string) => void
  /** Names the one source of shared facts; it may reject, when it has told why itself: then the last ones are shown again. */
  readonly onCollect: (read: () => Promise<SharedFacts>) => void
  readonly contentType: string
  readonly render: () => Promise<string>
}

/** From a hit in memory to the end of a generation. */
const REQUEST_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120]
/** From a claim to a generation that used up its time. */
const PHASE_BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 300, 900, 3600]

/** A registry of its own, so that two gateways in one process do not meet. */
export function createMetrics ({ version }: { readonly version: string }): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const http = new Histogram({ registers, name: 'falgate_http_request_duration_seconds', help: 'Time from a request to the end of its answer.', labelNames: ['route', 'method', 'status'], buckets: REQUEST_BUCKETS_SECONDS })
  const answers = sumCounter(registry, { name: 'falgate_answers_total', help: 'Answers with a result, by where it came from.', labelNames: ['tenant', 'source'] })
  const generations = new Counter({ registers, name: 'falgate_generations_total', help: 'Generations that ended.', labelNames: ['tenant', 'model', 'outcome'] })
  const phases = new Histogram({ registers, name: 'falgate_generation_phase_seconds', help: 'Time that generations spent in a phase.', labelNames: ['model', 'phase'], buckets: PHASE_BUCKETS_SECONDS })
  const spend = sumCounter(registry, { name: 'falgate_spend_usd_total', one: MICRO_PER_USD, help: 'Money spent at fal, as booked by this process. Over all of its life: the journal.', labelNames: ['tenant', 'model'] })
  const savings = sumCounter(registry, { name: 'falgate_saved_usd_total', one: MICRO_PER_USD, help: 'Money that repeated requests did not cost.', labelNames: ['tenant', 'by'] })
  const refusals = new Counter({ registers, name: 'falgate_refusals_total', help: 'Requests answered with a problem.', labelNames: ['tenant', 'code'] })
  const upstreamRequests = new Counter({ registers, name: 'falgate_upstream_requests_total', help: 'Requests to fal.', labelNames: ['operation', 'outcome'] })
  const redisUp = new Gauge({ registers, name: 'falgate_redis_up', help: 'Whether Redis answers.' })
  const storeFault = new Gauge({ registers, name: 'falgate_store_fault', help: 'What is wrong with the Redis of the ledger: 1 while it is.', labelNames: ['fault'] })
  for (const fault of storeFaults) storeFault.set({ fault }, 0)
  const rollbacks = new Counter({ registers, name: 'falgate_ledger_rollbacks_total', help: 'Times the ledger was seen to have gone back in time, by its sequence or by rows that were put back.' })
  const overruns = new Counter({ registers, name: 'falgate_overruns_total', help: 'Generations billed above their reservation.' })
  const resultsExpired = new Counter({ registers, name: 'falgate_results_expired_total', help: 'Results that were gone before they could be fetched.' })
  const looksAgain = new Counter({ registers, name: 'falgate_results_looked_at_again_total', help: 'Results that could not be used, or were lost, and are asked for again.', labelNames: ['result'] })
  const costsAssumed = new Counter({ registers, name: 'falgate_costs_assumed_total', help: 'Generations whose cost is that of our price table, because fal named none.' })
  const lateCosts = new Counter({ registers, name: 'falgate_late_costs_total', help: 'Costs that were booked after a generation had ended.' })
  const doublePurchases = new Counter({ registers, name: 'falgate_double_purchases_total', help: 'Second purchases for one generation.' })
  const contestedNames = new Counter({ registers, name: 'falgate_contested_names_total', help: 'Names of generations put back that lead to purchases begun meanwhile.' })
  const sharedRequestIds = new Counter({ registers, name: 'falgate_shared_request_ids_total', help: 'Generations that fal gave the request id of another one.' })
  const undelivered = new Counter({ registers, name: 'falgate_undelivered_total', help: 'Callers that left before the answer they had waited for; what was bought for them is there for the same request or to be collected.', labelNames: ['tenant'] })
  const eventStreams = new Gauge({ registers, name: 'falgate_event_streams', help: 'Event streams that are open.' })
  const eventStreamsDropped = new Counter({ registers, name: 'falgate_event_streams_dropped_total', help: 'Event streams that were ended because nobody read them.', labelNames: ['reason'] })
  const unknownOldest = new Gauge({ registers, name: 'falgate_unknown_oldest_seconds', help: 'Age of the oldest generation whose outcome is unknown.' })
  const largeResults = new Gauge({ registers, name: 'falgate_large_result_bytes', help: 'What results above 256 KiB take of the store; LARGE_RESULT_BYTES bounds it. The same on every replica.' })
  const unknownOpen = new Gauge({ registers, name: 'falgate_unknown_open', help: 'Generations whose outcome is unknown. The same on every replica.' })
  const waiting = new Gauge({ registers, name: 'falgate_waiting', help: 'Generations that wait for a slot. The same on every replica.', labelNames: ['tenant'] })
  const slotsUsed = new Gauge({ registers, name: 'falgate_slots_used', help: 'Slots at fal in use. The same on every replica.' })
  const slots = new Gauge({ registers, name: 'falgate_slots', help: 'Slots at fal. The same on every replica.' })
  const slotsOpen = new Gauge({ registers, name: 'falgate_slots_open', help: 'Slots at fal that may be used now: fewer for a while after fal took no more. The same on every replica.' })
  const budgetLeft = new Gauge({ registers, name: 'falgate_budget_left_usd', help: 'What is left of a budget in this period. The same on every replica.', labelNames: ['tenant'] })
  const held = new Gauge({ registers, name: 'falgate_budget_held_usd', help: 'Reserved in this period for generations that have not ended. The same on every replica.', labelNames: ['tenant'] })
  const upstreamState = new Gauge({ registers, name: 'falgate_upstream_state', help: 'State of the upstream: 1 for the current one. The same on every replica.', labelNames: ['state'] })
  new Gauge({ registers, name: 'falgate_build_info', help: 'Always 1; the labels say what runs.', labelNames: ['version', 'node'] }).set({ version, node: process.version }, 1)

  // prom-client checks labels again with each new child; children are kept because this runs for every hit.
  const durations = new Map<string, Map<string, (seconds: number) => void>>()
  function durationsOf (route: string, method: string, status: number): (seconds: number) => void {
    const key = `${status} ${method}`
    let byKey = durations.get(route)
    if (byKey === undefined) durations.set(route, byKey = new Map())
    let observe = byKey.get(key)
    if (observe === undefined) byKey.set(key, observe = http.labels({ route, method, status }).observe)
    return observe
  }

  let readFacts: (() => Promise<SharedFacts>) | undefined

  function show (facts: SharedFacts): void {
    // Series of tenants that are gone from the file, or have nothing waiting, must not stay.
    waiting.reset()
    for (const [tenant, count] of facts.waiting) waiting.set({ tenant }, count)
    budgetLeft.reset()
    for (const [tenant, left] of facts.budgetLeft) budgetLeft.set({ tenant }, left / MICRO_PER_USD)
    held.reset()
    for (const [tenant, amount] of facts.held) held.set({ tenant }, amount / MICRO_PER_USD)
    slotsUsed.set(facts.slotsUsed)
    slots.set(facts.slots)
    slotsOpen.set(facts.slotsOpen)
    unknownOpen.set(facts.unknownOpen)
    largeResults.set(facts.largeResultBytes)
    unknownOldest.set(facts.unknownOldestSeconds)
    for (const state of breakerStates) upstreamState.set({ state }, state === facts.upstreamState ? 1 : 0)
  }

  async function render (): Promise<string> {
    // With the store away the process still has to be seen.
    const facts = await readFacts?.().catch(() => undefined)
    if (facts !== undefined) show(facts)
    return await registry.metrics()
  }

  return {
    httpDuration: (route, method, status, seconds) => { durationsOf(route, method, status)(seconds) },
    answered: (tenant, source) => { answers.add(1, tenant, source) },
    generationEnded: (tenant, model, outcome) => { generations.inc({ tenant, model, outcome }) },
    phaseSeconds: (model, phase, seconds) => { phases.observe({ model, phase }, seconds) },
    spent: (tenant, model, cost) => { spend.add(cost, tenant, model) },
    saved: (tenant, by, cost) => { savings.add(cost, tenant, by) },
    savedBy: (tenant, by) => savings.read(tenant, by),
    refused: (tenant, code) => { refusals.inc({ tenant, code }) },
    upstreamRequest: (operation, outcome) => { upstreamRequests.inc({ operation, outcome }) },
    storeFault: (fault, isThere) => { storeFault.set({ fault }, isThere ? 1 : 0) },
    redisUp: isUp => { redisUp.set(isUp ? 1 : 0) },
    ledgerRollback: () => { rollbacks.inc() },
    overrun: () => { overruns.inc() },
    lookedAgain: result => { looksAgain.inc({ result }) },
    resultExpired: () => { resultsExpired.inc() },
    costAssumed: () => { costsAssumed.inc() },
    lateCost: () => { lateCosts.inc() },
    doublePurchase: () => { doublePurchases.inc() },
    sharedRequestId: () => { sharedRequestIds.inc() },
    namesContested: names => { contestedNames.inc(names) },
    undelivered: tenant => { undelivered.inc({ tenant }) },
    eventStreams: open => { eventStreams.set(open) },
    eventStreamDropped: reason => { eventStreamsDropped.inc({ reason }) },
    onCollect: read => { readFacts = read },
    contentType: registry.contentType,
    render
  }
}

interface SumCounter {
  readonly add: (amount: number, first: string, second: string) => void
  readonly read: (first: string, second: string) => number
}

const MICRO_PER_USD = 1_000_000

/**
 * A counter with two labels that hits write to. It adds up whole numbers, `one` of them for 1, and shows them when it is asked:
 * micro-dollars stay exact, and prom-client, which checks and hashes labels on each call, is only called for reading.
 */
function sumCounter<Label extends string> (registry: Registry, { labelNames, one = 1, ...named }: { readonly name: string, readonly help: string, readonly labelNames: readonly [Label, Label], readonly one?: number }): SumCounter {
  const sums = new Map<string, Map<string, number>>()
  const [firstName, secondName] = labelNames
  registry.registerMetric(new Counter<string>({
    ...named,
    registers: [],
    labelNames,
    collect () {
      this.reset()
      for (const [first, row] of sums) {
        for (const [second, amount] of row) this.inc({ [firstName]: first, [secondName]: second }, amount / one)
      }
    }
  }))
  return {
    add: (amount, first, second) => {
      let row = sums.get(first)
      if (row === undefined) sums.set(first, row = new Map())
      row.set(second, (row.get(second) ?? 0) + amount)
    },
    read: (first, second) => sums.get(first)?.get(second) ?? 0
  }
}
