// What is counted and measured, for Prometheus. Names and labels are a contract: dashboards outlive code.

import { breakerStates, type BreakerState } from './breaker-states.ts'
import type { ProblemCode } from './errors.ts'
import { createMeters } from './metric-kinds.ts'
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
  /** By the operator's name. `open`: those of its slots that may be used while fal takes no more. */
  readonly accounts: ReadonlyMap<string, { readonly used: number, readonly slots: number, readonly open: number, readonly state: BreakerState }>
  readonly budgetLeft: ReadonlyMap<string, MicroUsd>
  /** By tenant, and `*` for the company where it has a budget. */
  readonly held: ReadonlyMap<string, MicroUsd>
  readonly unknownOpen: number
  /** Seconds since the admission of the oldest open unknown, `0` when there is none. */
  readonly unknownOldestSeconds: number
  readonly largeResultBytes: number
  /** Stored files, as the ledger counts them. `null`: files are not stored. `maxBytes`: 0 for no bound. */
  readonly media: { readonly files: number, readonly bytes: number, readonly orphans: number, readonly maxBytes: number } | null
  /** Generations that have ended and whose callers are not all told yet, since when the first of them should have been, and those with a webhook that was given up. */
  readonly webhooks: { readonly due: number, readonly oldestSeconds: number, readonly givenUp: number }
}

/** From a hit in memory to the end of a generation. */
const REQUEST_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120]
/** From a claim to a generation that used up its time. */
const PHASE_BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 300, 900, 3600]

const MICRO_PER_USD = 1_000_000

/** Everything that is counted and measured, by what counts it. */
export type Metrics = ReturnType<typeof createMetrics>

