// What each operation of the ledger costs Redis as rows grow: every figure should be the same in each column.
// node build/test/bench/ledger-bounds.js [--rows 1000,10000,100000] [--against <folder of another build>] [--rounds <n>]

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import type { Admission } from '../../src/generation/admission.ts'
import type { Fact } from '../../src/generation/evidence.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { statuses } from '../../src/generation/phases.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, failureOf, freshId, never, noTerms, successOf, times, traceLost } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'
import { median } from './report.ts'

type Make = typeof createRedisLedger

const HELP = `node build/test/bench/ledger-bounds.js [options]

CPU that Redis' main thread spends on one call of each operation, in microseconds, with this many rows of one tenant in the ledger; the least of three times.

  --rows <list>       sizes, comma separated (default 1000,10000,100000)
  --against <folder>  another build of falgate: the largest size in both, in turn, and the ratio of their costs
  --rounds <n>        rounds of that (default 15)
`

const studio = { tenant: 'studio', subject: '' }
const agency = { tenant: 'agency', subject: '' }

/** A ledger on a Redis of its own, whose thread is watched. */
interface Bench { readonly ledger: Ledger, readonly redis: Redis, readonly advance: (ms: number) => void, readonly stop: () => Promise<void> }

/** Is asked for its cost. `repeats`: what is left in the ledger suffices for that many times. */
interface Question { readonly name: string, readonly calls: number, readonly repeats?: number, readonly call: (n: number) => Promise<unknown> }

const SIDE_BY_SIDE = 16
const REPEATS = 3

async function start (make: Make): Promise<Bench> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'falgate-bounds-'))
  const child = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no', '--dir', folder, '--logfile', 'redis.log'], { stdio: 'ignore' })
  let nowMs = Date.now()
  const ledger = make({ url: `redis://127.0.0.1:${port}`, times, clock: { now: () => nowMs }, deadlineMs: 60_000 })
  while (await ledger.connect().then(() => false, () => true)) await pause(50)
  const redis = new Redis(port)
  return {
    ledger,
    redis,
    advance: ms => { nowMs += ms },
    stop: async () => {
      redis.disconnect()
      await ledger.close()
      child.kill('SIGKILL')
      await once(child, 'close')
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

async function cpuUs ({ redis }: Bench): Promise<number> {
  const info = await redis.info('cpu')
  const secondsOf = (name: string): number => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)?.[1])
  return (secondsOf('used_cpu_user_main_thread') + secondsOf('used_cpu_sys_main_thread')) * 1e6
}

/** Microseconds a call. Calls are under way side by side: a Redis that sleeps between two of them pays for waking up as much as for most calls. */
async function cost (bench: Bench, { calls, call }: Question): Promise<number> {
  let asked = 0
  const before = await cpuUs(bench)
  await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, calls) }, async () => {
    while (asked < calls) await call(asked++)
  }))
  return (await cpuUs(bench) - before) / calls
}

// ------------------------------------------------------------------------------------------------ what is in the ledger

function admissionFor (given: Partial<Admission> = {}): Admission {
  return admissionOf({
    input: JSON.stringify({ prompt: 'a red bicycle leaning on a blue wall, morning light '.repeat(4), aspect_ratio: '1:1', num_images: 1, resolution: '1K' }),
    cacheGroup: 'both',
    rate: { max: 1e9, windowSeconds: 60 },
    maxInFlight: 1e6,
    maxQueued: 1e6,
    budgets: [{ owner: given.tenant ?? 'studio', limit: 1e15, per: 'month' }, { owner: '*', limit: 1e15, per: 'month' }],
    ...given
  })
}

const NEVER_ENDS = 1e6

async function claim (ledger: Ledger): Promise<Generation> {
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: NEVER_ENDS })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  return claimed.row
}

