// What a finished generation costs the ledger: bytes in memory or in Redis, where they lie, and what each step takes.
// node build/test/bench/row-size.js --help

import { randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { getHeapSnapshot, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Redis } from 'ioredis'
import { canonicalJson, fingerprint, idempotencyName, resultName, reuseName } from '../../src/generation/key.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { newId } from '../../src/ids.ts'
import type { createInstant, createLedgerOf } from '../../src/store/memory/ledger.ts'
import type { createState } from '../../src/store/memory/state.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, successOf, times } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'
import { findServer } from '../support/redis.ts'

const HELP = `node build/test/bench/row-size.js [options]

Takes generations through a ledger (admitted with key, seed and cache names, claimed, accepted, finished, told, read, delivered), and tells what each of them
leaves behind: bytes of heap after a full collection, or with --redis of Redis. Once with their texts, and once with 20 characters in place of each, as
a ledger has them that keeps texts elsewhere.

  --rows <n>          generations (default 20000)
  --redis             the ledger on Redis, in a server of its own: growth of used_memory, and MEMORY USAGE by kind of key
  --parts             also where they lie: what is freed when one structure after the other is let go
  --classes           also where they lie by class, of a heap snapshot
  --speed             instead of sizes: microseconds that each step takes, and lists of 100; of many short batches the quickest tenth, as few are left alone on a busy machine
  --against <folder>  another build of falgate, measured in turn
`

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    redis: { type: 'boolean' },
    parts: { type: 'boolean' },
    classes: { type: 'boolean' },
    speed: { type: 'boolean' },
    against: { type: 'string' },
    help: { type: 'boolean' }
  }
})

const PROMPT_CHARACTERS = 50
const OUTPUT_BYTES = 600
const REFERENCE_CHARACTERS = 20
const TENANTS = Array.from({ length: 20 }, (_, index) => ['tenant', String(index).padStart(10, '0')].join(''))
const BATCH = 500
/** Generations of one build before it is the other's turn: some ten milliseconds. */
const TURN = 50

const replica = randomUUID()
const model: Parameters<typeof reuseName>[1] = { endpointId: 'fal-ai/imagen4/preview/ultra', cacheVersion: 1, seed: 'in-and-out' }

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

/** What of a build's ledger in memory is used. */
interface Build {
  readonly createState: typeof createState
  readonly createInstant: typeof createInstant
  readonly createLedgerOf: typeof createLedgerOf
}

interface Texts { readonly name: string, readonly of: (number: number) => { readonly input: string, readonly output: string } }

const whole: Texts = { name: 'with texts', of: number => ({ input: inputOf(number), output: outputOf(number) }) }
const short: Texts = { name: 'with references', of: number => ({ input: String(number).padStart(REFERENCE_CHARACTERS, '0'), output: String(number).padEnd(REFERENCE_CHARACTERS, '0') }) }

if (values.help === true) process.stdout.write(HELP)
else await main(Number(values.rows))

async function main (rows: number): Promise<void> {
  if (values.redis === true) {
    for (const texts of [whole, short]) await redisSize(rows, texts)
    return
  }
  const builds: [name: string, build: Build][] = [['this build', await buildIn('.')]]
  if (values.against !== undefined) builds.push(['the other', await buildIn(values.against)])
  if (values.speed === true) return await speeds(builds, rows)
  for (const texts of [whole, short]) {
    for (const [name, build] of builds) await memorySize(`${name}, ${texts.name}`, build, rows, texts)
  }
}

async function buildIn (folder: string): Promise<Build> {
  const at = (file: string): string => pathToFileURL(join(resolve(folder), 'build/src/store/memory', file)).href
  return { ...await import(at('state.js')), ...await import(at('ledger.js')) }
}

// ------------------------------------------------------------------------------------------------ generations

function sentOf (number: number): { readonly prompt: string, readonly seed: number } {
  return { prompt: `picture ${number} `.padEnd(PROMPT_CHARACTERS, 'of a red bicycle '), seed: number }
}

function inputOf (number: number): string {
  return canonicalJson(sentOf(number), String(number))
}

function outputOf (number: number): string {
  const output = { images: [{ url: `http://127.0.0.1:8080/files/${randomUUID()}.png`, content_type: 'image/png', file_name: `${number}.png`, file_size: 123_456, width: 1024, height: 1024 }], seed: number, description: '' }
  return JSON.stringify({ ...output, description: 'x'.repeat(OUTPUT_BYTES - JSON.stringify(output).length) })
}

/** The gateway has one text for each tenant, too. */
function tenantOf (number: number): string {
  return TENANTS[number % TENANTS.length] ?? ''
}

type Step = 'admit' | 'claim' | 'recordAccepted' | 'finish' | 'takeOutbox' | 'read' | 'seen'

