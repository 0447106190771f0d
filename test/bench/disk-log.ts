// What the log under the ledger on disk costs: appends a second, and the start beside reading and parsing the same bytes.
// node build/test/bench/disk-log.js --help

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { openLog, type DiskLog } from '../../src/store/disk/log.ts'

const HELP = `node build/test/bench/disk-log.js [options]

Appends by 1, 8 and 32 callers, whose batches are gathered as the ledger does it; then the start: all records read and parsed, beside reading the same files and parsing
the same lines. Rounds go by turns; the median of each is told, with the least and the most.

  --seconds <n>   of appends, each (3)
  --mib <n>       of journal to be read (128)
  --batch <n>     records in a batch of the journal that is read (4)
  --text <n>      bytes of the text beside each of them (0)
  --rounds <n>    of the start (7)
  --folder <dir>  on the disk that is to be measured (${tmpdir()})
`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    mib: { type: 'string', default: '128' },
    batch: { type: 'string', default: '4' },
    text: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '7' },
    folder: { type: 'string', default: tmpdir() },
    help: { type: 'boolean' }
  }
})

/** About as long as the after-image of a row. */
function recordOf (number: number): string {
  return JSON.stringify(['rows', `generation-${number}`, { phase: 'succeeded', tenant: 'team', model: 'fal-ai/imagen4/preview/ultra', requestId: `${number}-0000-4000`, createdAtMs: String(1_800_000_000_000 + number), cost: '60000', digest: 'a'.repeat(64), prompt: 'A heron over the marsh at dawn, long exposure, film', seed: String(number) }])
}

async function openIn (folder: string): Promise<DiskLog> {
  return await openLog({ folder, onRecord: () => {}, onDamage: () => {} })
}

async function inFolder<Result> (use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(values.folder, 'falgate-log-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Each caller has one record at a time on its way; what has come while a batch is written goes together. */
async function appendsASecond (folder: string, callers: number, seconds: number): Promise<{ readonly perSecond: number, readonly batches: number }> {
  const log = await openIn(folder)
  let waiting: { readonly record: string, readonly done: () => void }[] = []
  let count = 0
  let batches = 0
  const endMs = performance.now() + seconds * 1000
  const caller = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await new Promise<void>(resolve => { waiting.push({ record: recordOf(count++), done: resolve }) })
    }
  }
  const all = Promise.all(Array.from({ length: callers }, caller))
  while (waiting.length > 0) {
    const batch = waiting
    waiting = []
    await log.append({ records: batch.map(({ record }) => record), texts: [] })
    batches += 1
    for (const { done } of batch) done()
    await new Promise<void>(resolve => { setImmediate(resolve) })
  }
  await all
  await log.close()
  return { perSecond: count / seconds, batches: batches / seconds }
}

async function fill (folder: string): Promise<void> {
  const log = await openIn(folder)
  const size = Number(values.batch)
  for (let number = 0; log.bytesSinceCheckpoint < Number(values.mib) * 1024 * 1024; number += size) {
    const numbers = Array.from({ length: size }, (_, index) => number + index)
    await log.append({ records: numbers.map(recordOf), texts: Number(values.text) === 0 ? [] : numbers.map(() => 't'.repeat(Number(values.text))) })
  }
  await log.close()
}

/** Milliseconds of the start, whose reader parses each record, and of reading the files and parsing their lines. */
async function startMs (folder: string): Promise<number> {
  let rows = 0
  const beganMs = performance.now()
  const log = await openLog({ folder, onDamage: () => {}, onRecord: record => { if (Array.isArray(JSON.parse(record))) rows += 1 } })
  const tookMs = performance.now() - beganMs
  await log.close()
  if (rows === 0) throw new Error('nothing was read')
  return tookMs
}

async function plainMs (folder: string, lines: readonly string[]): Promise<number> {
  let rows = 0
  const beganMs = performance.now()
  for (const name of await readdir(folder)) if (name.endsWith('.log')) await readFile(join(folder, name))
  for (const line of lines) if (Array.isArray(JSON.parse(line))) rows += 1
  const tookMs = performance.now() - beganMs
  if (rows !== lines.length) throw new Error('not all was read')
  return tookMs
}

/** The same lines as one text in UTF-8, split: they come from bytes there, too. */
async function linesOf (folder: string): Promise<Buffer> {
  const lines: string[] = []
  const log = await openLog({ folder, onDamage: () => {}, onRecord: record => { lines.push(record) } })
  await log.close()
  return Buffer.from(lines.join('\n'))
}

function told (all: readonly number[]): string {
  const sorted = all.toSorted((one, other) => one - other)
  return `${(sorted[Math.floor(sorted.length / 2)] ?? 0).toFixed(2)} (${(sorted[0] ?? 0).toFixed(2)} to ${(sorted.at(-1) ?? 0).toFixed(2)})`
}

if (values.help === true) {
  process.stdout.write(HELP)
} else {
  for (const callers of [1, 8, 32]) {
    const { perSecond, batches } = await inFolder(async folder => await appendsASecond(folder, callers, Number(values.seconds)))
    process.stdout.write(`${callers} callers: ${Math.round(perSecond)} appends a second in ${Math.round(batches)} batches\n`)
  }
  await inFolder(async folder => {
    await fill(folder)
    const bytes = await linesOf(folder)
    const starts: number[] = []
    const plains: number[] = []
    const ratios: number[] = []
    for (let round = 0; round < Number(values.rounds); round++) {
      const start = await startMs(folder)
      const beganMs = performance.now()
      const lines = bytes.toString().split('\n')
      const plain = performance.now() - beganMs + await plainMs(folder, lines)
      starts.push(start)
      plains.push(plain)
      ratios.push(start / plain)
    }
    process.stdout.write(`start, ms: ${told(starts)}\nreading the files and parsing their lines, ms: ${told(plains)}\nratio: ${told(ratios)}\n`)
    process.stdout.write(`${Math.round(Number(values.mib) * 1000 / Math.min(...starts))} MiB a second at best\n`)
  })
}