/** Of a hundred rows one stays unknown, twenty were called off unspent, ten were billed without a picture. Every tenth was shown to another tenant. */
async function fill ({ ledger }: Bench, rows: number): Promise<void> {
  let made = 0
  async function makeThem (): Promise<void> {
    while (made < rows) {
      const n = made++
      const cacheName = `cache${n}`
      const admitted = await ledger.admit(admissionFor({ cacheName }))
      if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
      if (n % 10 < 2) {
        await ledger.cancel(admitted.row.id, studio)
        continue
      }
      const { id, attempt } = await claim(ledger)
      const requestId = 'request-' + id
      if (n % 100 === 99) {
        await ledger.recordUnknown(id, attempt, null, traceLost)
        continue
      }
      await ledger.recordAccepted(id, attempt, requestId)
      await ledger.finish(id, attempt, requestId, n % 10 === 2 ? failureOf() : successOf())
      if (n % 10 === 3) await ledger.admit(admissionFor({ ...agency, cacheName, needsId: true }))
    }
  }
  await Promise.all(Array.from({ length: 32 }, makeThem))
  for (let n = 0; n < 100; n++) await ledger.admit(admissionFor())
}

async function questions ({ ledger, advance }: Bench): Promise<readonly Question[]> {
  const { rows: page } = await ledger.list(studio, { limit: 100, cursor: null, status: 'succeeded' })
  const ids = Array.from({ length: 500 }, (_, n) => page[n % page.length]?.id ?? '')
  const facts: readonly Fact[] = (await ledger.getMany(ids)).map(row => ({ row, terms: noTerms, holds: false }))
  const accounts = Array.from({ length: 200 }, () => ({ owner: 'studio', per: 'month' as const }))
  const list = (reader: typeof studio, status: typeof statuses[number] | null): Question => ({
    name: `list ${reader.tenant === 'agency' ? 'of aliases, ' : ''}${status ?? 'all'}, 100 rows`, calls: 50, call: async () => await ledger.list(reader, { limit: 100, cursor: null, status })
  })
  return [
    ...[null, ...statuses].map(status => list(studio, status)),
    list(agency, null),
    list(agency, 'failed'),
    { name: 'read', calls: 300, call: async n => await ledger.read(ids[n % 100] ?? '', studio) },
    { name: 'lookup', calls: 300, call: async () => await ledger.lookup('cache3') },
    { name: 'look, 500 rows', calls: 10, call: async () => await ledger.getMany(ids) },
    { name: 'glance, 500 rows', calls: 20, call: async () => await ledger.getStatuses(ids) },
    { name: 'renew, 500 facts of what has ended', calls: 20, call: async () => await ledger.renew('r1', facts) },
    { name: 'balances, 200 accounts', calls: 50, call: async () => await ledger.balances(accounts) },
    { name: 'journal, 1,000 lines', calls: 10, call: async () => await ledger.journal(0, never, 1000) },
    { name: 'unknowns, 100', calls: 20, call: async () => await ledger.unknowns(100) },
    { name: 'gauges', calls: 50, call: async () => await ledger.gauges() },
    { name: 'breakers', calls: 100, call: async () => await ledger.breakers() },
    { name: 'admit, a hit', calls: 300, call: async () => await ledger.admit(admissionFor({ cacheName: 'cache3' })) },
    { name: 'admit, bought', calls: 300, call: async () => await ledger.admit(admissionFor()) },
    { name: 'claim', calls: 300, call: async () => await claim(ledger) },
    { name: 'takeOutbox, 100', calls: 1, repeats: 1, call: async () => await ledger.takeOutbox(100) },
    { name: 'heartbeat', calls: 100, call: async () => await ledger.heartbeat('r1') },
    { name: 'sweep, nothing due', calls: 100, call: async () => await ledger.sweep('r1', 100) },
    { name: 'sweep, all due', calls: 1, call: async () => { advance(times.resultTtlMs); return await ledger.sweep('r1', 100) } }
  ]
}

// ------------------------------------------------------------------------------------------------ tables