/** Takes one generation through the ledger; `timed` is told what each step took, in microseconds. */
async function generation (ledger: Ledger, number: number, { of }: Texts, timed: (step: Step, tookUs: number) => void = () => {}): Promise<void> {
  const { input, output } = of(number)
  const tenant = tenantOf(number)
  const sent = sentOf(number)
  const canonical = inputOf(number)
  const connection = { replica, connection: `c${number}` }
  const deadlineMs = ledger.now() + 60_000
  const admission = admissionOf({
    id: newId(),
    tenant,
    input,
    seed: String(number),
    cacheGroup: tenant,
    cacheName: resultName(tenant, model, canonical),
    reuseName: reuseName(tenant, model, sent),
    idempotency: { name: idempotencyName(tenant, '', randomUUID()), fingerprint: fingerprint(model, canonical) },
    connection,
    deadlineMs,
    rate: { max: 1e9, windowSeconds: 60 },
    budgets: [{ owner: tenant, limit: 1e15, per: 'day' }, { owner: tenant, limit: 1e15, per: 'month' }, { owner: '*', limit: 1e15, per: 'month' }]
  })
  const claim = { claimId: randomUUID(), deadlineMs, replica, slots: 100_000 }
  const requestId = randomUUID()
  const ending = successOf({ output, seed: String(number) })
  const time = async <Result>(step: Step, work: () => Promise<Result>): Promise<Result> => {
    const start = performance.now()
    const result = await work()
    timed(step, (performance.now() - start) * 1000)
    return result
  }
  const admitted = await time('admit', async () => await ledger.admit(admission))
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const claimed = await time('claim', async () => await ledger.claim(claim))
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { id, attempt } = claimed.row
  await time('recordAccepted', async () => await ledger.recordAccepted(id, attempt, requestId))
  await time('finish', async () => await ledger.finish(id, attempt, requestId, ending))
  await time('takeOutbox', async () => await ledger.takeOutbox(10))
  await time('read', async () => await ledger.read(id, { tenant, subject: '' }))
  await time('seen', async () => { await ledger.seen(id, connection) })
}

// ------------------------------------------------------------------------------------------------ memory

async function memorySize (name: string, build: Build, rows: number, texts: Texts): Promise<void> {
  // What is compiled and grows only once has done so.
  const warm = build.createState({ times, now: Date.now })
  for (let number = 0; number < BATCH; number += 1) await generation(ledgerOf(build, warm), number, texts)
  const before = await heapBytes()
  const state = build.createState({ times, now: Date.now })
  const ledger = ledgerOf(build, state)
  for (let number = 0; number < rows; number += 1) await generation(ledger, number, texts)
  const size = await heapBytes() - before
  print(`${name}: ${(size / rows).toFixed(0)} bytes a row`)
  if (values.classes === true) await printClasses(rows)
  if (values.parts === true) await printParts(state, rows)
  if (ledger.now() === 0) throw new Error('no clock') // it was there until here
}

function ledgerOf (build: Build, state: ReturnType<typeof createState>): Ledger {
  return build.createLedgerOf({ state, instant: build.createInstant(Date.now), accounts: null, run: async (_, operate) => operate() })
}

/** What is shared is counted with the last that holds it. */
async function printParts (state: object, rows: number): Promise<void> {
  let left = await heapBytes()
  for (const name of Object.keys(state)) {
    Reflect.set(state, name, null)
    const now = await heapBytes()
    if (left - now > rows) print(`  ${name}: ${((left - now) / rows).toFixed(0)}`)
    left = now
  }
}

/** The largest classes of the heap, whatever else there is included. */
async function printClasses (rows: number): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk))
  const { nodes, strings, snapshot } = JSON.parse(Buffer.concat(chunks).toString())
  const fields: readonly string[] = snapshot.meta.node_fields
  const [typeAt, nameAt, sizeAt] = ['type', 'name', 'self_size'].map(field => fields.indexOf(field))
  const types: readonly string[] = snapshot.meta.node_types[typeAt ?? 0]
  const sums = new Map<string, { count: number, bytes: number }>()
  for (let at = 0; at < nodes.length; at += fields.length) {
    const type = types[nodes[at + (typeAt ?? 0)]] ?? ''
    const name = type === 'object' || type === 'array' ? `${type} ${String(strings[nodes[at + (nameAt ?? 0)]])}` : type
    const sum = sums.get(name) ?? { count: 0, bytes: 0 }
    sums.set(name, { count: sum.count + 1, bytes: sum.bytes + Number(nodes[at + (sizeAt ?? 0)]) })
  }
  const largest = [...sums].toSorted(([, one], [, other]) => other.bytes - one.bytes).slice(0, 14)
  for (const [name, { count, bytes }] of largest) print(`  ${name}: ${(bytes / rows).toFixed(0)} bytes in ${(count / rows).toFixed(1)} a row`)
}

