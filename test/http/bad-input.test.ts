// What bad input gets: the documented status and code, never a 500, nothing sent upstream, nothing stored.

import { hash } from 'node:crypto'
import net from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import { request } from 'undici'
import { bookOf, key, parseObject, startGateway, STUDIO_KEY, tenant, type CallOptions, type Gateway } from '../support/gateway.ts'

interface Case { readonly body: unknown, readonly options?: CallOptions, readonly status: number, readonly code: string, readonly path?: string, readonly fault?: string }

const good = { prompt: 'a red bicycle' }
const long = '\u{1F6B2}'.repeat(10_001)

const cases: Readonly<Record<string, Case>> = {
  'malformed JSON': { body: '{"prompt":', status: 400, code: 'malformed-json' },
  'an empty body': { body: '', status: 400, code: 'malformed-json' },
  'trailing garbage': { body: '{"prompt":"x"} x', status: 400, code: 'malformed-json' },
  'an array': { body: [], status: 422, code: 'invalid-input', path: '' },
  null: { body: null, status: 422, code: 'invalid-input', path: '' },
  'a bare number': { body: '5', status: 422, code: 'invalid-input', path: '' },
  'a missing prompt': { body: {}, status: 422, code: 'invalid-input', path: '/prompt', fault: 'missing' },
  'a blank prompt': { body: { prompt: ' \n\t\u2003' }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'blank' },
  'a prompt without a width': { body: { prompt: '\u200b\u00ad \u2060\ufeff' }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'blank' },
  'a prompt of NUL': { body: { prompt: '\0' }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'blank' },
  'an empty prompt': { body: { prompt: '' }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'blank' },
  'an aspect ratio of null': { body: { ...good, aspect_ratio: null }, status: 422, code: 'invalid-input', path: '/aspect_ratio', fault: 'one_of' },
  'a number for a resolution': { body: { ...good, resolution: 1 }, status: 422, code: 'invalid-input', path: '/resolution', fault: 'one_of' },
  'a fraction of pictures': { body: { ...good, num_images: 1.5 }, status: 422, code: 'invalid-input', path: '/num_images', fault: 'wrong_type' },
  'a prompt of 10,001 characters': { body: { prompt: long }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'sequence_too_long' },
  'a prompt with a lone surrogate': { body: '{"prompt":"a \\ud800 b"}', status: 422, code: 'invalid-input', path: '/prompt', fault: 'not_well_formed' },
  'a number for a prompt': { body: { prompt: 5 }, status: 422, code: 'invalid-input', path: '/prompt', fault: 'wrong_type' },
  'an unknown field': { body: { ...good, style: 'oil' }, status: 422, code: 'invalid-input', path: '/style', fault: 'unknown_field' },
  'a __proto__ key': { body: '{"prompt":"x","__proto__":{"polluted":true}}', status: 422, code: 'invalid-input', path: '/__proto__', fault: 'unknown_field' },
  'a constructor key': { body: '{"prompt":"x","constructor":{"prototype":{}}}', status: 422, code: 'invalid-input', path: '/constructor', fault: 'unknown_field' },
  'an aspect ratio that does not exist': { body: { ...good, aspect_ratio: '2:1' }, status: 422, code: 'invalid-input', path: '/aspect_ratio', fault: 'one_of' },
  'a resolution that does not exist': { body: { ...good, resolution: '4K' }, status: 422, code: 'invalid-input', path: '/resolution', fault: 'one_of' },
  'no picture': { body: { ...good, num_images: 0 }, status: 422, code: 'invalid-input', path: '/num_images' },
  'four pictures': { body: { ...good, num_images: 4 }, status: 422, code: 'invalid-input', path: '/num_images', fault: 'less_than_equal' },
  'a seed of 1.5': { body: '{"prompt":"x","seed":1.5}', status: 422, code: 'invalid-input', path: '/seed', fault: 'wrong_type' },
  'a seed of "1"': { body: '{"prompt":"x","seed":"1"}', status: 422, code: 'invalid-input', path: '/seed', fault: 'wrong_type' },
  'a seed of 1e400': { body: '{"prompt":"x","seed":1e400}', status: 422, code: 'invalid-input', path: '/seed' },
  'a seed of 1e20, whose digits nobody can know': { body: '{"prompt":"x","seed":1e20}', status: 422, code: 'invalid-input', path: '/seed' },
  'a seed of 1,001 digits': { body: `{"prompt":"x","seed":${'7'.repeat(1001)}}`, status: 422, code: 'invalid-input', path: '/seed', fault: 'int_parsing_size' },
  'a seed of 4,401 digits': { body: `{"prompt":"x","seed":-${'7'.repeat(4401)}}`, status: 422, code: 'invalid-input', path: '/seed', fault: 'int_parsing_size' },
  'a seed of null': { body: '{"prompt":"x","seed":null}', status: 422, code: 'invalid-input', path: '/seed', fault: 'wrong_type' },
  'a form': { body: 'prompt=x', options: { headers: { 'content-type': 'application/x-www-form-urlencoded' } }, status: 415, code: 'not-json' },
  'plain text': { body: '{"prompt":"x"}', options: { headers: { 'content-type': 'text/plain' } }, status: 415, code: 'not-json' },
  'a compressed body': { body: good, options: { headers: { 'content-encoding': 'gzip' } }, status: 415, code: 'not-json' },
  'a 2 MB body': { body: JSON.stringify({ prompt: 'x'.repeat(2_000_000) }), status: 413, code: 'body-too-large' },
  'no key': { body: good, options: { key: null }, status: 401, code: 'key-missing' },
  'an unknown key': { body: good, options: { key: 'fg_nobody_secret' }, status: 401, code: 'key-unknown' },
  'a wrong secret': { body: good, options: { key: 'fg_studio_wrong' }, status: 401, code: 'key-unknown' },
  'a malformed key': { body: good, options: { key: 'hello' }, status: 401, code: 'key-unknown' },
  'a fal key': { body: good, options: { key: 'id:secret' }, status: 401, code: 'key-unknown' },
  'an expired key': { body: good, options: { key: 'fg_old_secret-of-old' }, status: 401, code: 'key-expired' },
  'a model that the tenant may not use': { body: good, options: { key: key('nothing') }, status: 403, code: 'not-allowed' },
  'a value that the tenant may not use': { body: { ...good, resolution: '2K' }, options: { key: key('small') }, status: 403, code: 'not-allowed' },
  'a foreign origin': { body: good, options: { key: key('small'), headers: { origin: 'https://evil.example' } }, status: 403, code: 'origin-not-allowed' },
  'an Idempotency-Key of 256 characters': { body: good, options: { headers: { 'idempotency-key': 'k'.repeat(256) } }, status: 400, code: 'bad-header' },
  'an Idempotency-Key with a space': { body: good, options: { headers: { 'idempotency-key': 'a b' } }, status: 400, code: 'bad-header' },
  'a Falgate-Cache that does not exist': { body: good, options: { headers: { 'falgate-cache': 'yes' } }, status: 400, code: 'bad-header' },
  'an unknown model': { body: good, options: { path: '/generate/fal-ai/nothing' }, status: 404, code: 'model-unknown' },
  'an unknown route': { body: good, options: { path: '/generrate' }, status: 404, code: 'no-such-route' },
  'an address that cannot be decoded': { body: good, options: { path: '/generate/%zz' }, status: 400, code: 'bad-request' },
  'a POST to a list': { body: good, options: { path: '/usage' }, status: 405, code: 'method-not-allowed' }
}

