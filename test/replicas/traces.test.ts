// One generation is one trace, from its caller's span to the calls to fal, on however many replicas; what each span says, and what none says.

import t from 'tap'
import { parseObject } from '../support/gateway.ts'
import { deploy, ownerAmong, type Replica } from '../support/replicas.ts'
import { spanFile, type RecordedSpan } from '../support/spans.ts'
import { until } from '../support/until.ts'

// Processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

const MODEL = 'fal-ai/imagen4/preview/ultra'

/** A caller's span: the digit tells callers apart. */
function caller (digit: string): { readonly traceId: string, readonly spanId: string, readonly headers: Readonly<Record<string, string>> } {
  const [traceId, spanId] = [digit.repeat(32), digit.repeat(16)]
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } }
}

function linesOf (replica: Replica, id: string): ReadonlyArray<Readonly<Record<string, unknown>>> {
  return replica.log().split('\n').slice(0, -1).map(parseObject).filter(line => line['generation_id'] === id)
}

function named (spans: readonly RecordedSpan[], name: string): RecordedSpan {
  const [span, more] = spans.filter(span => span.name === name)
  if (span === undefined || more !== undefined) throw new Error(`there is not one ${name}, but ${spans.filter(span => span.name === name).length}`)
  return span
}

t.test('the owner is killed: what the other replica does is in the trace of the caller, below the same span, up to the call to fal', async t => {
  const file = spanFile(t)
  const { sandbox, ledger, startReplica, untilGeneration } = await deploy(t, { node: file.node, env: file.env })
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const { traceId, spanId, headers } = caller('a')
  const [one] = replicas
  const accepted = await one?.generate({ prompt: 'x', seed: 1 }, { headers: { ...headers, tracestate: 'congo=t61', prefer: 'respond-async' } })
  const row = await untilGeneration(({ phase }) => phase === 'running')
  t.equal(accepted?.json()['id'], row.id)
  const { owner, others: [survivor] } = ownerAmong(replicas, row)
  if (survivor === undefined) throw new Error('there is no other replica')
  const changesOf = (replica: Replica): ReturnType<typeof linesOf> => linesOf(replica, row.id).filter(({ msg }) => msg === 'generation')
  await until(() => changesOf(owner).some(({ to }) => to === 'running'))
  owner.child.kill('SIGKILL')
  await owner.ended
  await until(async () => (await ledger.getMany([row.id]))[0]?.owner === survivor.name)
  release()
  await until(() => changesOf(survivor).some(({ to }) => to === 'succeeded'))

  const spans = file.spans()
  t.same(new Set(spans.map(span => span.traceId)), new Set([traceId]), 'one trace')
  const admission = named(spans, 'falgate.admission')
  t.match(admission, { parent: spanId, kind: 0, attributes: { 'falgate.tenant': 'studio', 'falgate.source': 'bought', 'falgate.generation_id': row.id, 'gen_ai.request.model': MODEL } })
  t.same(row.trace, { traceId, spanId: admission.spanId, isSampled: true, state: 'congo=t61' })
  t.same(spans.filter(span => span !== admission && span.parent !== admission.spanId), [], 'everything else is below it')
  const falAddress = { 'server.address': '127.0.0.1', 'server.port': Number(new URL(sandbox.base).port) }
  const ofAll = { 'falgate.generation_id': row.id, 'falgate.tenant': 'studio', 'gen_ai.request.model': MODEL, 'falgate.attempt': 1 }
  t.match(named(spans, 'falgate.line'), { kind: 0, pid: owner.pid, attributes: ofAll })
  t.match(named(spans, 'falgate.submit'), { kind: 2, pid: owner.pid, status: { code: 0 }, attributes: { ...ofAll, ...falAddress, 'falgate.outcome': 'accepted', 'falgate.fal_request_id': row.requestId, 'http.request.method': 'POST', 'http.response.status_code': 200 } })
  const ofOther = { ...ofAll, 'falgate.takeovers': 1, 'falgate.fal_request_id': row.requestId }
  t.match(named(spans, 'falgate.run'), { kind: 0, pid: survivor.pid, attributes: { ...ofOther, 'falgate.outcome': 'completed' } })
  t.match(named(spans, 'falgate.result'), { kind: 2, pid: survivor.pid, attributes: { ...ofOther, ...falAddress, 'falgate.outcome': 'succeeded', 'http.request.method': 'GET', 'http.response.status_code': 200 } })
  t.match(named(spans, 'falgate.settlement'), { kind: 0, pid: survivor.pid, status: { code: 0 }, attributes: { ...ofOther, 'falgate.outcome': 'succeeded', 'falgate.cost_usd': 0.06 } })
  for (const { startMs, endMs, name } of spans) t.ok(startMs <= endMs && Math.abs(endMs - Date.now()) < 300_000, `${name} has a time of today`)

  t.same(new Set([...changesOf(owner), ...changesOf(survivor)].map(line => `${String(line['trace_id'])} ${String(line['span_id'])}`)), new Set([`${traceId} ${admission.spanId}`]))
})

