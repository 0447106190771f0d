// Following a generation: each change is seen once, whatever happens to the stream or to fal in between.

import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import type { Sighting, StatusReader } from '../../src/generation/upstream.ts'
import type { ReceivedRequest, Reply } from '../support/scripted-server.ts'
import { until } from '../support/until.ts'
import { KEY, MODEL, queueClient, REQUEST_ID, REQUEST_PATH } from './queue-client.ts'

const STREAM_HEAD = { 'content-type': 'text/event-stream; charset=utf-8', connection: 'close' }
const NOTHING: readonly string[] = []

function status (state: string, more: object = {}): string {
  return JSON.stringify({ status: state, request_id: REQUEST_ID, response_url: 'http://elsewhere.invalid/r', status_url: 'http://elsewhere.invalid/s', ...more })
}

function log (message: string, timestamp = '2026-11-22T10:00:00Z'): object {
  return { message, timestamp, level: 'INFO', source: 'USER', labels: {} }
}

/** A chunk of a body of unknown length; an empty one ends it. */
function chunkOf (text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

/** Answers the stream and the polls by two scripts. */
function byPath (stream: (reply: Reply, nth: number) => void, poll: (reply: Reply, nth: number) => void): (request: ReceivedRequest, reply: Reply) => void {
  let streams = 0
  let polls = 0
  return (request, reply) => request.path.includes('/status/stream') ? stream(reply, ++streams) : poll(reply, ++polls)
}

const noStream = (reply: Reply): void => reply.answer(404, '<html>no such page</html>')

async function all (reader: StatusReader): Promise<Sighting[]> {
  const sightings: Sighting[] = []
  for (;;) {
    const sighting = await reader.next(new AbortController().signal)
    if (sighting.kind === 'interrupted') throw new Error('Nothing interrupts it.')
    sightings.push(sighting)
    if (sighting.kind === 'completed' || sighting.kind === 'missing') return sightings
  }
}

function told (sightings: readonly Sighting[]): string[] {
  return sightings.map(sighting => {
    const logs = 'log' in sighting ? sighting.log.lines.map(line => line.message) : NOTHING
    return [sighting.kind, ...(sighting.kind === 'queued' ? [String(sighting.position)] : NOTHING), ...logs].join(' ')
  })
}

t.test('the stream alone tells every change once, with its new log lines', async t => {
  const { upstream, server, counted } = await queueClient(t, {
    request: (_request, { head, socket }) => {
      head(200, STREAM_HEAD)
      socket.write(`data: ${status('IN_QUEUE', { queue_position: 2 })}\n\n: ping\n\n`)
      socket.write(`data: ${status('IN_QUEUE', { queue_position: 2 })}\n\ndata: ${status('IN_QUEUE', { queue_position: 0, logs: null })}\n\n`)
      socket.write(`data: ${status('IN_PROGRESS', { logs: [log('one')] })}\r\n\r\ndata: ${status('IN_PROGRESS', { logs: [] })}\n\n`)
      socket.write(`data: ${status('IN_PROGRESS', { logs: [log('one')] })}\n\n`)
      socket.end(`data: ${status('COMPLETED', { logs: [log('two ü')], error: 'x', error_type: 'y', metrics: { inference_time: 1 } })}\n\n`)
    }
  })
  const sightings = await all(upstream.openStatusReader(MODEL, REQUEST_ID))
  t.same(told(sightings), ['queued 2', 'queued 0', 'running one', 'running one', 'completed two ü'])
  t.same(sightings.at(-1), { kind: 'completed', log: { from: 2, lines: [{ message: 'two ü', timestamp: '2026-11-22T10:00:00Z', level: 'INFO' }] } })
  t.match(server.requests, [{ method: 'GET', path: `${REQUEST_PATH}/status/stream?logs=1` }])
  t.equal(server.requests[0]?.headers.get('accept'), 'text/event-stream')
  t.equal(server.requests[0]?.headers.get('authorization'), `Key ${KEY}`)
  t.same(counted, ['stream 2xx'])
})

t.test('a stream that ends behind its last event leaves its connection to the next request', async t => {
  let end = (): void => {}
  const { upstream, server, signal } = await queueClient(t, {
    request: ({ path }, { head, socket, answer }) => {
      if (!path.includes('/status/stream')) return answer(404, { detail: 'no result' })
      head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })
      socket.write(chunkOf(`data: ${status('COMPLETED')}\n\n`))
      end = () => { socket.write(chunkOf('')) }
    }
  })
  const reader = upstream.openStatusReader(MODEL, REQUEST_ID)
  t.match(await reader.next(signal), { kind: 'completed' }, 'told before the stream ended')
  reader.close()
  end()
  await until(async () => {
    await upstream.result(MODEL, REQUEST_ID, signal)
    return server.requests.at(-1)?.connection === 1
  })
})