async function open (t: Parameters<typeof startGateway>[0]): Promise<Gateway> {
  const sha256 = hash('sha256', 'secret-of-old')
  return await startGateway(t, {
    tenants: {
      tenants: [
        tenant('studio'),
        { id: 'past', keys: [{ id: 'old', sha256, expires: '2020-01-01T00:00:00Z' }] },
        tenant('nothing', { models: [] }),
        tenant('small', { allow: { resolution: ['1K'] }, origins: ['https://small.example'] })
      ]
    }
  })
}

t.test('bad input gets its documented status and code, and nothing is sent or stored', async t => {
  const gateway = await open(t)
  for (const [name, { body, options, status, code, path, fault }] of Object.entries(cases)) {
    const reply = await gateway.generate(body, options)
    t.equal(reply.status, status, `${name}: status`)
    t.match(reply.headers.get('content-type'), /^application\/problem\+json/, `${name}: problem+json`)
    const problem = reply.json()
    t.match(problem, { type: `urn:falgate:problem:${code}`, code, status, title: String, request_id: reply.headers.get('x-request-id') }, `${name}: body`)
    if (path !== undefined) {
      t.match(problem['errors'], [{ path, ...(fault === undefined ? {} : { code: fault }), message: String }], `${name}: field`)
      t.match(problem['errors'], { length: 1 }, `${name}: one fault, one error`)
    }
    if (status === 401) t.match(reply.headers.get('www-authenticate'), /^Bearer/, `${name}: WWW-Authenticate`)
    if (status === 405) t.equal(reply.headers.get('allow'), 'GET, HEAD', `${name}: Allow`)
  }
  t.equal(gateway.sandbox.bill.submits, 0)
  t.same((await gateway.get('/generations')).json(), { generations: [], next_cursor: null })
})

