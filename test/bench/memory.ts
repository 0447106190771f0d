// Memory: what each caller that waits takes, and what a process keeps after load, beside bare Fastify.

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { bareFastify, hitRequest, imageNodeArgs, missRequest, programFile, startGateway, type GatewayOptions, type Ground } from './contestants.ts'
import { flood, measure, openWaiting } from './load.ts'
import { answering, folder, mostResidentMibOf, residentMibOf, startServer } from './machine.ts'
import { median, type Bound } from './report.ts'
import { bearer, fill, post, tenantId } from './requests.ts'

type Probe = Required<Pick<GatewayOptions, 'nodeArgs' | 'env'>>

/** What a process tells of itself: what it has, and what is left when all garbage is collected. */
export interface Told { readonly before: NodeJS.MemoryUsage, readonly collected: NodeJS.MemoryUsage }

/** A process that tells how much memory it has. */
interface Probed { readonly port: number, readonly pid: number, readonly stop?: () => Promise<void> }

const KIB = 1024

// ------------------------------------------------------------------------------------------------ callers that wait

/** One caller that waits, in KiB. */
export interface CallerMemory {
  readonly name: string
  readonly callers: number
  /** When all garbage is collected. */
  readonly heapKib: number
  /** What the process grew by: with the garbage of their coming, and when that is collected. */
  readonly residentKib: number
  readonly collectedKib: number
}

const ARRIVALS_PER_SECOND = 500

/** What is compiled and grows only once has done so when the first of these have left again. */
const WARM_UP_CALLERS = 300

const WAIT_ENV = { FAL_CONCURRENCY: '10', WAIT_SECONDS: '300', QUEUE_SECONDS: '3600' }
const NEVER_MS = 600_000

/** To reach: what falgate keeps of a caller in its heap. */
const MOST_HEAP_KIB = 9

export async function callerMemory (ground: Ground, callers: number, progress: (said: string) => void): Promise<{ readonly rows: readonly CallerMemory[], readonly bounds: readonly Bound[] }> {
  const gateway = async (name: string): Promise<Probed> => await startGateway(ground, { name, delayMs: NEVER_MS, env: { ...WAIT_ENV, ...probe(name).env }, nodeArgs: probe(name).nodeArgs })
  const rows: CallerMemory[] = []
  const measureCallers = async (name: string, count: number, start: (name: string) => Promise<Probed>, bodyOf: (run: string) => string): Promise<void> => {
    progress(`${count} callers wait: ${name}`)
    rows.push({ name, ...await kibEach(name, await start(name), count, bodyOf) })
  }
  await measureCallers('bare Fastify', callers, startBare, run => `{"prompt":"a caller ${run}","seed":7}`)
  await measureCallers('falgate, all join one generation', callers, gateway, run => `{"prompt":"a caller ${run}","seed":7}`)
  await measureCallers('falgate, each waits in line for its own', Math.ceil(callers / 2), gateway, run => `{"prompt":"a caller ${run} {n}"}`)
  const most = Math.max(...rows.slice(1).map(({ heapKib }) => heapKib))
  return { rows, bounds: [{ name: `a caller that waits is kept in at most ${MOST_HEAP_KIB} KiB of heap`, isKept: most <= MOST_HEAP_KIB, found: `${most.toFixed(2)} KiB` }] }
}

async function startBare (name: string): Promise<Probed> {
  const port = await freePort()
  const { nodeArgs, env } = probe(name)
  const started = startServer(name, [...nodeArgs, programFile('bare-waiting'), String(port)], env)
  await answering(started, `http://127.0.0.1:${port}/`)
  return { ...started, port }
}

async function kibEach (name: string, server: Probed, callers: number, bodyOf: (run: string) => string): Promise<Omit<CallerMemory, 'name'>> {
  const come = async (run: string, count: number): ReturnType<typeof openWaiting> => {
    const { text } = post('/generate', bodyOf(run), bearer(tenantId(0)))
    return await openWaiting(server.port, Array.from({ length: count }, (_, index) => fill(text, index)), ARRIVALS_PER_SECOND)
  }
  for (const socket of await come('before', WARM_UP_CALLERS)) socket.destroy()
  await pause(1000)
  const without = await tellOf(name, server)
  const sockets = await come('waiting', callers)
  await pause(2000)
  const waiting = sockets.filter(({ bytesRead }) => bytesRead === 0).length
  const withThem = await tellOf(name, server)
  if (sockets.filter(({ bytesRead }) => bytesRead === 0).length < waiting) throw new Error(`${name}: a caller was answered who should have waited`)
  for (const socket of sockets) socket.destroy()
  await server.stop?.()
  const each = (one: number, other: number): number => (one - other) / KIB / waiting
  return {
    callers: waiting,
    heapKib: each(withThem.collected.heapUsed, without.collected.heapUsed),
    residentKib: each(withThem.before.rss, without.collected.rss),
    collectedKib: each(withThem.collected.rss, without.collected.rss)
  }
}