t.test('a stream that tells more than is asked for is read no further, and goes on where it was', async t => {
  const events = 400
  let unread = (): number => NaN
  const { upstream, signal } = await queueClient(t, {
    request: ({ path }, { head, socket, answer }): void => {
      if (!path.includes('/status/stream')) return answer(404, { detail: 'no result' })
      head(200, STREAM_HEAD)
      // More than the buffers of the system hold.
      for (let n = 0; n < events; n++) socket.write(`data: ${status('IN_QUEUE', { queue_position: n })}\n\n: ${'x'.repeat(100_000)}\n\n`)
      unread = () => socket.writableLength
    }
  })
  const reader = upstream.openStatusReader(MODEL, REQUEST_ID)
  t.match(await reader.next(signal), { kind: 'queued', position: 0 })
  let before = NaN
  await until(async () => {
    const now = unread()
    // Other requests have been answered meanwhile, so what could be read has been.
    for (let n = 0; n < 50; n++) await upstream.result(MODEL, REQUEST_ID, signal)
    const isAtRest = before === now
    before = now
    return isAtRest
  })
  t.ok(unread() > 0, `${unread()} bytes wait at the server`)
  for (let n = 1; n < events; n++) {
    const seen = await reader.next(signal)
    if (!('position' in seen) || seen.position !== n) throw new Error(`${JSON.stringify(seen)} instead of ${n}`)
  }
})

t.test('a stream that goes on behind its last event is hung up on', async t => {
  let isHungUp = false
  const { upstream, signal } = await queueClient(t, {
    connection: socket => { socket.on('close', () => { isHungUp = true }) },
    request: (_request, { head, socket }) => {
      head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })
      socket.write(chunkOf(`data: ${status('COMPLETED')}\n\n`))
    }
  })
  t.match(await upstream.openStatusReader(MODEL, REQUEST_ID).next(signal), { kind: 'completed' })
  await until(() => isHungUp)
})

t.test('a stream cut before COMPLETED is followed by polls, and nothing is told twice', async t => {
  const { upstream, server, counted } = await queueClient(t, {
    request: byPath(({ head, socket }) => {
      head(200, STREAM_HEAD)
      socket.end(`data: ${status('IN_QUEUE', { queue_position: 1 })}\n\ndata: ${status('IN_PROGRESS', { logs: [log('one'), log('one')] })}\n\ndata: {"status":"COMPLE`)
    }, (reply, nth) => {
      if (nth < 3) reply.answer(202, status('IN_PROGRESS', { logs: [log('one'), log('one')] }))
      else reply.answer(200, status('COMPLETED', { logs: [log('one'), log('one'), log('one'), log('two')] }))
    })
  })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['queued 1', 'running one one', 'completed one two'])
  t.same(server.requests.slice(1).map(request => request.path), Array(3).fill(`${REQUEST_PATH}/status?logs=1`))
  t.same(counted, ['stream 2xx', ...Array(3).fill('status 2xx')])
})

t.test('polls follow whatever else the stream does', async t => {
  const streams: Readonly<Record<string, (reply: Reply) => void>> = {
    'answers no stream': reply => reply.answer(200, status('IN_QUEUE')),
    'answers an error': reply => reply.answer(500, { detail: 'x' }),
    'is reset': reply => reply.reset(),
    'is reset after its head': reply => { reply.head(200, STREAM_HEAD); reply.reset() },
    'falls silent': reply => reply.head(200, STREAM_HEAD),
    'never answers': () => {},
    'tells nonsense': reply => { reply.head(200, STREAM_HEAD); reply.socket.end('data: nonsense\n\ndata: {"status":"FAILED"}\n\ndata: 7\n\n') },
    'sends an event without end': reply => { reply.head(200, STREAM_HEAD); reply.socket.end('data: ' + 'x'.repeat(2_000_000)) }
  }
  await Promise.all(Object.entries(streams).map(([name, stream]) => t.test(`when it ${name}`, async t => {
    const { upstream } = await queueClient(t, { request: byPath(stream, reply => reply.answer(200, status('COMPLETED'))) }, { timeouts: { streamSilenceMs: 50, statusMs: 50 } })
    t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['completed'])
  })))
})

