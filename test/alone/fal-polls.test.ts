// Python's client asks for the status of a request ten times a second: what that costs the gateway.
// Files of this folder measure, and so have the machine to themselves.

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { STUDIO_KEY, tenant } from '../support/gateway.ts'
import { sumOf } from '../support/money.ts'
import { answering, freePort, start } from '../support/processes.ts'
import { deploy, USUAL_LEASE, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const GENERATIONS = 500
const POLL_MS = 100
const MEANT_PER_SECOND = GENERATIONS * 1000 / POLL_MS
const WINDOW_MS = 5000
/** A noisy machine adds to both sides, so the least of each is compared; this often at most. */
const MAX_ROUNDS = 4
/**
 * What a poll may cost, against the same poll answered by Fastify with its log line alone. Processors differ by more than three, and one
 * processor does from hour to hour: where Fastify took a quarter of a core for these polls, this bound is 0.38 of one.
 */
const MOST_TIMES_FASTIFY = 1.5

t.setTimeout(240_000)

t.test('500 running generations, each polled 10 times a second, cost one process little more than Fastify itself takes for as many answers, and fal nothing', { timeout: 200_000 }, async t => {
  const { sandbox, startReplica } = await deploy(t, { env: { ...USUAL_LEASE, FAL_CONCURRENCY: '1000' }, sandbox: { concurrency: 1000 }, tenants: roomForAll() })
  const replica = await startReplica()
  const release = sandbox.faults.holdJobs()
  t.teardown(release)
  const ids = await Promise.all(Array.from({ length: GENERATIONS }, async (_, n) => await submit(replica, n)))
  await until(async () => sumOf(await metricsOf(replica.base), 'falgate_slots_used') === GENERATIONS)
  const bare = await startBare(t)

  const askedBefore = sumOf(await metricsOf(replica.base), 'falgate_upstream_requests_total')
  const least = { falgate: Infinity, bare: Infinity }
  for (let round = 0; round < MAX_ROUNDS && (round < 2 || least.falgate >= MOST_TIMES_FASTIFY * least.bare); round++) {
    least.bare = Math.min(least.bare, await coresFor(t, 'Fastify', bare, ids))
    least.falgate = Math.min(least.falgate, await coresFor(t, 'falgate', replica.base, ids))
  }
  t.equal(sumOf(await metricsOf(replica.base), 'falgate_upstream_requests_total'), askedBefore, 'nobody asked fal')
  t.ok(least.falgate < MOST_TIMES_FASTIFY * least.bare, `${least.falgate.toFixed(3)} cores where Fastify takes ${least.bare.toFixed(3)}`)
})

/** What as many polls as are meant cost the process behind `base`, in cores. */
async function coresFor (t: Test, name: string, base: string, ids: readonly string[]): Promise<number> {
  const pollers = await Promise.all(ids.map(async (id, n) => await startPolling(base, id, n * POLL_MS / GENERATIONS)))
  try {
    const answers = (): number => sum(pollers.map(poller => poller.answers()))
    await until(() => answers() > 10 * GENERATIONS)
    const [usedBefore, answeredBefore, sinceMs] = [await cpuSecondsOf(base), answers(), performance.now()]
    await pause(WINDOW_MS)
    const [used, answered] = [await cpuSecondsOf(base), answers() - answeredBefore]
    const seconds = (performance.now() - sinceMs) / 1000
    const perSecond = answered / seconds
    // Pollers ask again after each answer, and so a little less often than they are meant to.
    const cores = (used - usedBefore) / seconds * MEANT_PER_SECOND / perSecond
    t.comment(`${name}: at ${perSecond.toFixed(0)} polls a second, ${MEANT_PER_SECOND} cost ${cores.toFixed(3)} cores`)
    t.ok(perSecond > 0.8 * MEANT_PER_SECOND, `${perSecond.toFixed(0)} polls a second were answered`)
    t.equal(sum(pollers.map(poller => poller.others())), 0, 'every answer was a 202')
    return cores
  } finally {
    for (const poller of pollers) poller.stop()
  }
}

/** Fastify alone, in a process of its own; gives its address. */
async function startBare (t: Test): Promise<string> {
  const port = await freePort()
  const base = `http://127.0.0.1:${port}`
  await answering(start(t, [bareFile, String(port)], {}, { timeoutMs: 200_000 }), base + '/metrics')
  return base
}

const bareFile = fileURLToPath(new URL('./programs/bare-status.js', import.meta.url))

async function metricsOf (base: string): Promise<string> {
  return await (await fetch(base + '/metrics')).text()
}

async function cpuSecondsOf (base: string): Promise<number> {
  return sumOf(await metricsOf(base), 'process_cpu_seconds_total')
}

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

/** One caller on a connection of its own, that asks again 100 ms after each answer. Written by hand, so that the asking costs little beside the answering. */
async function startPolling (base: string, id: string, delayMs: number): Promise<{ readonly answers: () => number, readonly others: () => number, readonly stop: () => void }> {
  const { hostname, port } = new URL(base)
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