export function callerTable (rows: readonly CallerMemory[]): string {
  const lines = rows.map(({ name, callers, heapKib, residentKib, collectedKib }) => `| ${name} | ${callers} | ${heapKib.toFixed(2)} | ${residentKib.toFixed(1)} | ${collectedKib.toFixed(1)} |`)
  return ['| | callers | heap KiB each | resident KiB each | the same, garbage collected |', '| --- | ---: | ---: | ---: | ---: |', ...lines].join('\n')
}

// ------------------------------------------------------------------------------------------------ after load

/** A process after load. */
export interface AfterLoad {
  readonly name: string
  readonly startMib: number
  readonly hitsMib: number
  /** After generations; `null` where none can be made. */
  readonly generationsMib: number | null
  /** The most that it ever had. */
  readonly mostMib: number
  /** Medians of CPU. */
  readonly hitUs: number
  readonly generationUs: number | null
}

/** To reach: what falgate in its image has after load, in times of what plain `node` of 20 has. */
const MOST_TIMES_NODE_20 = 1.2

/** All of them side by side, in turn: hits, then whole generations. */
export async function memoryAfterLoad (ground: Ground, connections: number, rounds: number, seconds: number, progress: (said: string) => void): Promise<readonly AfterLoad[]> {
  const args = imageNodeArgs()
  const plain = await startGateway(ground, { name: 'load-plain' })
  const image = await startGateway(ground, { name: 'load-image', nodeArgs: args })
  const servers = [
    { ...plain, name: 'falgate', makes: true },
    { ...image, name: `falgate as in its image (${args.join(' ')})`, makes: true },
    { ...await bareFastify(), makes: false }
  ].map(server => ({ ...server, startMib: residentMibOf(server.pid), hitUs: new Array<number>(), generationUs: new Array<number>(), hitsMib: NaN, generationsMib: NaN }))
  // The first round fills caches and warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const server of servers) {
      progress(`round ${round} of ${rounds}: ${server.name}`)
      const { name, port, pid } = server
      if (round === 0) await flood(port, hitRequest, 1, 1) // makes it
      const hits = await measure({ name, port, pid, request: hitRequest }, connections, seconds)
      if (round > 0) server.hitUs.push(hits.cpuUs)
      server.hitsMib = residentMibOf(pid)
      if (!server.makes) continue
      const generations = await measure({ name, port, pid, request: missRequest() }, connections, seconds)
      if (round > 0) server.generationUs.push(generations.cpuUs)
      server.generationsMib = residentMibOf(pid)
    }
  }
  const rows = servers.map(({ name, pid, makes, startMib, hitsMib, generationsMib, hitUs, generationUs }) => ({
    name, startMib, hitsMib, generationsMib: makes ? generationsMib : null, mostMib: mostResidentMibOf(pid), hitUs: median(hitUs), generationUs: makes ? median(generationUs) : null
  }))
  await Promise.all([plain.stop(), image.stop()])
  return rows
}

export function loadTable (rows: readonly AfterLoad[]): string {
  const or = (value: number | null): string => value === null ? '–' : value.toFixed(0)
  const lines = rows.map(({ name, startMib, hitsMib, generationsMib, mostMib, hitUs, generationUs }) => `| ${name} | ${startMib.toFixed(0)} | ${hitsMib.toFixed(0)} | ${or(generationsMib)} | ${mostMib.toFixed(0)} | ${hitUs.toFixed(1)} | ${or(generationUs)} |`)
  return ['| | at the start, MiB | after hits | after generations | most | CPU µs a hit | CPU µs a generation |', '| --- | ---: | ---: | ---: | ---: | ---: | ---: |', ...lines].join('\n')
}

/** Of one run with several Nodes: what falgate has on Node 20, and what its image has on the newest. */
export function loadBound (of: ReadonlyMap<string, readonly AfterLoad[]>): readonly Bound[] {
  const [older, newest] = [[...of].find(([version]) => version.startsWith('v20.'))?.[1][0], [...of].find(([version]) => version.startsWith('v24.'))?.[1][1]]
  if (older?.generationsMib == null || newest?.generationsMib == null) return []
  const ratio = newest.generationsMib / older.generationsMib
  return [{ name: `after load the image has at most ${MOST_TIMES_NODE_20} times the memory of falgate on Node 20`, isKept: ratio <= MOST_TIMES_NODE_20, found: ratio.toFixed(2) }]
}

// ------------------------------------------------------------------------------------------------ the probe

function fileOf (name: string): string {
  return join(folder, `memory-${name.replaceAll(/\W+/g, '-')}.json`)
}

export function probe (name: string): Probe {
  return { nodeArgs: ['--expose-gc', '--import', pathToFileURL(programFile('memory-probe')).href], env: { MEMORY_FILE: fileOf(name) } }
}

/** What a process with the probe tells of itself. */
export async function tellOf (name: string, { pid }: Pick<Probed, 'pid'>): Promise<Told> {
  const file = fileOf(name)
  rmSync(file, { force: true })
  process.kill(pid, 'SIGWINCH')
  await until(() => existsSync(file))
  const told: Told = JSON.parse(readFileSync(file, 'utf8'))
  return told
}