t.test('while the key is not here nothing is asked, and it is followed once it is', async t => {
  let missing = 3
  const { upstream, server, counted } = await queueClient(t, { request: byPath(noStream, reply => reply.answer(200, status('COMPLETED'))) }, { keyOf: () => missing-- > 0 ? null : KEY })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['completed'])
  t.same(server.requests.map(request => request.headers.get('authorization')), [`Key ${KEY}`])
  t.same(counted, ['status 2xx'])
})

t.test('a poll belongs to the one who waits, also where it follows a stream on a connection that somebody else opened', async t => {
  const whose = new AsyncLocalStorage<string>()
  const asked: (string | undefined)[] = []
  const { upstream, server, signal } = await queueClient(t, {
    request: ({ path }, reply) => {
      if (path.includes('/status/stream')) {
        reply.head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })
        reply.socket.write(chunkOf(''))
      } else if (path.includes('/status')) reply.answer(200, status('COMPLETED'))
      else reply.answer(404, { detail: 'no result' })
    }
  }, {
    keyOf: () => {
      asked.push(whose.getStore())
      return KEY
    }
  })
  await until(async () => {
    await whose.run('theirs', async () => await Promise.all(Array.from({ length: 8 }, async () => await upstream.result(MODEL, REQUEST_ID, signal))))
    asked.length = 0
    t.same(await whose.run('ours', async () => told(await all(upstream.openStatusReader(MODEL, REQUEST_ID)))), ['completed'])
    t.same(asked, ['ours', 'ours'])
    // A connection is free only a moment after its answer, so the stream may have come over a new one.
    const stream = server.requests.findLast(({ path }) => path.includes('/status/stream'))
    return server.requests.find(({ connection }) => connection === stream?.connection)?.path.includes('/status') === false
  })
})

t.test('the stream is tried again after some polls', async t => {
  const { upstream } = await queueClient(t, {
    request: byPath((reply, nth) => {
      if (nth === 1) return reply.reset()
      reply.head(200, STREAM_HEAD)
      reply.socket.end(`data: ${status('COMPLETED', { logs: [log('one'), log('two')] })}\n\n`)
    }, reply => reply.answer(202, status('IN_PROGRESS', { logs: [log('one')] })))
  })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['running one', 'completed two'])
})

t.test('troubles are waited out, our account\'s too, and told to operators once', async t => {
  const troubles: ((reply: Reply) => void)[] = [
    reply => reply.reset(),
    reply => reply.answer(401, { detail: 'No user found for Key ID and Secret' }),
    reply => reply.answer(403, { detail: 'User is locked.' }),
    reply => reply.answer(429, '', { 'retry-after': '3600' }),
    reply => reply.answer(502, '<html>nginx</html>'),
    reply => reply.answer(200, 'nonsense'),
    reply => reply.answer(200, Uint8Array.of(0xff, 0xfe)),
    reply => reply.answer(404, '<html>no such page</html>'),
    reply => { reply.head(200, { 'content-length': '100' }); reply.reset() },
    () => {}
  ]
  const { upstream, counted, logged } = await queueClient(t, {
    request: byPath(noStream, (reply, nth) => {
      const trouble = troubles[nth - 1]
      if (trouble !== undefined) trouble(reply)
      else reply.answer(200, status('COMPLETED'))
    })
  }, { timeouts: { statusMs: 300 } })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['completed'])
  t.equal(counted.filter(line => line.startsWith('status')).length, troubles.length + 1)
  t.equal(logged().match(/cannot be read/g)?.length, 1)
  t.notMatch(logged(), 'key-secret')
})

t.test('an id that fal does not know at first is not given up at once', async t => {
  const { upstream } = await queueClient(t, {
    request: byPath(noStream, (reply, nth) => nth < 5 ? reply.answer(404, { status: 'NOT_FOUND' }) : reply.answer(200, status('COMPLETED')))
  })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['completed'])
})

t.test('an id that fal does not know five times in a row is missing, troubles in between or not', async t => {
  const { upstream } = await queueClient(t, {
    request: byPath(noStream, (reply, nth) => nth === 3 ? reply.reset() : reply.answer(404, { status: 'NOT_FOUND' }))
  })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['missing'])
})

t.test('a status of an odd shape still tells that the picture is done', async t => {
  const { upstream } = await queueClient(t, {
    request: byPath(noStream, (reply, nth) => nth === 1
      ? reply.answer(202, { status: 'IN_QUEUE', queue_position: -1.5, logs: {} })
      : reply.answer(200, { status: 'COMPLETED', logs: [7, { message: null }, { message: 'kept', timestamp: 7 }] }))
  })
  t.same(told(await all(upstream.openStatusReader(MODEL, REQUEST_ID))), ['queued null', 'completed kept'])
})

