// Python's client asks for the status of a request ten times a second: what that costs the gateway, beside Fastify for as many answers.

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { sumOf } from '../support/money.ts'
import { freePort } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { programFile, startGateway, type Ground } from './contestants.ts'
import { answering, startServer } from './machine.ts'
import type { Bound } from './report.ts'
import { secretOf, tenantId } from './requests.ts'

const GENERATIONS = 500
const POLL_MS = 100
const MEANT_PER_SECOND = GENERATIONS * 1000 / POLL_MS
/** A noisy machine adds to both sides, so the least of each is compared; this often at most. */
const MAX_ROUNDS = 4
/**
 * What a poll may cost, against the same poll answered by Fastify with its log line alone. Processors differ by more than three, and one
 * processor does from hour to hour: where Fastify took a quarter of a core for these polls, this bound is 0.38 of one.
 */
const MOST_TIMES_FASTIFY = 1.5

/** The least of all rounds, in cores for as many polls as are meant. */
export interface PollCosts {
  readonly generations: number
  readonly perSecond: number
  readonly falgate: number
  readonly bare: number
  readonly bounds: readonly Bound[]
}

interface Window { readonly cores: number, readonly perSecond: number, readonly others: number }

/** Measures windows of this length. The bounds are those of 500 running generations, each polled ten times a second. */
export async function pollCosts (ground: Ground, seconds: number, progress: (said: string) => void): Promise<PollCosts> {
  const gateway = await startGateway(ground, { name: 'polls', delayMs: 3_600_000 })
  const base = `http://127.0.0.1:${gateway.port}`
  const ids = await Promise.all(Array.from({ length: GENERATIONS }, async (_, n) => await submit(base, n)))
  await until(async () => sumOf(await metricsOf(base), 'falgate_slots_used') === GENERATIONS)
  const bare = await startBare()

  const askedBefore = sumOf(await metricsOf(base), 'falgate_upstream_requests_total')
  const windows: Window[] = []
  const least = { falgate: Infinity, bare: Infinity }
  for (let round = 0; round < MAX_ROUNDS && (round < 2 || least.falgate >= MOST_TIMES_FASTIFY * least.bare); round++) {
    for (const [name, url] of [['bare', bare.base], ['falgate', base]] as const) {
      const window = await measure(url, ids, seconds)
      progress(`${name}: at ${window.perSecond.toFixed(0)} polls a second, ${MEANT_PER_SECOND} cost ${window.cores.toFixed(3)} cores`)
      windows.push(window)
      least[name] = Math.min(least[name], window.cores)
    }
  }
  const asked = sumOf(await metricsOf(base), 'falgate_upstream_requests_total') - askedBefore
  await Promise.all([gateway.stop(), bare.stop()])

  const slowest = Math.min(...windows.map(({ perSecond }) => perSecond))
  const others = windows.reduce((sum, window) => sum + window.others, 0)
  const ratio = least.falgate / least.bare
  return {
    generations: GENERATIONS,
    perSecond: MEANT_PER_SECOND,
    ...least,
    bounds: [
      { name: 'a status poll costs less than 1.5 times what Fastify takes', isKept: ratio < MOST_TIMES_FASTIFY, found: ratio.toFixed(2) },
      { name: 'status polls ask fal nothing', isKept: asked === 0, found: `${asked} requests` },
      { name: 'every status poll of what runs is a 202', isKept: others === 0, found: `${others} others` },
      { name: 'at least 0.8 of the polls that are meant are answered', isKept: slowest > 0.8 * MEANT_PER_SECOND, found: `${slowest.toFixed(0)} of ${MEANT_PER_SECOND} a second` }
    ]
  }
}

/** What as many polls as are meant cost the process behind `base`. */
async function measure (base: string, ids: readonly string[], wantedSeconds: number): Promise<Window> {
  const pollers = await Promise.all(ids.map(async (id, n) => await startPolling(base, id, n * POLL_MS / GENERATIONS)))
  try {
    const answers = (): number => pollers.reduce((sum, poller) => sum + poller.answers(), 0)
    await until(() => answers() > 10 * GENERATIONS)
    const [usedBefore, answeredBefore, sinceMs] = [await cpuSecondsOf(base), answers(), performance.now()]
    await pause(wantedSeconds * 1000)
    const [used, answered] = [await cpuSecondsOf(base), answers() - answeredBefore]
    const seconds = (performance.now() - sinceMs) / 1000
    const perSecond = answered / seconds
    // Pollers ask again after each answer, and so a little less often than they are meant to.
    return { cores: (used - usedBefore) / seconds * MEANT_PER_SECOND / perSecond, perSecond, others: pollers.reduce((sum, poller) => sum + poller.others(), 0) }
  } finally {
    for (const poller of pollers) poller.stop()
  }
}

/** Fastify alone, in a process of its own. */
async function startBare (): Promise<{ readonly base: string, readonly stop: () => Promise<void> }> {
  const port = await freePort()
  const base = `http://127.0.0.1:${port}`
  const started = startServer('bare-status', [programFile('bare-status'), String(port)])
  await answering(started, base + '/metrics')
  return { base, stop: started.stop }
}

async function metricsOf (base: string): Promise<string> {
  return await (await fetch(base + '/metrics')).text()
}

async function cpuSecondsOf (base: string): Promise<number> {
  return sumOf(await metricsOf(base), 'process_cpu_seconds_total')
}

const KEY = `fg_${tenantId(0)}_${secretOf(tenantId(0))}`

async function submit (base: string, n: number): Promise<string> {
  const response = await fetch(`${base}/fal/queue/${imagen4Ultra.endpointId}`, {
    method: 'POST', headers: { authorization: `Key ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ prompt: `picture ${n}`, seed: n })
  })
  const submitted: unknown = await response.json()
  return String(Reflect.get(Object(submitted), 'request_id'))
}

/** One caller on a connection of its own, that asks again 100 ms after each answer. Written by hand, so that the asking costs little beside the answering. */
async function startPolling (base: string, id: string, delayMs: number): Promise<{ readonly answers: () => number, readonly others: () => number, readonly stop: () => void }> {
  const { hostname, port } = new URL(base)
  const socket: Socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const request = `GET /fal/queue/fal-ai/imagen4/requests/${id}/status?logs=false HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Key ${KEY}\r\naccept: */*\r\nuser-agent: fal-client/1.0.3 (python)\r\n\r\n`
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
