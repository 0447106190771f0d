// What ties log lines to the traces of callers and of an instrumentation, and which requests leave no line.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { pino, type Logger } from 'pino'
import t from 'tap'
import { createObserver } from '../../src/generation/run/observe.ts'
import { watchConnection } from '../../src/http/connection.ts'
import { takesGzip } from '../../src/http/ops.ts'
import { freshFacts } from '../../src/http/request-facts.ts'
import { logRequest } from '../../src/http/request-log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { traceIn, traceOfText, traceText } from '../../src/trace-context.ts'
import { noTracing } from '../../src/tracing.ts'
import { admissionOf, times } from '../support/admission.ts'
import { CENTRAL_KEY, parseObject, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { cliFile } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'
import { startSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const traceparent = `00-${TRACE}-${SPAN}-01`
const trace = { traceId: TRACE, spanId: SPAN, isSampled: true, state: '' }

t.test('the trace of a request is in its line and in those of the generation that it bought; probes leave no line', async t => {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio')] }))
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], { PORT: port, NODE_ENV: 'production', FAL_KEY: CENTRAL_KEY, FAL_QUEUE_URL: `${sandbox.base}/queue`, TENANTS_FILE: tenantsFile })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  const generate = async (body: string, headers: Readonly<Record<string, string>>): Promise<number> => {
    const response = await fetch(`${base}/generate`, { method: 'POST', body, headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', ...headers } })
    await response.text()
    return response.status
  }
  for (const path of ['/healthz', '/readyz', '/metrics']) await (await fetch(base + path)).text()
  t.equal(await generate('{"prompt":"traced","seed":1}', { traceparent }), 200)
  t.equal(await generate('{"prompt":"plain","seed":2}', {}), 200)
  running.child.kill('SIGINT')
  const { stdout } = await running.ended
  const lines = stdout.trimEnd().split('\n').map(parseObject)
  const [traced, plain] = lines.filter(({ msg }) => msg === 'request')
  t.match(traced, { route: '/generate', trace_id: TRACE, span_id: SPAN })
  for (const name of ['trace_id', 'span_id']) t.notOk(Object.hasOwn(plain ?? {}, name))
  const ofGenerations = lines.filter(({ msg }) => msg === 'generation')
  const tracesOf = (id: unknown): readonly unknown[] => ofGenerations.filter(line => line['generation_id'] === id).map(line => line['trace_id'] === undefined ? undefined : `${String(line['trace_id'])} ${String(line['span_id'])}`)
  t.same(new Set(tracesOf(traced?.['generation_id'])), new Set([`${TRACE} ${SPAN}`]), 'every one of them')
  t.same(new Set(tracesOf(plain?.['generation_id'])), new Set([undefined]))
  t.same(lines.filter(({ msg }) => msg === 'request').length, 2, 'no probe has a line')
})

/** A log as an instrumentation makes it: each line gets the id of the trace that is under way. */
function instrumented (): { readonly log: Logger, readonly traces: () => readonly unknown[] } {
  const lines: string[] = []
  const log = pino({ mixin: () => ({ trace_id: 'of the instrumentation' }) }, { write: (line: string) => { lines.push(line) } })
  return { log, traces: () => lines.map(line => parseObject(line)['trace_id']) }
}

t.test('a line about a generation without a trace leaves the one of an instrumentation alone', async t => {
  const { log, traces } = instrumented()
  const ledger = createMemoryLedger({ times, account: { kind: 'sandbox', name: 'main' } })
  const observer = createObserver(log, createMetrics({ version: '1' }), noTracing, ledger.now)
  for (const one of [null, trace]) {
    const admitted = await ledger.admit(admissionOf({ trace: one, deadlineMs: ledger.now() + 60_000 }))
    if (admitted.outcome === 'bought') observer.onMove('waiting', admitted.row, 5)
  }
  t.same(traces(), ['of the instrumentation', TRACE])
})

t.test('so does a line about a request', async t => {
  const { log, traces } = instrumented()
  const metrics = createMetrics({ version: '1' })
  const app = Fastify()
  app.decorateRequest('facts')
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    request.facts = freshFacts(watchConnection(request, reply, isDelivered => { logRequest(request, reply, isDelivered, log, metrics) }), request.routeOptions, { route: '/', isPoll: false }, traceIn(request.headers))
    done()
  })
  app.get('/', async () => 'ok')
  t.teardown(async () => { await app.close() })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await (await fetch(url)).text()
  await until(() => traces().length === 1)
  await (await fetch(url, { headers: { traceparent } })).text()
  await until(() => traces().length === 2)
  t.same(traces(), ['of the instrumentation', TRACE])
})

