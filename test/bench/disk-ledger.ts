// What the ledger on disk costs: a start with many finished rows, what each of them takes in memory, and whole generations a second beside Redis.
// node build/test/bench/disk-ledger.js --help

import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
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
`

const times: LedgerTimes = { ...usualTimes, resultTtlMs: 3_600_000_000 }
const replica = randomUUID()
const collect: () => void = (() => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
})()

const { values } = parseArgs({ options: { rows: { type: 'string', default: '100000' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' }, 'at-once': { type: 'string', default: '32' }, folder: { type: 'string', default: tmpdir() }, help: { type: 'boolean' } } })
if (values.help === true) process.stdout.write(HELP)
else await main(Number(values.rows), Number(values.rounds), Number(values.seconds), Number(values['at-once']), mkdtempSync(join(resolve(values.folder), 'falgate-disk-')))

async function main (rows: number, rounds: number, seconds: number, atOnce: number, place: string): Promise<void> {
  try {
    await starts(join(place, 'ledger'), rows, rounds)
    await generations(place, rounds, seconds, atOnce)
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
  const digest = (what: string): string => what + randomUUID().replaceAll('-', '').repeat(2)
  const claimId = randomUUID()
  const admission = admissionOf({
    id: randomUUID(),
    input: JSON.stringify({ prompt: prompt.padEnd(50, '.'), num_images: 1, aspect_ratio: '1:1' }),
    seed: '42',
    cacheName: digest('c'),
    reuseName: digest('r'),
    idempotency: { name: digest('k'), fingerprint: digest('f') },
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

async function starts (folder: string, rows: number, rounds: number): Promise<void> {
  const store = await open(folder)
  let begun = 0
  await Promise.all(Array.from({ length: 256 }, async () => {
    while (begun < rows) {
      begun += 1
      await generate(store.ledger, `picture ${begun}`)
    }
  }))
  await store.checkpoint()
  await store.ledger.close()
  const found: { ratio: number, readMs: number, openMs: number, rowBytes: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    collect()
    const readMs = await took(async () => {
      const log = await openLog({ folder, onRecord: record => { JSON.parse(record) }, onDamage: tell })
      await log.close()
    })
    collect()
    const before = process.memoryUsage().heapUsed
    let opened: DiskStore | null = null
    const openMs = await took(async () => { opened = await open(folder) })
    collect()
    const rowBytes = (process.memoryUsage().heapUsed - before) / rows
    found.push({ ratio: openMs / readMs, readMs, openMs, rowBytes })
    await (opened as DiskStore | null)?.ledger.close()
  }
  const sizes = readdirSync(folder).map(name => statSync(join(folder, name))).filter(file => file.isFile()).reduce((sum, { size }) => sum + size, 0)
  process.stdout.write(`
A start with ${rows} finished rows (${(sizes / 1e6).toFixed(0)} MB in the folder), ${rounds} times

| | median | least to most | to reach |
| --- | ---: | ---: | ---: |
| reading and parsing the same records, ms | ${spread(found.map(({ readMs }) => readMs), 0)} | |
| opening the ledger, ms | ${spread(found.map(({ openMs }) => openMs), 0)} | |
| opening / reading and parsing | ${spread(found.map(({ ratio }) => ratio), 2)} | 2 |
| heap of a finished row, bytes | ${spread(found.map(({ rowBytes }) => rowBytes), 0)} | 1000 |
`)
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

async function took (run: () => Promise<void>): Promise<number> {
  const beganMs = performance.now()
  await run()
  return performance.now() - beganMs
}

function spread (found: readonly number[], digits: number): string {
  const sorted = found.toSorted((one, other) => one - other)
  const at = (part: number): string => (sorted[Math.round((sorted.length - 1) * part)] ?? NaN).toFixed(digits)
  return `${at(0.5)} | ${at(0)} to ${at(1)}`
}