t.test('a model that logs without end costs bounded memory', async t => {
  const lines = Array.from({ length: 2_000 }, (_, n) => log(`${n} ${'x'.repeat(3_000)}`))
  const { upstream } = await queueClient(t, {
    request: byPath(noStream, (reply, nth) => nth < 3
      ? reply.answer(202, status('IN_PROGRESS', { logs: lines.slice(0, nth * 150) }))
      : reply.answer(200, status('COMPLETED')))
  })
  const sightings = await all(upstream.openStatusReader(MODEL, REQUEST_ID))
  t.same(sightings.map(sighting => 'log' in sighting && sighting.log.lines.length), [150, 150, 0])
  t.equal(sightings.flatMap(sighting => 'log' in sighting ? sighting.log.lines : []).every(line => line.message.length === 2_000), true)
})

t.test('no part of the key is told, wherever it stands in a line of the log', async t => {
  const before = 'x'.repeat(1_995)
  const { upstream } = await queueClient(t, {
    request: byPath(
      reply => { reply.head(200, STREAM_HEAD); reply.socket.end(`data: ${status('IN_PROGRESS', { logs: [log(before + KEY)] })}\n\n`) },
      reply => reply.answer(200, status('COMPLETED', { logs: [log(before + KEY), { message: `with ${KEY}`, timestamp: 'y'.repeat(95) + KEY, level: KEY }] }))
    )
  })
  const sightings = await all(upstream.openStatusReader(MODEL, REQUEST_ID))
  t.same(sightings.map(sighting => 'log' in sighting && sighting.log.lines), [
    [{ message: before + '[reda', timestamp: '2026-11-22T10:00:00Z', level: 'INFO' }],
    [{ message: 'with [redacted]', timestamp: 'y'.repeat(95) + '[reda', level: '[redacted]' }]
  ])
})

t.test('a next whose signal fires says so, and what it waited for goes to the one after it', async t => {
  let send: (text: string) => void = () => {}
  let opened: () => void = () => {}
  const isOpen = new Promise<void>(resolve => { opened = resolve })
  const { upstream, server } = await queueClient(t, {
    request: (_request, { head, socket }) => {
      head(200, STREAM_HEAD)
      send = text => { socket.write(text) }
      opened()
    }
  })
  const reader = upstream.openStatusReader(MODEL, REQUEST_ID)
  const leaving = new AbortController()
  const waiting = reader.next(leaving.signal)
  await isOpen
  leaving.abort()
  t.same(await waiting, { kind: 'interrupted' })
  t.same(await reader.next(AbortSignal.abort()), { kind: 'interrupted' })
  send(`data: ${status('IN_PROGRESS')}\n\n`)
  t.match(await reader.next(new AbortController().signal), { kind: 'running' })
  t.equal(server.requests.length, 1)
})

t.test('of two that wait at once the second is told, and the first is sent away', async t => {
  let send: (text: string) => void = () => {}
  const { upstream, signal } = await queueClient(t, {
    request: (_request, { head, socket }) => {
      head(200, STREAM_HEAD)
      send = text => { socket.write(text) }
      send(`data: ${status('IN_QUEUE')}\n\n`)
    }
  })
  const reader = upstream.openStatusReader(MODEL, REQUEST_ID)
  await reader.next(signal)
  const [first, second] = [reader.next(signal), reader.next(signal)]
  t.same(await first, { kind: 'interrupted' })
  send(`data: ${status('IN_PROGRESS')}\n\n`)
  t.match(await second, { kind: 'running' })
})

t.test('a reader that is closed lets go of its stream, whether somebody waits or not', async t => {
  const closed: Promise<unknown>[] = []
  const { upstream, counted } = await queueClient(t, {
    request: (_request, { head, socket }) => {
      closed.push(new Promise(resolve => socket.on('close', resolve)))
      head(200, STREAM_HEAD)
      socket.write(`data: ${status('IN_PROGRESS')}\n\n`)
    }
  })
  const { signal } = new AbortController()
  const resting = upstream.openStatusReader(MODEL, REQUEST_ID)
  const waiting = upstream.openStatusReader(MODEL, REQUEST_ID)
  await Promise.all([resting.next(signal), waiting.next(signal)])
  const next = waiting.next(signal)
  resting.close()
  waiting.close()
  waiting.close()
  await t.rejects(next, /closed|abort/i)
  await t.rejects(resting.next(signal), /closed/)
  await Promise.all(closed)
  t.equal(counted.length, 2)
})