async function growth (sizes: readonly number[]): Promise<void> {
  const columns: { readonly name: string, readonly us: number }[][] = []
  for (const size of sizes) {
    const bench = await start(createRedisLedger)
    try {
      await fill(bench, size)
      const column: { name: string, us: number }[] = []
      for (const question of await questions(bench)) {
        const us: number[] = []
        for (let n = 0; n < (question.repeats ?? REPEATS); n++) us.push(await cost(bench, question))
        column.push({ name: question.name, us: Math.min(...us) })
      }
      columns.push(column)
    } finally {
      await bench.stop()
    }
  }
  process.stdout.write(`| µs of Redis' main thread a call | ${sizes.join(' | ')} |\n| --- |${' ---: |'.repeat(sizes.length)}\n`)
  for (const [n, { name }] of (columns[0] ?? []).entries()) process.stdout.write(`| ${name} | ${columns.map(column => column[n]?.us.toFixed(0)).join(' | ')} |\n`)
}

/** What a generation needs of the ledger, step by step. */
function steps ({ ledger }: Bench): readonly Question[] {
  const rows: Generation[] = []
  const next = (): Generation => {
    const row = rows.shift()
    if (row === undefined) throw new Error('nothing was claimed')
    rows.push(row)
    return row
  }
  const calls = 200
  return [
    { name: 'admit', calls, call: async n => await ledger.admit(admissionFor({ cacheName: `fresh${n}${freshId()}`, idempotency: { name: freshId(), fingerprint: 'f' } })) },
    { name: 'claim', calls, call: async () => { rows.push(await claim(ledger)) } },
    { name: 'recordAccepted', calls, call: async () => { const { id, attempt } = next(); return await ledger.recordAccepted(id, attempt, 'r' + id) } },
    { name: 'finish', calls, call: async () => { const { id, attempt } = next(); await ledger.finish(id, attempt, 'r' + id, successOf()); rows.pop() } },
    { name: 'list', calls: 20, call: async () => await ledger.list(studio, { limit: 100, cursor: null, status: null }) },
    { name: 'list by status', calls: 20, call: async () => await ledger.list(studio, { limit: 100, cursor: null, status: 'failed' }) }
  ]
}

async function comparison (other: Make, size: number, rounds: number): Promise<void> {
  const benches = [await start(createRedisLedger), await start(other)] as const
  try {
    await Promise.all(benches.map(async bench => { await fill(bench, size) }))
    const [mine, theirs] = benches.map(bench => ({ bench, questions: steps(bench), us: new Map<string, number[]>() }))
    if (mine === undefined || theirs === undefined) return
    const names = mine.questions.map(({ name }) => name)
    for (let round = 0; round < rounds; round++) {
      for (const n of names.keys()) {
        for (const { bench, questions, us } of round % 2 === 0 ? [mine, theirs] : [theirs, mine]) {
          const question = questions[n]
          if (question === undefined) continue
          us.set(question.name, [...us.get(question.name) ?? [], await cost(bench, question)])
        }
      }
    }
    process.stdout.write(`\n${size} rows, ${rounds} rounds in turn, medians\n\n| µs a call | this build | the other | speed, theirs / ours |\n| --- | ---: | ---: | ---: |\n`)
    for (const name of names) {
      const [ours, others] = [mine.us.get(name) ?? [], theirs.us.get(name) ?? []]
      const ratios = ours.map((us, n) => (others[n] ?? NaN) / us)
      process.stdout.write(`| ${name} | ${median(ours).toFixed(0)} | ${median(others).toFixed(0)} | ${median(ratios).toFixed(2)} |\n`)
    }
  } finally {
    await Promise.all(benches.map(async bench => { await bench.stop() }))
  }
}

const { values } = parseArgs({ options: { rows: { type: 'string', default: '1000,10000,100000' }, against: { type: 'string' }, rounds: { type: 'string', default: '15' }, help: { type: 'boolean' } } })
if (values.help === true) {
  process.stdout.write(HELP)
} else {
  const sizes = values.rows.split(',').map(Number)
  process.stdout.write(`${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}\n\n`)
  if (values.against === undefined) {
    await growth(sizes)
  } else {
    const other: { readonly createRedisLedger: Make } = await import(pathToFileURL(join(resolve(values.against), 'build/src/store/redis/ledger.js')).href)
    await comparison(other.createRedisLedger, Math.max(...sizes), Number(values.rounds))
  }
}