/** What is left when everything was collected. */
async function heapBytes (): Promise<number> {
  for (let count = 0; count < 4; count += 1) {
    if (typeof collect === 'function') collect()
    await pause(10) // finalizers run between collections
  }
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

// ------------------------------------------------------------------------------------------------ speed

/** Of each step, and of what is read of many rows, the quickest tenth of batches, the builds in turn. */
async function speeds (builds: readonly (readonly [name: string, build: Build])[], rows: number): Promise<void> {
  const ledgers = builds.map(([name, build]) => ({ name, ledger: ledgerOf(build, build.createState({ times, now: Date.now })), tookUs: new Map<string, number[]>() }))
  for (let from = 0; from < rows; from += TURN) {
    for (const { ledger, tookUs } of ledgers) {
      const sums = new Map<string, number>()
      const add = (step: string, us: number): void => { sums.set(step, (sums.get(step) ?? 0) + us) }
      for (let number = from; number < from + TURN; number += 1) {
        await generation(ledger, number, whole, (step, us) => {
          add(step, us / TURN)
          add('all', us / TURN)
        })
      }
      if (from % BATCH === 0) await readMany(ledger, from, add)
      for (const [step, us] of sums) tookUs.set(step, [...tookUs.get(step) ?? [], us])
    }
  }
  for (const step of ledgers[0]?.tookUs.keys() ?? []) {
    const each = ledgers.map(({ tookUs }) => quickOf(tookUs.get(step) ?? []))
    print(`${step}: ${each.map(us => us.toFixed(2)).join(' / ')} µs${each[1] === undefined ? '' : `, ${((each[0] ?? NaN) / each[1]).toFixed(2)} times`}`)
  }
}

/** A page of a list from its beginning, and old rows of which nobody has asked for a while. */
async function readMany (ledger: Ledger, seed: number, add: (step: string, us: number) => void): Promise<void> {
  const reader = { tenant: tenantOf(seed), subject: '' }
  let start = performance.now()
  const { rows } = await ledger.list(reader, { limit: 100, cursor: null, status: null })
  add(`list of ${100}`, (performance.now() - start) * 1000)
  const ids = rows.map(({ id }) => id)
  start = performance.now()
  await ledger.getMany(ids)
  add('getMany of them', (performance.now() - start) * 1000)
}

function quickOf (numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 10)] ?? NaN
}

// ------------------------------------------------------------------------------------------------ Redis

async function redisSize (rows: number, texts: Texts): Promise<void> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'falgate-rows-'))
  const child = spawn(findServer(), ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, '--logfile', 'redis.log'], { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${port}`
  const ledger = createRedisLedger({ url, times, deadlineMs: 60_000, account: { kind: 'fal', name: 'main' } })
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => 50 })
  redis.on('error', () => {}) // until it listens
  try {
    while (await ledger.connect().then(() => false, () => true)) await pause(50)
    for (let number = 0; number < BATCH; number += 1) await generation(ledger, number, texts)
    const before = { bytes: await usedMemory(redis), kinds: await usageByKind(redis) }
    for (let number = BATCH; number < BATCH + rows; number += 1) await generation(ledger, number, texts)
    print(`Redis, ${texts.name}: ${((await usedMemory(redis) - before.bytes) / rows).toFixed(0)} bytes a row (used_memory)`)
    const kinds = [...await usageByKind(redis)].map(([kind, bytes]) => [kind, bytes - (before.kinds.get(kind) ?? 0)] as const)
    for (const [kind, bytes] of kinds.toSorted(([, one], [, other]) => other - one)) if (bytes > rows) print(`  ${kind}: ${(bytes / rows).toFixed(0)}`)
  } finally {
    redis.disconnect()
    await ledger.close().catch(() => {}) // whatever happened before is told
    child.kill('SIGKILL')
    await once(child, 'close')
    rmSync(folder, { recursive: true, force: true })
  }
}

async function usedMemory (redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
}

/** Bytes by what keys begin with: `{namespace}:kind`. */
async function usageByKind (redis: Redis): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>()
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'COUNT', 1000)
    const usages = await Promise.all(keys.map(async key => Number(await redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0'))))
    for (const [index, key] of keys.entries()) {
      const kind = key.split(':')[1] ?? key
      sums.set(kind, (sums.get(kind) ?? 0) + (usages[index] ?? 0))
    }
    cursor = next
  } while (cursor !== '0')
  return sums
}

function print (line: string): void {
  process.stdout.write(line + '\n')
}