t.test('a refusal never repeats what was sent', async t => {
  const gateway = await open(t)
  for (const body of ['{"prompt": sesame', '{"prompt":"sesame","seed":"sesame"}', '{"sesame-field":1,"prompt":["sesame"]}']) {
    const { text } = await gateway.generate(body)
    t.notMatch(text.replace('/sesame-field', ''), 'sesame')
  }
})

t.test('at most twenty faults are listed', async t => {
  const gateway = await open(t)
  const fields = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`f${n}`, 1]))
  const reply = await gateway.generate(fields)
  t.equal(reply.status, 422)
  t.equal([reply.json()['errors']].flat().length, 20)
})

t.test('the key is checked before a body is read', async t => {
  const gateway = await open(t)
  const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.write('POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{')
  const [head] = await new Promise<Buffer[]>(resolve => { socket.once('data', data => { resolve([data]) }) })
  t.match(String(head), /^HTTP\/1\.1 401 /)
})

t.test('what is not HTTP gets a 400 and a closed connection', async t => {
  const gateway = await open(t)
  const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', chunk => { chunks.push(chunk) })
  const closed = new Promise(resolve => { socket.once('close', resolve) })
  socket.write('hello\r\n\r\n')
  await closed
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 400 Bad Request/)
  t.equal(parseObject(body)['code'], 'bad-request')
})

t.test('bad queries and ids are refused', async t => {
  const gateway = await open(t)
  for (const query of ['limit=0', 'limit=101', 'limit=x', 'cursor=x', 'status=done', 'colour=red']) {
    const reply = await gateway.get(`/generations?${query}`)
    t.equal(reply.status, 400, query)
    t.equal(reply.json()['code'], 'bad-query', query)
  }
  for (const id of ['x', '0192f0c0-0000-7000-8000-000000000000', 'a'.repeat(90), '%00', "'", '..%2f']) {
    const reply = await gateway.get(`/generations/${id}`)
    t.equal(reply.status, 404, id)
    t.equal((await gateway.post(`/generations/${id}/cancel`)).status, 404, id)
  }
  t.equal((await gateway.get(`/generations/${'a'.repeat(300)}`)).status, 414)
})

