// What the ledger on disk costs: a start with many finished rows, what each of them takes in memory, and whole generations a second beside Redis.
// node build/test/bench/disk-ledger.js --help

import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Ledger, LedgerTimes } from '../../src/generation/ledger.ts'
import { openDiskLedger, type DiskStore } from '../../src/store/disk/ledger.ts'
import { openLog } from '../../src/store/disk/log.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { redisAt } from '../../src/store/redis/clients.ts'
import { admissionOf, successOf, times as usualTimes } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'
import { findServer } from '../support/redis.ts'
import { startProcess } from './machine.ts'

const HELP = `node build/test/bench/disk-ledger.js [options]

  --rows <n>      finished rows that a start finds (default 100000)
  --rounds <n>    starts, and rounds of generations by turns (default 5)
  --seconds <n>   length of such a round (default 3)
  --at-once <n>   generations under way at once (default 32)
  --folder <dir>  where the files lie, on the disk that is meant (default: the system's folder for such files)
  --ledger <dir>  the ledger with these rows: filled when it is not there, and kept
  --only-starts   no generations
`

const times: LedgerTimes = { ...usualTimes, resultTtlMs: 3_600_000_000 }
const replica = randomUUID()
const collect: () => void = (() => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
})()

const { values } = parseArgs({ options: { rows: { type: 'string', default: '100000' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' }, 'at-once': { type: 'string', default: '32' }, folder: { type: 'string', default: tmpdir() }, ledger: { type: 'string' }, 'only-starts': { type: 'boolean' }, help: { type: 'boolean' } } })
if (values.help === true) process.stdout.write(HELP)
else await main(Number(values.rows), Number(values.rounds), Number(values.seconds), Number(values['at-once']), mkdtempSync(join(resolve(values.folder), 'falgate-disk-')))

async function main (rows: number, rounds: number, seconds: number, atOnce: number, place: string): Promise<void> {
  try {
    await starts(values.ledger ?? join(place, 'ledger'), rows, rounds)
    if (values['only-starts'] !== true) await generations(place, rounds, seconds, atOnce)
  } finally {
    rmSync(place, { recursive: true })
  }
}

function open (folder: string): Promise<DiskStore> {
  return openDiskLedger({ folder, times, accounts: () => [{ kind: 'fal', name: 'main' }], onDamage: tell, onState: tell, onCheckpointFailure: tell })
}

function tell (what: unknown): void {
  process.stderr.write(`${what instanceof Error ? what.stack : JSON.stringify(what)}\n`)
}

/** A whole generation, with everything that leads to it when it was asked for with a seed and a key. */
async function generate (ledger: Ledger, prompt: string): Promise<void> {
  const digest = (): string => randomBytes(32).toString('base64url')
  const claimId = randomUUID()
  const admission = admissionOf({
    id: randomUUID(),
    input: JSON.stringify({ prompt: prompt.padEnd(50, '.'), num_images: 1, aspect_ratio: '1:1' }),
    seed: '42',
    cacheName: digest(),
    reuseName: digest(),
    idempotency: { name: digest(), fingerprint: digest() },
    deadlineMs: ledger.now() + 60_000,
    connection: { replica, connection: 'c1' },
    rate: { max: 1e9, windowSeconds: 60 },
    maxInFlight: 1e6,
    budgets: [{ owner: 'studio', limit: 1e15, per: 'month' }, { owner: '*', limit: 1e15, per: 'month' }]
  })
  const admitted = await ledger.admit(admission, { claimId, replica, slots: 1e6 })
  if (admitted.outcome !== 'bought' || admitted.terms === null) throw new Error(`a generation was not begun: ${JSON.stringify(admitted)}`)
  const { id, attempt } = admitted.row
  const requestId = randomUUID()
  await ledger.recordAccepted(id, attempt, requestId)
  await ledger.finish(id, attempt, requestId, successOf({ output: JSON.stringify({ images: [{ url: `https://v3.fal.media/files/${'x'.repeat(64)}.png`, content_type: 'image/png', file_name: 'output.png', file_size: 1_234_567, width: 1024, height: 1024 }], description: 'd'.repeat(300), seed: 42 }) }))
  await ledger.seen(id, { replica, connection: 'c1' })
}

/** As a process leaves the folder that is killed, and right after a checkpoint, which stays. */
async function starts (folder: string, rows: number, rounds: number): Promise<void> {
  if (!existsSync(folder)) {
    const store = await open(folder)
    let begun = 0
    await Promise.all(Array.from({ length: 256 }, async () => {
      while (begun < rows) {
        begun += 1
        await generate(store.ledger, `picture ${begun}`)
      }
    }))
    await store.ledger.close()
    await startsOf(folder, 'with the journal behind the last checkpoint', rows, rounds)
  }
  const store = await open(folder)
  await store.checkpoint()
  await store.ledger.close()
  await startsOf(folder, 'after a checkpoint', rows, rounds)
}

interface Took { readonly ms: number, readonly cpuMs: number }

async function startsOf (folder: string, when: string, rows: number, rounds: number): Promise<void> {
  const found: { read: Took, open: Took }[] = []
  let records = 0
  let rowBytes = NaN
  for (let round = 0; round < rounds; round += 1) {
    collect()
    records = 0
    const read = await took(async () => {
      const log = await openLog({
        folder,
        onDamage: tell,
        onRecord: record => {
          JSON.parse(record)
          records += 1
        }
      })
      await log.close()
    })
    const before = bytesInUse()
    let opened: DiskStore | null = null
    const openTook = await took(async () => { opened = await open(folder) })
    // The state of the round before is garbage only now and then.
    if (round === 0) rowBytes = (bytesInUse() - before) / rows
    await (opened as DiskStore | null)?.ledger.close()
    found.push({ read, open: openTook })
  }
  const sizes = readdirSync(folder).map(name => statSync(join(folder, name))).filter(file => file.isFile()).reduce((sum, { size }) => sum + size, 0)
  process.stdout.write(`
A start with ${rows} finished rows ${when} (${records} records, ${(sizes / 1e6).toFixed(0)} MB in the folder), ${rounds} times

| | median | least to most | to reach |
| --- | ---: | ---: | ---: |
| reading and parsing the same records, ms | ${spread(found.map(({ read }) => read.ms), 0)} | |
| the same, ms of CPU | ${spread(found.map(({ read }) => read.cpuMs), 0)} | |
| opening the ledger, ms | ${spread(found.map(({ open }) => open.ms), 0)} | |
| the same, ms of CPU | ${spread(found.map(({ open }) => open.cpuMs), 0)} | |
| opening / reading and parsing | ${spread(found.map(({ read, open }) => open.ms / read.ms), 2)} | 2 |
| the same, by CPU | ${spread(found.map(({ read, open }) => open.cpuMs / read.cpuMs), 2)} | |
| heap of a finished row, bytes | ${rowBytes.toFixed(0)} | | 1000 |
`)
}

/** When everything was collected; also what lies outside of the heap. */
function bytesInUse (): number {
  for (let count = 0; count < 4; count += 1) collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

async function generations (place: string, rounds: number, seconds: number, atOnce: number): Promise<void> {
  const port = await freePort()
  const server = startProcess('redis', null, [findServer(), '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', place])
  const redis = createRedisLedger({ url: redisAt({ url: `redis://127.0.0.1:${port}`, ca: null }, { cluster: false, sentinels: null }), namespace: 'bench', accounts: () => [{ kind: 'fal', name: 'main' }], times, onTrouble: (_, error) => { tell(error) } })
  while (!await redis.connect().then(() => true, () => false)) await pause(50)
  const disk = await open(join(place, 'second'))
  const ledgers = [['DATA_DIR', disk.ledger], ['Redis, appendfsync always', redis]] as const
  const rates = new Map<string, number[]>(ledgers.map(([name]) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, ledger] of round % 2 === 0 ? ledgers : ledgers.toReversed()) rates.get(name)?.push(await rateOf(ledger, seconds, atOnce))
  }
  await disk.ledger.close()
  await redis.close()
  await server.stop()
  const [ours = [], theirs = []] = [...rates.values()]
  process.stdout.write(`
Whole generations through the ledger alone, ${atOnce} at a time, ${rounds} rounds of ${seconds} s by turns

| | a second | least to most | to reach |
| --- | ---: | ---: | ---: |
${[...rates].map(([name, found]) => `| ${name} | ${spread(found, 0)} | |`).join('\n')}
| DATA_DIR / Redis | ${spread(ours.map((rate, round) => rate / (theirs[round] ?? NaN)), 2)} | 1 |
`)
}

async function rateOf (ledger: Ledger, seconds: number, atOnce: number): Promise<number> {
  const endMs = performance.now() + seconds * 1000
  let done = 0
  const begunMs = performance.now()
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (performance.now() < endMs) {
      await generate(ledger, 'a picture')
      done += 1
    }
  }))
  return done / (performance.now() - begunMs) * 1000
}

/** CPU is that of all threads: garbage is collected by helpers, too. */
async function took (run: () => Promise<void>): Promise<Took> {
  const [beganMs, cpu] = [performance.now(), process.cpuUsage()]
  await run()
  const { user, system } = process.cpuUsage(cpu)
  return { ms: performance.now() - beganMs, cpuMs: (user + system) / 1000 }
}

function spread (found: readonly number[], digits: number): string {
  const sorted = found.toSorted((one, other) => one - other)
  const at = (part: number): string => (sorted[Math.round((sorted.length - 1) * part)] ?? NaN).toFixed(digits)
  return `${at(0.5)} | ${at(0)} to ${at(1)}`
}
