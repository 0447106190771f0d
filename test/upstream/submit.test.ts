// What a submit's answer, or its absence, is taken to prove: the difference between repeating and paying twice.

import t from 'tap'
import type { Suspect } from '../../src/generation/upstream.ts'
import { scriptedServer, type Reply } from '../support/scripted-server.ts'
import { KEY, MODEL, queueClient, REQUEST_ID } from './queue-client.ts'

const INPUT = '{"prompt":"ein rotes Fahrrad ü","seed":123456789012345678901}'

t.test('an accepted submit gives fal\'s id and position in the queue, and sent the input as it was given', async t => {
  const { upstream, server, counted } = await queueClient(t, {
    request: (_request, reply) => reply.answer(200, { status: 'IN_QUEUE', request_id: REQUEST_ID, queue_position: 3, logs: null, metrics: {} })
  })
  t.same(await upstream.submit(MODEL, INPUT), { kind: 'accepted', requestId: REQUEST_ID, position: 3 })
  const [request] = server.requests
  t.match(request, { method: 'POST', path: `/queue/${MODEL}`, body: INPUT })
  t.equal(request?.headers.get('authorization'), `Key ${KEY}`)
  t.equal(request?.headers.get('content-type'), 'application/json')
  t.same([...request?.headers.keys() ?? []].filter(name => name.startsWith('x-')), [])
  t.same(counted, ['submit 2xx'])
})

t.test('each submit has a connection of its own, even where the server would keep it', async t => {
  const { upstream, server } = await queueClient(t, {
    request: (_request, reply) => reply.answer(200, { request_id: REQUEST_ID }, { connection: 'keep-alive' })
  })
  for (let n = 0; n < 3; n++) await upstream.submit(MODEL, '{}')
  t.same(server.requests.map(request => request.connection), [1, 2, 3])
  t.same(server.requests.map(request => request.headers.get('connection')), ['close', 'close', 'close'])
})

t.test('the key and the address are asked for each time', async t => {
  const keys = ['a:b', 'c:d']
  const { upstream, server } = await queueClient(t, { request: (_request, reply) => reply.answer(200, { request_id: REQUEST_ID }) }, { keyOf: () => keys.shift() ?? '' })
  await upstream.submit(MODEL, '{}')
  await upstream.submit(MODEL, '{}')
  t.same(server.requests.map(request => request.headers.get('authorization')), ['Key a:b', 'Key c:d'])
})

