// Log lines can be read by machines, and hold no keys and no more of a prompt than was asked for.

import { tracingChannel } from 'node:diagnostics_channel'
import { pino } from 'pino'
import t from 'tap'
import { createLineLog, createLogger, createTroubleLog, describePrompt } from '../src/logger.ts'
import { logFormats } from '../src/settings.ts'
import { troubles } from '../src/trouble.ts'

function linesOf (write: (log: ReturnType<typeof createLogger>) => void, secrets: readonly string[] = []): readonly string[] {
  const lines: string[] = []
  write(createLogger({ level: 'info', destination: { write: line => { lines.push(line) } }, secrets: () => secrets }))
  return lines
}

t.test('a line is JSON with a text level, an RFC 3339 time and the service', async t => {
  const [line = ''] = linesOf(log => { log.info({ tenant: 'studio' }, 'answered') })
  t.match(JSON.parse(line), { level: 'info', time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, service: 'falgate', pid: process.pid, tenant: 'studio', msg: 'answered' })
})

t.test('with LOG_FORMAT=google every level is a severity of Google Cloud Logging, and the sentence its message', async t => {
  const lines: string[] = []
  const log = createLogger({ level: 'trace', format: 'google', destination: { write: line => { lines.push(line) } } })
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) log[level]({ tenant: 'studio' }, 'answered')
  const told = lines.map((line): Readonly<Record<string, unknown>> => JSON.parse(line))
  t.same(told.map(({ severity }) => severity), ['DEBUG', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'])
  for (const line of told) {
    t.match(line, { time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, service: 'falgate', tenant: 'studio', message: 'answered' })
    t.notOk('level' in line || 'msg' in line, 'each is said once')
  }
})

t.test('with GOOGLE_CLOUD_PROJECT lines of that format name trace and span as Google Cloud Logging does, however they are made; others do not', async t => {
  const traced = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7', tenant: 'studio', err: undefined }
  const own = { trace_id: traced.trace_id, span_id: traced.span_id }
  const googles = { 'logging.googleapis.com/trace': `projects/pictures-prod/traces/${traced.trace_id}`, 'logging.googleapis.com/spanId': traced.span_id }
  for (const { format, googleProject, expected } of [
    { format: 'google', googleProject: 'pictures-prod', expected: googles },
    { format: 'google', googleProject: null, expected: own },
    { format: 'json', googleProject: 'pictures-prod', expected: own }
  ] as const) {
    const lines: string[] = []
    const options = { format, googleProject, destination: { write: (line: string) => { lines.push(line) } } }
    const log = createLogger({ level: 'info', ...options })
    const lineLog = createLineLog(log, options)
    log.warn(traced, 'answered')
    lineLog.info(traced, 'answered')
    lineLog.error({ ...traced, err: new Error('no') }, 'answered')
    log.info({ tenant: 'studio' }, 'answered')
    const told = lines.map((line): Readonly<Record<string, unknown>> => JSON.parse(line))
    const names = Object.keys({ ...own, ...googles })
    for (const line of told.slice(0, 3)) t.same(Object.fromEntries(Object.entries(line).filter(([name]) => names.includes(name))), expected, `${format}, ${googleProject}`)
    for (const line of told) t.equal(line['tenant'], 'studio')
    t.same(Object.keys(told[3] ?? {}).filter(name => names.includes(name)), [], 'without a trace there are no such members')
  }
})

t.test('the level is kept', async t => {
  t.equal(linesOf(log => { log.debug('no'); log.warn('yes') }).length, 1)
})

t.test('headers with credentials are redacted wherever they stand', async t => {
  const headers = { authorization: 'MARK', cookie: 'MARK', 'set-cookie': 'MARK', accept: 'kept' }
  const [line = ''] = linesOf(log => {
    log.info({ ...headers, headers, req: { headers }, res: { headers }, err: Object.assign(new Error('a'), { headers }) }, 'a')
    log.child({ authorization: 'MARK', headers }).info('a')
  })
  t.notMatch(line, 'MARK')
  t.equal(line.split('kept').length - 1, 5)
})

t.test('the central key never appears, even inside an error\'s text', async t => {
  const lines = linesOf(log => {
    log.error({ err: new Error('refused: Key abc:def', { cause: new Error('abc:def') }) }, 'with abc:def')
    log.child({ a: 'abc:def' }).info('a')
  }, ['abc:def'])
  t.equal(lines.length, 2)
  t.notMatch(lines.join(), 'abc:def')
  t.match(lines[0], 'refused: Key [redacted]')
})

t.test('a prompt appears as asked for: not at all, as hash and length, or in full', async t => {
  t.same(describePrompt('a 🚲', 'off'), {})
  t.same(describePrompt('abc', 'hash'), { prompt_sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', prompt_characters: 3 })
  t.equal(describePrompt('a 🚲', 'hash').prompt_characters, 3, 'characters, not code units')
  t.same(describePrompt('a 🚲', 'full'), { prompt: 'a 🚲' })
})

t.test('an operation that goes on failing is a line every ten seconds, with its name, its sentence, and how often it failed since', async t => {
  let nowMs = 0
  const lines = linesOf(log => {
    const trouble = createTroubleLog(log, () => nowMs)
    for (; nowMs < 25_000; nowMs += 10) trouble('write-evidence', new Error('away'))
    trouble('reach-redis', new Error('away'))
  })
  const writing = { operation: 'write-evidence', msg: 'What fal said of a generation could not be written.', err: { message: 'away' } }
  const reaching = { operation: 'reach-redis', msg: 'Redis cannot be reached.' }
  t.match(lines.map(line => JSON.parse(line)), [writing, { ...writing, repeated: 999 }, { ...writing, repeated: 999 }, reaching])
  t.equal(lines.length, 4)
})

t.test('what the log says of an operation that failed is one sentence, and another one for each', async t => {
  const sentences = Object.values(troubles).map(({ sentence }) => sentence)
  for (const sentence of sentences) t.match(sentence, /^[^.]+\.$/)
  t.equal(new Set(sentences).size, sentences.length)
})

for (const format of logFormats) {
  t.test(`a line that is written in the quick way is the one that pino writes, whatever is in it: ${format}`, async t => {
    const lines: string[] = []
    const options = { format, destination: { write: (line: string) => { lines.push(line) } }, secrets: () => ['abc:def'] }
    const log = createLogger({ level: 'info', ...options })
    const quick = createLineLog(log, options)
    const odd = { request_id: 'a"b\\c\n\u2028', prompt: 'ü 🚲 \ud800 abc:def \u0000', ignored: ['x', 'y'], absent: undefined, cost_usd: '0.06', duration_ms: 0.3, aborted: true, err: undefined }
    log.info(odd, 'request')
    quick.info(odd, 'request')
    quick.info({ ...odd, err: new Error('refused: abc:def') }, 'request')
    quick.error(odd, 'request')
    const untimed = lines.map(line => line.replace(/"time":"[^"]+"/, '"time":""'))
    t.equal(untimed[1], untimed[0])
    t.match(untimed[0], format === 'json'
      ? /^\{"level":"info","time":"","service":"falgate","pid":\d+,"request_id":.*"msg":"request"\}\n$/s
      : /^\{"severity":"INFO","time":"","service":"falgate","pid":\d+,"request_id":.*"message":"request"\}\n$/s)
    t.match(JSON.parse(untimed[2] ?? ''), { err: { type: 'Error', message: 'refused: [redacted]' } })
    t.match(JSON.parse(untimed[3] ?? ''), format === 'json' ? { level: 'error', msg: 'request' } : { severity: 'ERROR', message: 'request' })
    t.notMatch(lines.join(), 'abc:def')

    log.level = 'warn'
    quick.info(odd, 'request')
    t.equal(lines.length, 4, 'the level is kept')
  })
}

t.test('an instrumentation that takes part in making lines takes part in those, too', async t => {
  const lines: string[] = []
  const destination = { write: (line: string) => { lines.push(line) } }
  createLineLog(pino({ mixin: () => ({ trace_id: 'of the instrumentation' }) }, destination), { destination }).info({}, 'request')
  t.equal(JSON.parse(lines.at(-1) ?? '').trace_id, 'of the instrumentation')

  const others: string[] = []
  createLineLog(pino({}, { write: line => { others.push(line) } }), { destination }).info({}, 'request')
  t.same([lines.length, others.length], [1, 1], 'a stream that it put in place of the destination')

  let made = 0
  const listening = { start: () => { made++ }, end: () => {}, asyncStart: () => {}, asyncEnd: () => {}, error: () => {} }
  const quick = createLineLog(createLogger({ level: 'info', destination }), { destination })
  const making = tracingChannel('pino_asJson')
  making.subscribe(listening)
  quick.info({}, 'request')
  making.unsubscribe(listening)
  quick.info({}, 'request')
  t.equal(made, 1, 'a listener on pino\'s own channel')
})
