// Names and labels of metrics are a contract with dashboards and alerts.

import t from 'tap'
import { createMetrics, type Metrics, type SharedFacts } from '../src/metrics.ts'

const facts: SharedFacts = {
  waiting: new Map([['studio', 3]]),
  accounts: new Map([['main', { used: 2, slots: 10, open: 4, state: 'open' }], ['second', { used: 1, slots: 0, open: 0, state: 'ok' }]]),
  budgetLeft: new Map([['studio', 1_500_000]]),
  held: new Map([['studio', 120_000]]),
  unknownOpen: 1,
  unknownOldestSeconds: 42,
  largeResultBytes: 300_000,
  media: { files: 12, bytes: 34_000, orphans: 3, maxBytes: 1_048_576 },
  webhooks: { due: 4, oldestSeconds: 61, givenUp: 2 }
}

/** One of everything. */
function used (): Metrics {
  const metrics = createMetrics({ version: '1.2.3' })
  metrics.httpDuration('/generate', 'POST', 200, 0.002)
  metrics.answered('studio', 'hit')
  metrics.generationEnded('studio', 'fal-ai/m', 'succeeded')
  metrics.phaseSeconds('fal-ai/m', 'running', 31)
  metrics.spent('studio', 'fal-ai/m', 60_000)
  metrics.saved('studio', 'joined', 120_000)
  metrics.refused('', 'key-unknown')
  metrics.upstreamRequest('submit', 'accepted')
  metrics.redisUp(true)
  metrics.ledgerRollback()
  metrics.storeFault('evicts', true)
  metrics.overrun()
  metrics.resultExpired()
  metrics.lookedAgain('expired')
  metrics.costAssumed()
  metrics.lateCost()
  metrics.doublePurchase()
  metrics.namesContested(2)
  metrics.sharedRequestId()
  metrics.undelivered('studio')
  metrics.modelDrift(['fal-ai/gone'])
  metrics.modelDrift(['fal-ai/m'])
  metrics.refusedInput('fal-ai/m')
  metrics.mediaFile('stored')
  metrics.mediaBytes(2000)
  metrics.mediaRemoved(2)
  metrics.upload('uploaded')
  metrics.uploadBytes(700)
  metrics.eventStreams(2)
  metrics.eventStreamDropped('unread')
  metrics.onCollect(async () => facts)
  return metrics
}

t.test('every metric has its fixed name and labels', async t => {
  const lines = (await used().render()).split('\n')
  const expected = [
    'falgate_http_request_duration_seconds_bucket{le="0.0025",route="/generate",method="POST",status="200"} 1',
    'falgate_http_request_duration_seconds_bucket{le="0.001",route="/generate",method="POST",status="200"} 0',
    'falgate_http_request_duration_seconds_count{route="/generate",method="POST",status="200"} 1',
    'falgate_answers_total{tenant="studio",source="hit"} 1',
    'falgate_generations_total{tenant="studio",model="fal-ai/m",outcome="succeeded"} 1',
    'falgate_generation_phase_seconds_bucket{le="45",model="fal-ai/m",phase="running"} 1',
    'falgate_generation_phase_seconds_bucket{le="30",model="fal-ai/m",phase="running"} 0',
    'falgate_spend_usd_total{tenant="studio",model="fal-ai/m"} 0.06',
    'falgate_saved_usd_total{tenant="studio",by="joined"} 0.12',
    'falgate_refusals_total{tenant="",code="key-unknown"} 1',
    'falgate_upstream_requests_total{operation="submit",outcome="accepted"} 1',
    'falgate_redis_up 1',
    'falgate_ledger_rollbacks_total 1',
    'falgate_store_fault{fault="evicts"} 1',
    'falgate_store_fault{fault="replica"} 0',
    'falgate_unknown_oldest_seconds 42',
    'falgate_overruns_total 1',
    'falgate_results_expired_total 1',
    'falgate_results_looked_at_again_total{result="expired"} 1',
    'falgate_costs_assumed_total 1',
    'falgate_late_costs_total 1',
    'falgate_contested_names_total 2',
    'falgate_double_purchases_total 1',
    'falgate_shared_request_ids_total 1',
    'falgate_undelivered_total{tenant="studio"} 1',
    'falgate_model_drift{model="fal-ai/m"} 1',
    'falgate_inputs_refused_total{model="fal-ai/m"} 1',
    'falgate_media_files_total{outcome="stored"} 1',
    'falgate_media_bytes_total 2000',
    'falgate_media_removed_total 2',
    'falgate_uploads_total{outcome="uploaded"} 1',
    'falgate_upload_bytes_total 700',
    'falgate_media_stored_files 12',
    'falgate_media_stored_bytes 34000',
    'falgate_webhooks_due 4',
    'falgate_webhooks_oldest_seconds 61',
    'falgate_webhooks_given_up 2',
    'falgate_media_orphans 3',
    'falgate_media_max_bytes 1048576',
    'falgate_event_streams 2',
    'falgate_event_streams_dropped_total{reason="unread"} 1',
    `falgate_build_info{version="1.2.3",node="${process.version}"} 1`,
    'falgate_waiting{tenant="studio"} 3',
    'falgate_slots_used{account="main"} 2',
    'falgate_slots_used{account="second"} 1',
    'falgate_slots{account="main"} 10',
    'falgate_slots{account="second"} 0',
    'falgate_slots_open{account="main"} 4',
    'falgate_budget_left_usd{tenant="studio"} 1.5',
    'falgate_budget_held_usd{tenant="studio"} 0.12',
    'falgate_unknown_open 1',
    'falgate_upstream_state{account="main",state="open"} 1',
    'falgate_upstream_state{account="main",state="ok"} 0',
    'falgate_upstream_state{account="second",state="ok"} 1'
  ]
  for (const line of expected) t.ok(lines.includes(line), line)
  t.notOk(lines.some(line => line.includes('fal-ai/gone')), 'a model that differs no more has no series left over')
  t.ok(lines.some(line => line.startsWith('process_cpu_seconds_total')), 'process metrics keep their names')
  t.ok(lines.some(line => line.startsWith('nodejs_eventloop_lag_seconds')), 'so do those of Node')
})