t.test('what certainly never reached fal is unsent', async t => {
  const unsent = { kind: 'unsent', failure: { code: 'upstream-unavailable' }, retryAfterMs: null }

  t.test('a refused connection', async t => {
    const { upstream, server, counted, logged } = await queueClient(t, {})
    await server.close()
    t.match(await upstream.submit(MODEL, INPUT), unsent)
    t.same(counted, ['submit network'])
    t.match(logged(), 'ECONNREFUSED')
  })

  t.test('a name that does not resolve', async t => {
    const { upstream } = await queueClient(t, {}, { queueUrl: () => 'http://queue.invalid' })
    t.match(await upstream.submit(MODEL, INPUT), unsent)
  })

  t.test('a TLS handshake that fails', async t => {
    const plain = await scriptedServer(t, { connection: socket => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') } })
    const { upstream } = await queueClient(t, {}, { queueUrl: () => plain.url.replace('http:', 'https:') })
    t.match(await upstream.submit(MODEL, INPUT), unsent)
  })

  t.test('a TLS handshake that hangs', async t => {
    const silent = await scriptedServer(t, {})
    const { upstream, counted } = await queueClient(t, {}, { queueUrl: () => silent.url.replace('http:', 'https:'), timeouts: { connectMs: 50 } })
    t.match(await upstream.submit(MODEL, INPUT), unsent)
    t.same(counted, ['submit timeout'])
  })

  t.test('429, told apart because it is no failure of fal\'s', async t => {
    const { upstream, counted } = await queueClient(t, { request: (_request, reply) => reply.answer(429, 'whatever', { 'retry-after': '7' }) })
    t.match(await upstream.submit(MODEL, INPUT), { ...unsent, retryAfterMs: 7_000, busy: true })
    t.same(counted, ['submit 429'])
  })

  t.test('another 4xx that fal marks as one to be repeated', async t => {
    const { upstream } = await queueClient(t, { request: (_request, reply) => reply.answer(409, { detail: 'not now' }, { 'x-fal-needs-retry': '1', 'retry-after': '3' }) })
    t.match(await upstream.submit(MODEL, INPUT), { ...unsent, retryAfterMs: 3000 })
  })

  t.test('503 with a body of fal\'s', async t => {
    const { upstream, counted } = await queueClient(t, {
      request: (_request, reply) => reply.answer(503, { detail: 'no runner', error_type: 'runner_scheduling_failure' }, { 'retry-after': 'Sun, 22 Nov 2026 10:00:20 GMT', date: 'Sun, 22 Nov 2026 10:00:00 GMT' })
    })
    const submitted = await upstream.submit(MODEL, INPUT)
    t.match(submitted, { ...unsent, retryAfterMs: 20_000 })
    t.notOk('busy' in submitted)
    t.same(counted, ['submit 5xx'])
  })
})

t.test('a Retry-After that cannot be read, or a date without the answer\'s own, is none', async t => {
  for (const retryAfter of ['soon', '-1', 'Sun, 22 Nov 2026 10:00:20 GMT', '']) {
    const { upstream } = await queueClient(t, { request: (_request, reply) => reply.answer(429, '', { 'retry-after': retryAfter }) })
    t.match(await upstream.submit(MODEL, INPUT), { kind: 'unsent', retryAfterMs: null }, retryAfter)
  }
})

t.test('that it could be repeated says nothing about our account, nor about what may have been bought', async t => {
  for (const [status, kind] of [[403, 'refused'], [500, 'lost'], [502, 'lost'], [504, 'lost']] as const) {
    const { upstream } = await queueClient(t, { request: (_request, reply) => reply.answer(status, { detail: 'x' }, { 'x-fal-needs-retry': '1' }) })
    t.match(await upstream.submit(MODEL, INPUT), { kind }, String(status))
  }
})

t.test('a clear no ends it, in words that are ours', async t => {
  const cases = [
    { status: 401, body: { detail: 'No user found for Key ID and Secret' }, code: 'upstream-account-blocked' },
    { status: 403, body: { detail: 'User is locked. Reason: Exhausted balance. Top up your balance.' }, code: 'upstream-account-blocked' },
    { status: 404, body: { detail: 'Application "imagen4" not found' }, code: 'model-retired' },
    { status: 404, body: { detail: 'Path /preview/ultra not found' }, code: 'upstream-failed' },
    { status: 404, body: '<html>nginx</html>', code: 'upstream-failed' },
    { status: 400, body: { detail: 'secret words', error_type: 'bad_request' }, code: 'upstream-failed' },
    { status: 422, body: { detail: [{ loc: ['body', 'prompt'], msg: 'field required', type: 'missing' }] }, code: 'invalid-input' },
    { status: 422, body: { detail: [{ loc: ['body', 'prompt'], msg: 'flagged', type: 'content_policy_violation' }] }, code: 'content-refused' }
  ]
  for (const { status, body, code } of cases) {
    const { upstream } = await queueClient(t, { request: (_request, reply) => reply.answer(status, body) })
    const submitted = await upstream.submit(MODEL, INPUT)
    t.match(submitted, { kind: 'refused', failure: { code } }, `${status} ${code}`)
    t.notMatch(JSON.stringify(submitted), /Top up|Key ID|secret words/)
  }
})

t.test('what may have reached fal and was not clearly answered is lost, and was sent once', async t => {
  const lost = (requestId: string | null = null): object => ({ kind: 'lost', requestId, cause: String })
  const accepted = JSON.stringify({ request_id: REQUEST_ID })
  const cases: { readonly name: string, readonly script: (reply: Reply) => void, readonly expected: object, readonly submitMs?: number }[] = [
    { name: 'a reset after the request was read', script: reply => reply.reset(), expected: lost() },
    { name: 'an end without an answer', script: reply => reply.socket.end(), expected: lost() },
    { name: 'half a head', script: reply => reply.socket.end('HTTP/1.1 200 OK\r\ncontent-le'), expected: lost() },
    { name: 'an answer that is not HTTP', script: reply => reply.socket.end('220 smtp.example ESMTP\r\n'), expected: lost() },
    { name: 'no answer in time', script: () => {}, expected: lost(), submitMs: 100 },
    { name: 'a body that stops in time', script: reply => { reply.head(200, { 'content-length': '100' }); reply.socket.write(accepted) }, expected: lost(), submitMs: 100 },
    { name: 'a body cut short', script: reply => { reply.head(200, { 'content-length': '100' }); reply.socket.end(accepted) }, expected: lost() },
    { name: 'a body cut short under a header that names the request', script: reply => { reply.head(200, { 'content-length': '100', 'x-fal-request-id': REQUEST_ID }); reply.reset() }, expected: { kind: 'lost' } },
    { name: '200 without a request id', script: reply => reply.answer(200, { status: 'IN_QUEUE' }), expected: lost() },
    { name: '200 with a request id that would change a path', script: reply => reply.answer(200, { request_id: '../../other' }), expected: lost() },
    { name: '200 that is not JSON', script: reply => reply.answer(200, '<html>welcome</html>'), expected: lost() },
    { name: '200 that is not JSON under a header that names the request', script: reply => reply.answer(200, '<html>', { 'x-fal-request-id': REQUEST_ID }), expected: lost(REQUEST_ID) },
    { name: 'a redirect, which is not followed', script: reply => reply.answer(307, '', { location: '/elsewhere' }), expected: lost() },
    { name: '503 of an ingress', script: reply => reply.answer(503, '<html>nginx</html>', { 'content-type': 'text/html' }), expected: lost() },
    { name: '503 of fal cut short', script: reply => { reply.head(503, { 'content-length': '100' }); reply.socket.end('{"detail":"no ru') }, expected: lost() },
    { name: '500 of fal', script: reply => reply.answer(500, { detail: 'Internal Server Error' }), expected: lost() },
    { name: '500 that names the request', script: reply => reply.answer(500, { detail: 'Internal Server Error' }, { 'x-fal-request-id': REQUEST_ID }), expected: lost(REQUEST_ID) },
    { name: '502 of an ingress', script: reply => reply.answer(502, '<html>nginx</html>'), expected: lost() },
    { name: '504 of fal', script: reply => reply.answer(504, { detail: 'timed out', error_type: 'request_timeout' }), expected: lost() }
  ]
  for (const { name, script, expected, submitMs = 30_000 } of cases) {
    t.test(name, async t => {
      const { upstream, server } = await queueClient(t, { request: (_request, reply) => script(reply) }, { timeouts: { submitMs } })
      const submitted = await upstream.submit(MODEL, INPUT)
      t.match(submitted, expected)
      t.equal(server.requests.length, 1)
      t.notMatch(JSON.stringify(submitted), /key-secret|Fahrrad/)
    })
  }

  t.test('a reset at the first byte', async t => {
    const { upstream, counted } = await queueClient(t, { connection: socket => { socket.once('data', () => socket.resetAndDestroy()) } })
    t.match(await upstream.submit(MODEL, INPUT), lost())
    t.same(counted, ['submit network'])
  })
})

t.test('after the body went out no answer, and an error in fal\'s form, may be the request\'s doing; everything else is nobody\'s in particular', async t => {
  const cases: { readonly name: string, readonly script: (reply: Reply) => void, readonly suspect: Suspect, readonly submitMs?: number }[] = [
    { name: 'a reset after the request was read', script: reply => reply.reset(), suspect: 'request' },
    { name: 'no answer in time', script: () => {}, suspect: 'request', submitMs: 100 },
    { name: 'half a head', script: reply => reply.socket.end('HTTP/1.1 200 OK\r\ncontent-le'), suspect: 'request' },
    { name: 'a body cut short', script: reply => { reply.head(200, { 'content-length': '100' }); reply.socket.end('{"request_id":') }, suspect: 'request' },
    { name: '500 of fal', script: reply => reply.answer(500, { detail: 'Internal Server Error' }), suspect: 'request' },
    { name: '503 of fal', script: reply => reply.answer(503, { detail: 'no runner', error_type: 'runner_scheduling_failure' }), suspect: 'request' },
    { name: '503 of an ingress', script: reply => reply.answer(503, '<html>nginx</html>', { 'content-type': 'text/html' }), suspect: 'account' },
    { name: '500 in another form', script: reply => reply.answer(500, { error: 'oops' }), suspect: 'account' },
    { name: '200 that is not JSON', script: reply => reply.answer(200, '<html>welcome</html>'), suspect: 'account' },
    { name: 'a redirect', script: reply => reply.answer(307, '', { location: '/elsewhere' }), suspect: 'account' },
    { name: 'an answer that is not HTTP', script: reply => reply.socket.end('220 smtp.example ESMTP\r\n'), suspect: 'account' }
  ]
  for (const { name, script, suspect, submitMs = 30_000 } of cases) {
    const { upstream } = await queueClient(t, { request: (_request, reply) => script(reply) }, { timeouts: { submitMs } })
    t.match(await upstream.submit(MODEL, INPUT), { suspect }, name)
  }
  const { upstream, server } = await queueClient(t, {})
  await server.close()
  t.match(await upstream.submit(MODEL, INPUT), { suspect: 'account' }, 'a refused connection')
})

t.test('a body that never ends is not waited for', async t => {
  const { upstream } = await queueClient(t, {
    request: (_request, reply) => {
      reply.head(200)
      const trickle = setInterval(() => reply.socket.write(' '), 10)
      reply.socket.on('close', () => clearInterval(trickle))
    }
  }, { timeouts: { submitMs: 100 } })
  t.match(await upstream.submit(MODEL, INPUT), { kind: 'lost', requestId: null })
})

t.test('fal\'s words about the account are logged for operators, without the key', async t => {
  const { upstream, logged } = await queueClient(t, { request: (request, reply) => reply.answer(403, { detail: `User is locked: ${request.headers.get('authorization')}` }) })
  for (let n = 0; n < 5; n++) await upstream.submit(MODEL, INPUT)
  t.match(logged(), 'User is locked')
  t.equal(logged().split('User is locked').length, 2, 'once, not for each request')
  t.notMatch(logged(), 'key-secret')
})