t.test('a caller that joins a generation of another one names its trace from its own, and both lines name the generation', async t => {
  const file = spanFile(t)
  const { sandbox, startReplica, untilGeneration } = await deploy(t, { node: file.node, env: file.env })
  const replica = await startReplica()
  const release = sandbox.faults.holdJobs()
  const [buyer, joiner] = [caller('b'), caller('c')]
  const first = replica.generate({ prompt: 'x', seed: 1 }, { headers: buyer.headers })
  const row = await untilGeneration(({ phase }) => phase === 'running')
  const second = replica.generate({ prompt: 'x', seed: 1 }, { headers: joiner.headers })
  await until(() => file.spans().some(({ attributes }) => attributes['falgate.source'] === 'joined'))
  release()
  t.same((await Promise.all([first, second])).map(reply => reply.headers.get('falgate-generation')), [row.id, row.id])
  const joined = file.spans().filter(({ traceId }) => traceId === joiner.traceId)
  t.match(joined, [{ name: 'falgate.admission', parent: joiner.spanId, links: [{ traceId: buyer.traceId, spanId: row.trace?.spanId }], attributes: { 'falgate.generation_id': row.id } }])
  t.equal(joined.length, 1, 'and has nothing else in it')
  await until(() => linesOf(replica, row.id).filter(({ msg }) => msg === 'request').length === 2)
  t.same(new Set(linesOf(replica, row.id).filter(({ msg }) => msg === 'request').map(line => line['trace_id'])), new Set([buyer.traceId, joiner.traceId]))
})

t.test('each attempt that fal takes no part in is followed by a span of the line, as long as it waits again', async t => {
  const file = spanFile(t)
  const { sandbox, startReplica } = await deploy(t, { node: file.node, env: file.env })
  const replica = await startReplica()
  const DELAY_MS = 300
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit', delayMs: DELAY_MS, times: 2 })
  const { traceId, headers } = caller('9')
  t.equal((await replica.generate({ prompt: 'x', seed: 1 }, { headers })).status, 200)
  const spansOf = (name: string): readonly RecordedSpan[] => file.spans().filter(span => span.traceId === traceId && span.name === name).toSorted((one, other) => one.startMs - other.startMs)
  await until(() => spansOf('falgate.settlement').length === 1)
  const [lines, submits] = [spansOf('falgate.line'), spansOf('falgate.submit')]
  t.same(lines.map(({ attributes }) => attributes['falgate.attempt']), [1, 2, 3])
  t.same(submits.map(({ attributes }) => attributes['falgate.outcome']), ['unsent', 'unsent', 'accepted'])
  for (const [place, { endMs }] of lines.slice(0, -1).entries()) t.ok((lines[place + 1]?.startMs ?? 0) > endMs + DELAY_MS / 2, 'the attempt between is not in it')
  const told = (): ReturnType<typeof linesOf> => linesOf(replica, String(lines[0]?.attributes['falgate.generation_id'])).filter(({ msg }) => msg === 'generation')
  await until(() => told().some(({ to }) => to === 'succeeded'))
  const seconds = told().reduce((sum, line) => sum + Number(line['phase_seconds'] ?? 0), 0)
  t.equal(told().filter(({ from }) => from === 'waiting').length, 3)
  t.ok(seconds < Number(told().at(-1)?.['total_seconds']) + DELAY_MS / 1000, 'no time is in two phases of its log lines')
})

t.test('what fails has the status of an error, with its code; what is not recorded by its caller is not recorded here, and is named in the lines all the same', async t => {
  const file = spanFile(t)
  const { sandbox, startReplica } = await deploy(t, { node: file.node, env: file.env })
  const replica = await startReplica()
  sandbox.faults.add({ kind: 'job', operation: 'submit', error: 'content_policy_violation' })
  const refused = await replica.generate({ prompt: 'x', seed: 1 }, { headers: caller('d').headers })
  t.equal(refused.status, 422)
  sandbox.faults.add({ kind: 'answer', operation: 'submit', error: 'unauthorized' })
  t.equal((await replica.generate({ prompt: 'x', seed: 2 }, { headers: caller('e').headers })).status, 503)
  // The breaker is open now: nothing is bought.
  t.equal((await replica.generate({ prompt: 'x', seed: 3 }, { headers: caller('f').headers })).status, 503)
  const unsampled = caller('1')
  await replica.generate({ prompt: 'x', seed: 4 }, { headers: { traceparent: `00-${unsampled.traceId}-${unsampled.spanId}-00` } })
  const failed = (digit: string): ReadonlyArray<readonly unknown[]> => file.spans().filter(({ traceId, status }) => traceId === caller(digit).traceId && status.code === 2).map(({ name, status, attributes }) => [name, status.message, attributes['error.type']]).toSorted()
  await until(() => failed('d').length === 2 && failed('e').length === 2)
  t.same(failed('d'), ['falgate.result', 'falgate.settlement'].map(name => [name, 'content-refused', 'content-refused']))
  t.same(failed('e'), ['falgate.settlement', 'falgate.submit'].map(name => [name, 'upstream-account-blocked', 'upstream-account-blocked']))
  t.same(failed('f'), [['falgate.admission', 'upstream-account-blocked', 'upstream-account-blocked']])
  t.same(file.spans().filter(({ traceId }) => traceId === unsampled.traceId), [])
  await until(() => replica.log().includes(`"trace_id":"${unsampled.traceId}"`))
})