t.test('names, types and help are as promtool wants them, those of Node included', async t => {
  const text = await used().render()
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]))
  const helped = new Set([...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name))
  t.ok(types.size > 40, 'they were found')
  for (const [name, type] of types) {
    t.ok(helped.has(name), `${name} has help`)
    t.equal(name.endsWith('_total'), type === 'counter', `${name} ends as a ${type} does`)
    t.notMatch(name, /_(count|sum|bucket|info_total|gauge|counter|histogram|summary)$/, 'no name ends with what Prometheus adds, or repeats its type')
    t.match(name, /^[a-z][a-z0-9_]*$/, 'no letter is a capital')
    t.notMatch(name, /_(milliseconds|microseconds|ms|minutes|hours|days|kilobytes|kib|megabytes|mb|kb|percent)(_|$)/, `${name} counts in base units`)
  }
})

t.test('no metric has a name that is not in the contract', async t => {
  const names = (await used().render()).split('\n').flatMap(line => line.startsWith('# TYPE falgate_') ? [line.split(' ')[2]] : [])
  t.same(names.toSorted(), [
    'falgate_answers_total', 'falgate_budget_held_usd', 'falgate_budget_left_usd', 'falgate_build_info', 'falgate_contested_names_total', 'falgate_costs_assumed_total', 'falgate_double_purchases_total', 'falgate_event_streams', 'falgate_event_streams_dropped_total', 'falgate_generation_phase_seconds', 'falgate_generations_total',
    'falgate_http_request_duration_seconds', 'falgate_inputs_refused_total', 'falgate_large_result_bytes', 'falgate_late_costs_total', 'falgate_ledger_rollbacks_total', 'falgate_media_bytes_total', 'falgate_media_files_total', 'falgate_media_max_bytes', 'falgate_media_orphans', 'falgate_media_removed_total', 'falgate_media_stored_bytes', 'falgate_media_stored_files', 'falgate_model_drift', 'falgate_overruns_total', 'falgate_redis_up', 'falgate_refusals_total',
    'falgate_results_expired_total', 'falgate_results_looked_at_again_total', 'falgate_saved_usd_total', 'falgate_shared_request_ids_total', 'falgate_slots', 'falgate_slots_open', 'falgate_slots_used', 'falgate_spend_usd_total', 'falgate_store_fault', 'falgate_undelivered_total', 'falgate_unknown_oldest_seconds',
    'falgate_unknown_open', 'falgate_upload_bytes_total', 'falgate_uploads_total', 'falgate_upstream_requests_total', 'falgate_upstream_state', 'falgate_waiting', 'falgate_webhook_tries_total', 'falgate_webhooks_due', 'falgate_webhooks_given_up', 'falgate_webhooks_oldest_seconds'
  ])
})

t.test('a tenant with nothing waiting any more has no series left over', async t => {
  const metrics = createMetrics({ version: '1' })
  let current = facts
  metrics.onCollect(async () => current)
  t.match(await metrics.render(), 'falgate_waiting{tenant="studio"}')
  current = { ...facts, waiting: new Map() }
  t.notMatch(await metrics.render(), 'falgate_waiting{tenant="studio"}')
})

t.test('whether Redis answers is told where there is one, and an alert for it has nothing to go by elsewhere', async t => {
  t.notMatch(await createMetrics({ version: '1' }).render(), /^falgate_redis_up /m)
  const metrics = createMetrics({ version: '1' })
  metrics.redisUp(false)
  t.match(await metrics.render(), /^falgate_redis_up 0$/m)
})

t.test('with the store away the process is still seen', async t => {
  const metrics = used()
  await metrics.render()
  metrics.onCollect(async () => { throw new Error('no store') })
  t.match(await metrics.render(), 'falgate_slots{account="main"} 10')
})

t.test('two gateways in one process count for themselves', async t => {
  const [one, other] = [createMetrics({ version: '1' }), createMetrics({ version: '1' })]
  one.overrun()
  t.match(await one.render(), 'falgate_overruns_total 1')
  t.match(await other.render(), 'falgate_overruns_total 0')
  t.match(one.contentType, /^text\/plain/)
})