/** A registry of its own, so that two gateways in one process do not meet. */
export function createMetrics ({ version }: { readonly version: string }) {
  const { counter, adder, sums, level, flag, marks, histogram, requestHistogram, note, shown, shownBy, shownByTwo, onCollect, contentType, render } = createMeters<SharedFacts>()

  shownBy('tenant', 'falgate_waiting', 'Generations that wait for a slot. The same on every replica.', facts => facts.waiting)
  shownBy('account', 'falgate_slots_used', 'Slots at fal in use, by account. The same on every replica.', facts => eachOf(facts, ({ used }) => used))
  shownBy('account', 'falgate_slots', 'Slots at fal, by account: none where this process has no key of it. The same on every replica with the same keys.', facts => eachOf(facts, ({ slots }) => slots))
  shownBy('account', 'falgate_slots_open', 'Slots at fal that may be used now, by account: fewer for a while after fal took no more. The same on every replica with the same keys.', facts => eachOf(facts, ({ open }) => open))
  shownBy('tenant', 'falgate_budget_left_usd', 'What is left of a budget in this period. The same on every replica.', facts => facts.budgetLeft, MICRO_PER_USD)
  shownBy('tenant', 'falgate_budget_held_usd', 'Reserved in this period for generations that have not ended. The same on every replica.', facts => facts.held, MICRO_PER_USD)
  shown('falgate_unknown_open', 'Generations whose outcome is unknown. The same on every replica.', facts => facts.unknownOpen)
  shown('falgate_unknown_oldest_seconds', 'Age of the oldest generation whose outcome is unknown.', facts => facts.unknownOldestSeconds)
  shown('falgate_large_result_bytes', 'What results above 256 KiB take of the store; LARGE_RESULT_BYTES bounds it. The same on every replica.', facts => facts.largeResultBytes)
  shown('falgate_media_stored_files', 'Stored files, 0 where none are stored. The same on every replica.', facts => facts.media?.files ?? 0)
  shown('falgate_media_stored_bytes', 'What they take; MEDIA_MAX_BYTES bounds it. The same on every replica.', facts => facts.media?.bytes ?? 0)
  shown('falgate_media_orphans', 'Those of them that nothing refers to, or not yet. The same on every replica.', facts => facts.media?.orphans ?? 0)
  shown('falgate_webhooks_due', 'Generations that have ended and have a webhook that is not told yet. The same on every replica.', facts => facts.webhooks.due)
  shown('falgate_webhooks_oldest_seconds', 'For how long the first of them should have been told, 0 where there are none.', facts => facts.webhooks.oldestSeconds)
  shown('falgate_webhooks_given_up', 'Generations with a webhook that was given up, as long as they are kept. The same on every replica.', facts => facts.webhooks.givenUp)
  shown('falgate_media_max_bytes', 'MEDIA_MAX_BYTES, 0 where it is not set.', facts => facts.media?.maxBytes ?? 0)
  shownByTwo(['account', 'state'], 'falgate_upstream_state', 'State of the upstream, by account: 1 for the current one. The same on every replica.', facts => [...facts.accounts].flatMap(([account, now]) => breakerStates.map(state => [account, state, state === now.state ? 1 : 0] as const)))
  note('falgate_build_info', 'Always 1; the labels say what runs.', { version, node: process.version })

  const saved = sums<string, Saver>('falgate_saved_usd_total', 'Money that repeated requests did not cost.', ['tenant', 'by'], MICRO_PER_USD)
  const storeFault = flag<[fault: StoreFault]>('falgate_store_fault', 'What is wrong with the Redis or the disk of the ledger: 1 while it is.', 'fault')
  for (const fault of storeFaults) storeFault(fault, false)

  return {
    /** One answered request; `route` is the pattern, never the path. */
    httpDuration: requestHistogram('falgate_http_request_duration_seconds', 'Time from a request to the end of its answer.', REQUEST_BUCKETS_SECONDS),
    answered: sums<string, AnswerSource>('falgate_answers_total', 'Answers with a result, by where it came from.', ['tenant', 'source']),
    generationEnded: counter<[tenant: string, model: string, outcome: string]>('falgate_generations_total', 'Generations that ended.', 'tenant', 'model', 'outcome'),
    phaseSeconds: histogram<[model: string, phase: string]>('falgate_generation_phase_seconds', 'Time that generations spent in a phase.', PHASE_BUCKETS_SECONDS, 'model', 'phase'),
    /** Counts micro-dollars. */
    spent: sums<string, string>('falgate_spend_usd_total', 'Money spent at fal, as booked by this process. Over all of its life: the journal.', ['tenant', 'model'], MICRO_PER_USD),
    /** Counts micro-dollars. */
    saved,
    /** What this process has saved a tenant since its start, in micro-dollars. */
    savedBy: (tenant: string, by: Saver): MicroUsd => saved.read(tenant, by),
    /** `tenant` is empty where the refusal came before anybody was recognised. */
    refused: counter<[tenant: string, code: ProblemCode]>('falgate_refusals_total', 'Requests answered with a problem.', 'tenant', 'code'),
    upstreamRequest: counter<[operation: string, outcome: string]>('falgate_upstream_requests_total', 'Requests to fal.', 'operation', 'outcome'),
    redisUp: flag('falgate_redis_up', 'Whether Redis answers. Not there where the ledger is not on Redis.'),
    storeFault,
    ledgerRollback: counter('falgate_ledger_rollbacks_total', 'Times the ledger was seen to have gone back in time, by its sequence or by rows that were put back.'),
    overrun: counter('falgate_overruns_total', 'Generations billed above their reservation.'),
    resultExpired: counter('falgate_results_expired_total', 'Results that were gone before they could be fetched.'),
    lookedAgain: counter<[result: string]>('falgate_results_looked_at_again_total', 'Results that could not be used, or were lost, and are asked for again.', 'result'),
    costAssumed: counter('falgate_costs_assumed_total', 'Generations whose cost is that of our price table, because fal named none.'),
    lateCost: counter('falgate_late_costs_total', 'Costs that were booked after a generation had ended.'),
    doublePurchase: counter('falgate_double_purchases_total', 'Second purchases for one generation.'),
    sharedRequestId: counter('falgate_shared_request_ids_total', 'Generations that fal gave the request id of another one.'),
    /** How many names. */
    namesContested: adder('falgate_contested_names_total', 'Names of generations put back that lead to purchases begun meanwhile.'),
    /** All models that differ, as far as this process knows. */
    modelDrift: marks('falgate_model_drift', 'Models of which fal publishes another document than their file has: 1. Told by the replica that looked last.', 'model'),
    refusedInput: counter<[model: string]>('falgate_inputs_refused_total', 'Inputs that the document of their model allows and fal refused (422): fal may have changed the model.', 'model'),
    mediaFile: counter<[outcome: string]>('falgate_media_files_total', 'Files of results that were fetched to be kept, by what came of it.', 'outcome'),
    /** How many bytes. */
    mediaBytes: adder('falgate_media_bytes_total', 'Bytes of files that were kept.'),
    /** How many files. */
    mediaRemoved: adder('falgate_media_removed_total', 'Stored files that were removed because nothing refers to them any more.'),
    upload: counter<[outcome: string]>('falgate_uploads_total', 'Files of callers that were to be put into fal\'s storage, by what came of it.', 'outcome'),
    /** How many bytes. */
    uploadBytes: adder('falgate_upload_bytes_total', 'Bytes of files of callers that were put into fal\'s storage.'),
    webhookTry: counter<[outcome: string]>('falgate_webhook_tries_total', 'Tries to tell of a generation that has ended, by what came of it.', 'outcome'),
    undelivered: counter<[tenant: string]>('falgate_undelivered_total', 'Callers that left before the answer they had waited for; what was bought for them is there for the same request or to be collected.', 'tenant'),
    /** How many event streams are open. */
    eventStreams: level('falgate_event_streams', 'Event streams that are open.'),
    eventStreamDropped: counter<[reason: string]>('falgate_event_streams_dropped_total', 'Event streams that were ended because nobody read them, or their key was revoked.', 'reason'),
    /** Names the one source of shared facts; it may reject, when it has told why itself: then the last ones are shown again. */
    onCollect,
    contentType,
    render
  }
}

function eachOf ({ accounts }: SharedFacts, of: (account: SharedFacts['accounts'] extends ReadonlyMap<string, infer Account> ? Account : never) => number): Array<readonly [string, number]> {
  return [...accounts].map(([name, account]) => [name, of(account)])
}
