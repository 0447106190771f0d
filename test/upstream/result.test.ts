// What the answer of the result endpoint means: a picture as fal sent it, an error in our words, or a reason to ask again.

import t from 'tap'
import type { Result } from '../../src/generation/upstream.ts'
import type { Reply } from '../support/scripted-server.ts'
import { KEY, MODEL, queueClient, REQUEST_ID, REQUEST_PATH, type Bench } from './queue-client.ts'

type Teardown = Parameters<typeof queueClient>[0]

async function resultOf (t: Teardown, script: (reply: Reply) => void, resultMs = 30_000): Promise<{ readonly result: Result, readonly bench: Bench }> {
  const bench = await queueClient(t, { request: (_request, reply) => script(reply) }, { timeouts: { resultMs } })
  return { result: await bench.upstream.result(MODEL, REQUEST_ID, bench.signal), bench }
}

const UNITS = { 'x-fal-billable-units': '1' }

t.test('a picture is given as fal sent it: spacing, order, unknown fields, seeds of any size', async t => {
  const body = '{ "seed" : 123456789012345678901234567890,\n "images":[{"file_size":null, "url":"https://v3.fal.media/files/ü.png","x":1.0}], "description":"\\u0000" }\n'
  const { result, bench } = await resultOf(t, reply => reply.answer(200, body, { ...UNITS, 'content-type': 'application/json' }))
  t.same(result, { kind: 'succeeded', body, seed: '123456789012345678901234567890', units: '1' })
  t.match(bench.server.requests, [{ method: 'GET', path: REQUEST_PATH }])
  t.equal(bench.server.requests[0]?.headers.get('accept-encoding'), 'identity')
  t.same(bench.counted, ['result 2xx'])
})

t.test('a picture whose seed is absent or odd was still paid for, and teaches no seed', async t => {
  for (const seed of ['', ',"seed":null', ',"seed":1.5', ',"seed":1e30', ',"seed":1e999', ',"seed":"7"', `,"seed":${'7'.repeat(1001)}`]) {
    const body = `{"images":[{"url":"u"}]${seed}}`
    const { result } = await resultOf(t, reply => reply.answer(200, body))
    t.same(result, { kind: 'succeeded', body, seed: null, units: null }, body)
  }
})

t.test('what was paid for is not thrown away because a field looks odd', async t => {
  for (const body of ['{"images":{"url":"u"}}', '{"image":{"url":"u"},"has_nsfw_concepts":"no"}', '{"images":[{"url":"u","file_size":"big"}]}']) {
    t.match((await resultOf(t, reply => reply.answer(200, body, UNITS))).result, { kind: 'succeeded', body, units: '1' })
  }
})

t.test('a byte order mark is no part of the answer', async t => {
  const { result } = await resultOf(t, reply => reply.answer(200, '\uFEFF{"images":[{"url":"u"}]}'))
  t.match(result, { kind: 'succeeded', body: '{"images":[{"url":"u"}]}' })
})

t.test('a 200 that is no output of the model is told apart, with its units; only JSON that names them is clearly the model\'s', async t => {
  const bodies: readonly (readonly [body: string | Uint8Array, isClear: boolean])[] = [
    ['', false],
    ['null', false],
    ['[]', false],
    ['<html>', false],
    ['{}', true],
    ['{"images":[]}', true],
    ['{"images":[{}]}', true],
    ['{"images":[{"url":7}]}', true],
    ['{"status":"IN_QUEUE"}', true],
    [Buffer.from([...Buffer.from('{"images":[{"url":"'), 0xff, ...Buffer.from('"}]}')]), false],
    [`{"images":[{"url":"${'x'.repeat(64 * 1024 * 1024)}"}]}`, false]
  ]
  for (const [body, isClear] of bodies) {
    const { result, bench } = await resultOf(t, reply => reply.answer(200, body, UNITS))
    t.same(result, { kind: 'no-output', units: '1', isClear }, String(body).slice(0, 30))
    t.match(bench.logged(), 'no output')
  }
  t.same((await resultOf(t, reply => reply.answer(200, '{"images":[]}'))).result, { kind: 'no-output', units: null, isClear: false })
})