t.test('a trace is taken from a traceparent of version 00, and what is known of one of a later version', async t => {
  t.same(traceIn({ traceparent }), trace)
  t.same(traceIn({ traceparent: `00-${TRACE}-${SPAN}-fe` }), { ...trace, isSampled: false })
  for (const later of [`01-${TRACE}-${SPAN}-03`, `fe-${TRACE}-${SPAN}-01-more`]) t.same(traceIn({ traceparent: later }), trace, later)
  const none = ['', TRACE, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `00-${TRACE}-${SPAN}-01-more`, `ff-${TRACE}-${SPAN}-01`, traceparent.toUpperCase(), traceparent + '\n', `${traceparent}, ${traceparent}`, [traceparent]]
  for (const header of [undefined, ...none]) t.equal(traceIn({ ...(header === undefined ? {} : { traceparent: header }), tracestate: 'a=1' }), null, String(header))
})

t.test('a tracestate is kept whole up to 512 characters, and left out when it is longer or no plain text', async t => {
  const stateOf = (tracestate: string | string[]): string | undefined => traceIn({ traceparent, tracestate })?.state
  t.equal(stateOf('congo=t61rcWkgMzE,rojo=00f067aa0ba902b7, dd=s:1'), 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7, dd=s:1')
  t.equal(stateOf('a='.padEnd(512, '1')), 'a='.padEnd(512, '1'))
  for (const odd of ['a='.padEnd(513, '1'), 'a=é', 'a=1\u0000', ['a=1'], ' ']) t.equal(stateOf(odd), '', String(odd))
})

t.test('a row keeps at most 565 characters of a trace, and reads every one again; what it cannot read is none', async t => {
  const longest = { ...trace, state: 'a='.padEnd(512, '1') }
  for (const one of [trace, { ...trace, isSampled: false }, { ...trace, state: 'a=1, b=2' }, longest]) t.same(traceOfText(traceText(one)), one)
  t.equal(traceText(longest).length, 565)
  for (const text of ['', TRACE, `${TRACE}-${SPAN}`, `${TRACE}-${SPAN}-02`, `${TRACE}-${SPAN}-01 `]) t.equal(traceOfText(text), null, text)
})

t.test('metrics are compressed for those who ask for it, and for nobody else', async t => {
  const gateway = await startGateway(t)
  const plain = await fetch(`${gateway.url}/metrics`, { headers: { 'accept-encoding': 'identity' } })
  t.equal(plain.headers.get('content-encoding'), null)
  t.equal(plain.headers.get('vary'), 'accept-encoding')
  t.match(await plain.text(), /^falgate_unknown_open /m)
  const { headers, bytes } = await rawGet(`${gateway.url}/metrics`, 'gzip')
  t.equal(headers['content-encoding'], 'gzip')
  t.match(headers['content-type'], /^text\/plain/)
  t.match(gunzipSync(bytes).toString(), /^falgate_unknown_open /m)
})

/** An answer with its bytes as they came: `fetch` unpacks them. */
async function rawGet (url: string, encoding: string): Promise<{ readonly headers: IncomingMessage['headers'], readonly bytes: Buffer }> {
  const request = get(url, { headers: { 'accept-encoding': encoding }, agent: false })
  const responses: readonly IncomingMessage[] = await once(request, 'response')
  const [response] = responses
  if (response === undefined) throw new Error('there is no answer')
  return { headers: response.headers, bytes: await buffer(response) }
}

t.test('gzip is taken to be wanted where it is named without a weight of 0', async t => {
  for (const header of ['gzip', 'GZIP', 'deflate, gzip;q=0.5', 'x-gzip', 'br,gzip']) t.equal(takesGzip(header), true, String(header))
  for (const header of [undefined, '', 'br', 'identity', 'gzip;q=0', 'gzip; q=0.000', '*', 'gzipped']) t.equal(takesGzip(header), false, String(header))
})
