// What grows with the number of callers, tenants and results, and what must not.

import { setTimeout as pause } from 'node:timers/promises'
import { numbersOf, startGateway, type Gateway, type Ground } from './contestants.ts'
import { eachConnection, flood, measure, openWaiting } from './load.ts'
import { cpuUsOf, residentMibOf } from './machine.ts'
import { bearer, fill, post, sameInput, tenantId, type RawRequest } from './requests.ts'

/** A process that many callers wait on, over some seconds in which nothing happens. */
export interface Waiting {
  readonly callers: number
  readonly residentMib: number
  /** Share of one core. */
  readonly cpu: number
  /** Of Node's own measure, whose timer fires every 10 ms: an idle process shows about 10 ms. */
  readonly loopP99Ms: number
}

const OBSERVED_SECONDS = 10

/** As many as a busy machine admits without a word. */
const ARRIVALS_PER_SECOND = 200

/** On a machine that is busy with other things some are refused all the same. */
const MOST = 0.98

/** Each caller waits for a generation of its own, nearly all of them in the queue. None is answered while this is measured. */
export async function waitingCallers (ground: Ground, callers: number, progress: (said: string) => void): Promise<readonly Waiting[]> {
  const gateway = await startGateway(ground, { name: `waiting-${callers}`, delayMs: 600_000, env: { FAL_CONCURRENCY: '10', WAIT_SECONDS: '300', QUEUE_SECONDS: '3600' } })
  const text = post('/generate', '{"prompt":"caller {n}"}', bearer(tenantId(0))).text
  const idle = await observe(gateway, 0)
  const sockets = await openWaiting(gateway.port, Array.from({ length: callers }, (_, index) => fill(text, index)), ARRIVALS_PER_SECOND)
  await pause(2000)
  const waiting = await waitingIn(gateway)
  progress(`${waiting} of ${callers} callers wait in the queue`)
  if (waiting < callers * MOST) throw new Error(`${callers} callers came, and only ${waiting} wait`)
  const answered = sockets.filter(({ bytesRead }) => bytesRead > 0).length
  const full = await observe(gateway, callers - answered)
  if (sockets.filter(({ bytesRead }) => bytesRead > 0).length > answered) throw new Error('a caller was answered who should have waited')
  for (const socket of sockets) socket.destroy()
  await gateway.stop()
  return [idle, full]
}

async function waitingIn (gateway: Gateway): Promise<number> {
  return await metric(gateway, 'falgate_waiting{tenant="tenant1000000000"}')
}

async function observe (gateway: Gateway, callers: number): Promise<Waiting> {
  await metric(gateway, 'nodejs_eventloop_lag_p99_seconds') // reading begins a new measure
  const before = { cpuUs: cpuUsOf(gateway.pid), atMs: performance.now() }
  await pause(OBSERVED_SECONDS * 1000)
  const cpu = (cpuUsOf(gateway.pid) - before.cpuUs) / 1000 / (performance.now() - before.atMs)
  return { callers, residentMib: residentMibOf(gateway.pid), cpu, loopP99Ms: await metric(gateway, 'nodejs_eventloop_lag_p99_seconds') * 1000 }
}

async function metric (gateway: Gateway, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${gateway.port}/metrics`)).text()
  return Number(text.split('\n').find(line => line.startsWith(name + ' '))?.slice(name.length) ?? 0)
}

/** CPU that a hit costs the gateway, and how many it answers, as tenants and stored results grow. */
export interface HitCost { readonly tenants: number, readonly results: number, readonly cpuUs: number, readonly perSecond: number }

export async function hitCosts (ground: Ground, tenantCounts: readonly number[], resultCounts: readonly number[], seconds: number, progress: (said: string) => void): Promise<readonly HitCost[]> {
  const most = Math.max(...tenantCounts)
  const gateway = await startGateway(ground, { name: 'many-tenants', tenants: most })
  const costs: HitCost[] = []
  const measure = async (tenants: number, results: number): Promise<void> => {
    progress(`hits of ${tenants} tenants on ${results} results`)
    await ask(gateway, results)
    costs.push({ tenants, results, ...await costOf(gateway, hitOf(tenants, results), seconds) })
  }
  for (const tenants of tenantCounts) await measure(tenants, 1)
  for (const results of resultCounts) if (results > 1) await measure(1, results)
  await gateway.stop()
  return costs
}

/** One of `tenants` asks for one of `results`. */
function hitOf (tenants: number, results: number): RawRequest {
  const headers = tenants === 1 ? bearer(tenantId(0)) : { authorization: `Bearer fg_tenant{n${tenants}}_secret-of-tenant{n${tenants}}` }
  return post('/generate', results === 1 ? sameInput : `{"prompt":"result {n${results}}","seed":1}`, headers)
}

/** Has each of them made once, so that the layer in front of the ledger holds it. */
async function ask (gateway: Gateway, results: number): Promise<void> {
  const text = hitOf(1, results).text
  let next = 0
  await eachConnection(gateway.port, 64, async line => {
    while (next < results) {
      const { status } = await line.ask(fill(text, next++))
      if (status !== 200) throw new Error(`answered ${status}`)
    }
  })
}

async function costOf ({ port, pid }: Gateway, request: RawRequest, seconds: number): Promise<Pick<HitCost, 'cpuUs' | 'perSecond'>> {
  await flood(port, request, 32, Math.ceil(seconds / 2)) // warm
  const { cpuUs, perSecond } = await measure({ name: 'falgate', port, pid, request }, 32, seconds)
  return { cpuUs, perSecond }
}

/** The in-process layer with many results put into it, in a process of its own. */
export interface CacheScale { readonly put: number, readonly kept: number, readonly maxMib: number, readonly residentMib: number, readonly getUs: number, readonly putUs: number }

export function cacheScale (results: number): CacheScale {
  const number = numbersOf('result-cache', [String(results)])
  return { put: number('put'), kept: number('kept'), maxMib: number('maxMib'), residentMib: number('residentMib'), getUs: number('getUs'), putUs: number('putUs') }
}