t.test('a refused input is told in fal\'s lines, bounded and without what was refused', async t => {
  const lines = [
    { loc: ['body', 'images', 0, 'a/b~c'], msg: 'too many', type: 'less_than_equal', ctx: { le: 1 }, input: 'my secret prompt', url: 'https://docs.fal.ai/errors/#x' },
    { loc: ['query', 'x'], msg: 'm'.repeat(10_000), type: 'missing', ctx: { big: 'x'.repeat(10_000) } },
    { msg: 'no place', type: 'value_error' },
    { loc: 'odd', msg: 'odd place', type: 'value_error' },
    'no line',
    ...Array.from({ length: 40 }, () => ({ loc: ['body'], msg: 'more', type: 'value_error' }))
  ]
  const { result, bench } = await resultOf(t, reply => reply.answer(422, { detail: lines }, UNITS))
  const errors = result.kind === 'failed' ? result.failure.errors ?? [] : []
  t.match(result, { kind: 'failed', failure: { code: 'invalid-input' }, units: '1', free: false })
  t.equal(errors.length, 20)
  t.same(errors[0], { path: '/images/0/a~1b~0c', message: 'too many', code: 'less_than_equal', ctx: { le: 1 } })
  t.same(errors[1], { path: '/query/x', message: 'm'.repeat(500), code: 'missing' })
  t.same(errors.slice(2, 5).map(error => error.path), ['', '', ''])
  t.notMatch(JSON.stringify(result) + bench.logged(), /secret|docs\.fal/)
})

t.test('a failed generation gets the code that its callers can act on, and is free where fal does not bill it', async t => {
  const line = (type: string): object => ({ detail: [{ loc: ['body', 'prompt'], msg: 'm', type, input: 'p' }] })
  const text = (type: string): object => ({ detail: 'fal\'s own text', error_type: type })
  const cases: { status: number, body: object, code: string, free: boolean, headers?: Record<string, string> }[] = [
    { status: 422, body: line('content_policy_violation'), code: 'content-refused', free: false },
    { status: 422, body: line('no_media_generated'), code: 'content-refused', free: false },
    { status: 422, body: line('literal_error'), code: 'invalid-input', free: false },
    { status: 422, body: { detail: 'a text in place of lines' }, code: 'invalid-input', free: false },
    { status: 500, body: line('internal_server_error'), code: 'upstream-failed', free: true },
    { status: 504, body: line('generation_timeout'), code: 'upstream-timeout', free: true },
    { status: 504, body: text('startup_timeout'), code: 'upstream-timeout', free: true },
    { status: 503, body: { detail: 'x' }, headers: { 'x-fal-error-type': 'request_timeout' }, code: 'upstream-timeout', free: true },
    { status: 503, body: text('runner_disconnected'), code: 'upstream-failed', free: true },
    { status: 502, body: text('runner_incomplete_response'), code: 'upstream-failed', free: true },
    { status: 400, body: line('downstream_service_error'), code: 'upstream-failed', free: true },
    { status: 400, body: line('downstream_service_error'), headers: UNITS, code: 'upstream-failed', free: false }
  ]
  for (const { status, body, code, free, headers = {} } of cases) {
    const { result } = await resultOf(t, reply => reply.answer(status, body, headers))
    t.match(result, { kind: 'failed', failure: { code }, free }, `${status} ${JSON.stringify(body)}`)
    t.notMatch(JSON.stringify(result), 'fal\'s own text')
  }
})

t.test('a long result has the time that it needs as long as it comes, and one that trickles has not', async t => {
  const mebibyte = 'x'.repeat(1_048_576)
  const start = '{"images":[{"url":"'
  /** This many parts, each sent when the deadline of the answer would have been over without the parts before it. */
  const send = (parts: readonly string[]) => (reply: Reply): void => {
    reply.head(200, { 'content-length': String(parts.join('').length), ...UNITS })
    const [part = '', ...others] = parts
    reply.socket.write(part)
    let sent = 0
    const timer = setInterval(() => {
      const next = others[sent++]
      if (next === undefined) clearInterval(timer)
      else reply.socket.write(next)
    }, 700)
    reply.socket.on('close', () => { clearInterval(timer) })
  }
  t.match((await resultOf(t, send([start + mebibyte, mebibyte, mebibyte, '"}]}']), 600)).result, { kind: 'succeeded' })
  t.same((await resultOf(t, send([start + 'x', 'x', '"}]}']), 600)).result, { kind: 'unavailable', retryAfterMs: null })
})

t.test('422 with a text is one line about the whole body', async t => {
  const { result } = await resultOf(t, reply => reply.answer(422, { detail: 'the prompt is too long' }))
  t.same(result.kind === 'failed' && result.failure.errors, [{ path: '', message: 'the prompt is too long', code: 'value_error' }])
})