t.test('methods that nobody knows are the caller\'s fault, and a body for nothing is not read', async t => {
  const gateway = await open(t)
  for (const [method, path, status] of [['QUERY', '/generate', 405], ['PROPFIND', '/generate', 405], ['POST', '/nothing', 404], ['PUT', '/generate', 405], ['GET', '/docs/static/nope.js', 404]] as const) {
    const response = await fetch(gateway.url + path, { method, headers: { authorization: `Bearer ${STUDIO_KEY}` }, ...(method === 'GET' ? {} : { body: '{"prompt":' }) })
    t.equal(response.status, status, `${method} ${path}`)
  }
  const plain = await fetch(gateway.url + '/generate', { method: 'QUERY', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
  t.equal(plain.status, 405)
  const response = await fetch(`${gateway.url}/generations/x/cancel`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' } })
  t.equal(response.status, 404, 'a cancel needs no body, whatever its content type')
  for (const [method, path] of [['POST', '/generations/x/cancel'], ['PUT', '/fal/queue/fal-ai/imagen4/requests/x/cancel'], ['PUT', '/fal/queue/acme/other/requests/x/cancel']] as const) {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain;charset=UTF-8', 'application/octet-stream', 'multipart/form-data; boundary=x', 'application/json', null]) {
      for (const body of ['', '{', 'anything']) {
        // Without a length a body goes in chunks, also an empty one.
        for (const isChunked of [false, true]) {
          const { statusCode, body: answer } = await request(gateway.url + path, {
            method,
            headers: { authorization: `Key ${STUDIO_KEY}`, ...type === null ? {} : { 'content-type': type } },
            body: isChunked ? Readable.from([body]) : body
          })
          await answer.dump()
          t.equal(statusCode, 404, `${method} ${path}: ${String(type)}, ${JSON.stringify(body)}${isChunked ? ' in chunks' : ''}`)
        }
      }
    }
  }
  const long = await request(`${gateway.url}/generations/x/cancel`, { method: 'POST', headers: { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'text/plain' }, body: 'x'.repeat(300_000) })
  await long.body.dump()
  t.equal(long.statusCode, 413, 'but nobody has to take in what is longer than any body may be')
})

t.test('every answer of /generate says what the cache had to do with it', async t => {
  const gateway = await open(t)
  for (const [body, options] of [[good, { key: null }], ['{', {}], [{}, {}], [good, { headers: { 'content-type': 'text/plain' } }]] as const) {
    t.equal((await gateway.generate(body, options)).headers.get('cache-status'), 'falgate; fwd=miss')
  }
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-cache': 'only' } })).headers.get('cache-status'), 'falgate; detail=not-cached')
})

t.test('HEAD and GET are the methods of what can be read, and every 405 names those that are allowed', async t => {
  const gateway = await open(t)
  const allowed = { '/generate': 'POST', '/generations': 'GET, HEAD, POST', '/generations/x/cancel': 'POST', '/openapi.json': 'GET, HEAD', '/healthz': 'GET, HEAD' }
  for (const [path, allow] of Object.entries(allowed)) {
    const response = await fetch(gateway.url + path, { method: 'DELETE', headers: { authorization: `Bearer ${STUDIO_KEY}` } })
    t.equal(response.status, 405, path)
    t.equal(response.headers.get('allow'), allow, path)
  }
})

t.test('a tenants file that is refused names every fault', async t => {
  t.throws(() => bookOf({ tenants: [{ id: 'a', keys: [] }, { id: 'a', keys: [{ id: 'k', sha256: 'x' }] }] }))
})

t.test('a caller without a key that is known is told what a key looks like, and never which part of one is wrong', async t => {
  const gateway = await open(t)
  const form = /fg_<id>:<secret>/
  for (const [authorization, code, detail] of [
    [undefined, 'key-missing', /Authorization: Bearer <key>/],
    ['Basic dXNlcjpwYXNz', 'key-unknown', /Authorization: Bearer <key>/],
    ['Bearer sk-0123456789', 'key-unknown', form],
    ['Key 0a1b2c3d-0000:fedcba9876543210', 'key-unknown', form],
    ['Bearer fg_studio_wrong', 'key-unknown', null],
    ['Bearer fg_nobody:wrong', 'key-unknown', null]
  ] as const) {
    const response = await fetch(`${gateway.url}/usage`, { headers: authorization === undefined ? {} : { authorization } })
    t.equal(response.status, 401)
    const text = await response.text()
    const problem = parseObject(text)
    t.equal(problem['code'], code, authorization ?? 'none')
    if (detail === null) t.equal(problem['detail'], undefined)
    else t.match(problem['detail'], detail)
    if (authorization !== undefined) t.notOk(text.includes(authorization.slice(7)), 'what was sent is not repeated')
  }
})

t.test('a slash at the end of an address changes nothing', async t => {
  const gateway = await open(t)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { path: '/generate/' })).status, 200)
  t.equal((await gateway.generate({ prompt: 'x', seed: 1 }, { path: '/generate/fal-ai/imagen4/preview/ultra/' })).status, 200)
  for (const path of ['/usage/', '/models/', '/generations/', '/models/fal-ai/imagen4/preview/ultra/', '/openapi.json/', '/healthz/']) t.equal((await gateway.get(path)).status, 200, path)
  t.equal((await gateway.get('/generate/')).status, 405)
  t.equal((await gateway.post('/usage/')).status, 405)
  t.equal((await gateway.get('/nothing/')).status, 404)
})

t.test('fal\'s paths at the root are told where they are here, and the root where to look', async t => {
  const gateway = await open(t)
  for (const path of ['/fal-ai/imagen4/preview/ultra', '/queue/fal-ai/imagen4/preview/ultra', '/fal-ai/no-such/model', '/fal-ai/flux/dev/requests/0a1b/status']) {
    const reply = await gateway.post(path)
    t.equal(reply.status, 404, path)
    t.match(reply.json(), { code: 'no-such-route', detail: /^fal's own paths are below \/fal and \/fal\/queue here; the gateway's own call is POST \/generate\/fal-ai\/[\w/-]+\.$/ }, path)
  }
  for (const path of ['/nothing', '/v1/images/generations', '/fal-ai/%22%3Cscript%3E']) t.equal((await gateway.post(path)).json()['detail'], undefined, path)
  const root = await fetch(gateway.url)
  t.equal(root.status, 200)
  t.match(await root.text(), /POST \/generate .* docs .* openapi\.json/)
})
