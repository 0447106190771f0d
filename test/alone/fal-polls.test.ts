// Python's client asks for the status of a request ten times a second: what that costs the gateway.
// Files of this folder measure, and so have the machine to themselves.

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { STUDIO_KEY, tenant } from '../support/gateway.ts'
import { sumOf } from '../support/money.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const GENERATIONS = 500
const POLL_MS = 100
const MEANT_PER_SECOND = GENERATIONS * 1000 / POLL_MS
const WINDOW_MS = 5000
/** Whatever else runs on the machine can only add to what is measured, so one window that holds is enough. */
const MAX_WINDOWS = 6

t.setTimeout(240_000)

t.test('500 running generations, each polled 10 times a second, cost one process less than half a core and fal nothing', { timeout: 120_000 }, async t => {
  const { sandbox, startReplica } = await deploy(t, { env: { ...USUAL_LEASE, FAL_CONCURRENCY: '1000' }, sandbox: { concurrency: 1000 }, tenants: roomForAll() })
  const replica = await startReplica()
  const release = sandbox.faults.holdJobs()
  t.teardown(release)
  const ids = await Promise.all(Array.from({ length: GENERATIONS }, async (_, n) => await submit(replica, n)))
  await until(async () => sumOf((await replica.get('/metrics')).text, 'falgate_slots_used') === GENERATIONS)

  const pollers = await Promise.all(ids.map(async (id, n) => await startPolling(replica, id, n * POLL_MS / GENERATIONS)))
  t.teardown(() => { for (const poller of pollers) poller.stop() })
  await pause(2000)

  const before = await usedBy(replica)
  let least = Infinity
  let polls = 0
  for (let window = 0; window < MAX_WINDOWS && least >= 0.5; window++) {
    const start = await usedBy(replica)
    const answered = sum(pollers.map(poller => poller.answers()))
    const sinceMs = performance.now()
    await pause(WINDOW_MS)
    const end = await usedBy(replica)
    const seconds = (performance.now() - sinceMs) / 1000
    polls = (sum(pollers.map(poller => poller.answers())) - answered) / seconds
    // Pollers ask again after each answer, and so a little less often than they are meant to.
    const cores = (end.cpuSeconds - start.cpuSeconds) / seconds * MEANT_PER_SECOND / polls
    least = Math.min(least, cores)
    t.comment(`at ${polls.toFixed(0)} polls a second, ${MEANT_PER_SECOND} cost ${cores.toFixed(3)} cores`)
  }
  const after = await usedBy(replica)
  for (const poller of pollers) poller.stop()

  t.equal(after.upstream, before.upstream, 'nobody asked fal')
  t.ok(polls > 0.8 * MEANT_PER_SECOND, `${polls.toFixed(0)} polls a second were answered`)
  t.ok(least < 0.5, `${least.toFixed(3)} cores`)
  t.equal(sum(pollers.map(poller => poller.others())), 0, 'every answer was a 202')
})

function roomForAll (): Record<string, unknown> {
  const limits = { maxInFlight: 1000, maxQueued: 10_000, rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 1_000_000, windowSeconds: 60 } }
  return { tenants: [tenant('studio', limits)] }
}

async function submit (replica: Replica, n: number): Promise<string> {
  const response = await fetch(`${replica.base}/fal/queue/fal-ai/imagen4/preview/ultra`, {
    method: 'POST', headers: { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ prompt: `picture ${n}`, seed: n })
  })
  const submitted: unknown = await response.json()
  return String(Reflect.get(Object(submitted), 'request_id'))
}

async function usedBy (replica: Replica): Promise<{ readonly cpuSeconds: number, readonly upstream: number }> {
  const { text } = await replica.get('/metrics')
  return { cpuSeconds: sumOf(text, 'process_cpu_seconds_total'), upstream: sumOf(text, 'falgate_upstream_requests_total') }
}

/** One caller on a connection of its own, that asks again 100 ms after each answer. Written by hand, so that the asking costs little beside the answering. */
async function startPolling (replica: Replica, id: string, delayMs: number): Promise<{ readonly answers: () => number, readonly others: () => number, readonly stop: () => void }> {
  const { hostname, port } = new URL(replica.base)
  const socket: Socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const request = `GET /fal/queue/fal-ai/imagen4/requests/${id}/status?logs=false HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Key ${STUDIO_KEY}\r\naccept: */*\r\nuser-agent: fal-client/1.0.3 (python)\r\n\r\n`
  let answers = 0
  let others = 0
  let timer: NodeJS.Timeout
  socket.on('error', () => { others++ })
  socket.on('data', chunk => {
    // An answer is small enough to arrive whole.
    answers++
    if (!chunk.subarray(0, 12).equals(ACCEPTED)) others++
    timer = setTimeout(ask, POLL_MS)
  })
  function ask (): void { socket.write(request) }
  timer = setTimeout(ask, delayMs)
  return {
    answers: () => answers,
    others: () => others,
    stop: () => {
      clearTimeout(timer)
      socket.destroy()
    }
  }
}

const ACCEPTED = Buffer.from('HTTP/1.1 202')

function sum (numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