t.test('what fal says of an error repeats no key of ours and tells nothing of the account; what was bought stays byte for byte', async t => {
  const secret = KEY.split(':')[1] ?? ''
  const lines = [
    { loc: ['body', KEY], msg: `${'m'.repeat(495)} ${KEY} said no`, type: `odd ${KEY}`, ctx: { authorization: `Key ${KEY}` } },
    { loc: ['body', 'prompt'], msg: `the secret ${secret} said no`, type: 'value_error', ctx: { le: 1 } },
    { loc: ['body', 'prompt'], msg: 'User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.', type: 'value_error', ctx: { balance: -3 } },
    { loc: ['body', 'white_balance'], msg: 'white_balance has to be given', type: 'missing' }
  ]
  const errorsOf = async (detail: unknown): Promise<readonly object[]> => {
    const { result } = await resultOf(t, reply => reply.answer(422, { detail }, UNITS))
    const submitted = await (await queueClient(t, { request: (_request, reply) => reply.answer(422, { detail }) })).upstream.submit(MODEL, '{"prompt":"a"}')
    const told = result.kind === 'failed' ? result.failure.errors ?? [] : []
    t.same(submitted.kind === 'refused' && submitted.failure.errors, told, 'the same on both ways')
    return told
  }
  t.same(await errorsOf(lines), [
    { path: '/[redacted]', message: `${'m'.repeat(495)} [red`, code: 'odd [redacted]' },
    { path: '/prompt', message: 'the secret [redacted] said no', code: 'value_error', ctx: { le: 1 } },
    { path: '/prompt', message: 'was not accepted', code: 'value_error' },
    { path: '/white_balance', message: 'white_balance has to be given', code: 'missing' }
  ])
  t.same(await errorsOf(`refused for ${KEY}`), [{ path: '', message: 'refused for [redacted]', code: 'value_error' }])
  const body = `{"images":[{"url":"https://v3.fal.media/${KEY}"}]}`
  t.match((await resultOf(t, reply => reply.answer(200, body, UNITS))).result, { kind: 'succeeded', body })
})

t.test('not done yet, gone, and cancelled are told apart', async t => {
  t.match((await resultOf(t, reply => reply.answer(400, { detail: 'Request is still in progress' }))).result, { kind: 'pending' })
  t.match((await resultOf(t, reply => reply.answer(404, { status: 'NOT_FOUND' }))).result, { kind: 'expired', isClear: true })
  t.match((await resultOf(t, reply => reply.answer(404, { detail: 'Request not found' }))).result, { kind: 'expired', isClear: true })
  t.same((await resultOf(t, reply => reply.answer(404, { message: 'no route' }))).result, { kind: 'expired', isClear: false }, 'not in fal\'s form')
  t.same((await resultOf(t, reply => reply.answer(499, { detail: 'x', error_type: 'client_cancelled' }, UNITS))).result, { kind: 'cancelled', units: '1', isClear: true })
  t.same((await resultOf(t, reply => reply.answer(499, ''))).result, { kind: 'cancelled', units: null, isClear: false })
})

t.test('what says nothing about the picture is asked again', async t => {
  const unavailable: readonly ((reply: Reply) => void)[] = [
    reply => reply.reset(),
    reply => { reply.head(200, { 'content-length': '100', ...UNITS }); reply.socket.end('{"images":[{"url":"u"}]}') },
    reply => { reply.head(200, { 'transfer-encoding': 'chunked' }); reply.socket.end('5\r\n{"ima\r\n') },
    reply => reply.answer(401, { detail: 'No user found for Key ID and Secret' }),
    reply => reply.answer(403, { detail: 'User is locked.' }),
    reply => reply.answer(429, { detail: 'x' }),
    reply => reply.answer(500, 'nginx'),
    reply => reply.answer(502, '<html>nginx</html>'),
    reply => reply.answer(404, '<html>nginx</html>'),
    reply => reply.answer(202, { status: 'IN_PROGRESS' }),
    reply => reply.answer(302, '', { location: '/elsewhere' })
  ]
  for (const script of unavailable) t.match((await resultOf(t, script)).result, { kind: 'unavailable', retryAfterMs: null }, String(script))
  t.match((await resultOf(t, () => {}, 50)).result, { kind: 'unavailable', retryAfterMs: null })
  t.match((await resultOf(t, reply => reply.answer(503, 'nginx', { 'retry-after': '2' }))).result, { kind: 'unavailable', retryAfterMs: 2_000 })
})

t.test('a signal ends the wait', async t => {
  const leaving = new AbortController()
  const { upstream, counted } = await queueClient(t, { request: () => leaving.abort() })
  t.match(await upstream.result(MODEL, REQUEST_ID, leaving.signal), { kind: 'unavailable' })
  t.same(counted, ['result aborted'])
})
