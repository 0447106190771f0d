// What each step of a generation costs Redis, in instructions: the same figures on every machine, at every load, to the tenth of a per cent.
// node build/test/bench/redis-steps.js --help

import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { admissionOf, successOf, times } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'
import { findServer } from '../support/redis.ts'

const HELP = `node build/test/bench/redis-steps.js [options]

Runs a Redis below callgrind (apt-get install --no-install-recommends valgrind) and takes generations through the ledger, as a gateway does: thousands of
instructions that one call of each kind takes, everything that Redis does for it included.

  --against <folder>  another build of falgate, and the ratio
  --calls <n>         calls of each kind (default 40)
`

type Make = typeof createRedisLedger

/** Thousands of instructions, by kind of call. */
type Costs = ReadonlyMap<string, number>

const replica = randomUUID()

const { values } = parseArgs({ options: { against: { type: 'string' }, calls: { type: 'string', default: '40' }, help: { type: 'boolean' } } })
if (values.help === true) process.stdout.write(HELP)
else await main(Number(values.calls), values.against)

async function main (calls: number, against: string | undefined): Promise<void> {
  const ours = await costsOf(createRedisLedger, calls)
  if (against === undefined) {
    process.stdout.write('| thousands of instructions | a call |\n| --- | ---: |\n')
    for (const [name, cost] of ours) process.stdout.write(`| ${name} | ${cost.toFixed(0)} |\n`)
    return
  }
  const other: { readonly createRedisLedger: Make } = await import(pathToFileURL(join(resolve(against), 'build/src/store/redis/ledger.js')).href)
  const theirs = await costsOf(other.createRedisLedger, calls)
  process.stdout.write('| thousands of instructions | this build | the other | this / the other |\n| --- | ---: | ---: | ---: |\n')
  for (const [name, cost] of ours) {
    const before = theirs.get(name) ?? NaN
    process.stdout.write(`| ${name} | ${cost.toFixed(0)} | ${before.toFixed(0)} | ${(cost / before).toFixed(2)} |\n`)
  }
}

async function costsOf (make: Make, calls: number): Promise<Costs> {
  const folder = mkdtempSync(join(tmpdir(), 'falgate-steps-'))
  const port = await freePort()
  const child = spawn('valgrind', [
    '--tool=callgrind', `--callgrind-out-file=${folder}/out`, findServer(), '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--dir', folder, '--logfile', 'redis.log',
    // What Redis does by the clock, however slow it is, would count as the calls'.
    '--hz', '1', '--dynamic-hz', 'no', '--activerehashing', 'no'
  ], { stdio: 'ignore' })
  try {
    const ledger = make({ url: `redis://127.0.0.1:${port}`, times, deadlineMs: 60_000, account: { kind: 'fal', name: 'main' } })
    while (await ledger.connect().then(() => false, () => true)) await pause(100)
    const costs = await measure(ledger, calls, createCounter(child.pid ?? 0, folder))
    await ledger.close()
    return costs
  } finally {
    child.kill('SIGKILL')
    await once(child, 'close')
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Instructions since it was called last. */
function createCounter (pid: number, folder: string): () => number {
  let dumps = 0
  return () => {
    execFileSync('callgrind_control', ['--dump', String(pid)], { stdio: 'ignore' })
    dumps += 1
    const [, total] = /^(?:summary|totals): (\d+)/m.exec(readFileSync(`${folder}/out.${dumps}`, 'utf8')) ?? []
    return Number(total)
  }
}

async function measure (ledger: Ledger, calls: number, instructions: () => number): Promise<Costs> {
  const ids = (): string[] => Array.from({ length: calls }, () => randomUUID())
  const costs = new Map<string, number>()
  for (const isWarm of [false, true]) {
    const take = async (name: string, work: (id: string, n: number) => Promise<unknown>, each: readonly string[], size = 1): Promise<void> => {
      instructions()
      for (const [n, id] of each.entries()) await work(id, n)
      if (isWarm) costs.set(name, instructions() / each.length / size / 1000)
    }
    const [queued, claimed] = [ids(), ids()]
    const connectionOf = (id: string): { readonly replica: string, readonly connection: string } => ({ replica, connection: id.slice(0, 6) })
    await take('nothing but a ping', async () => { await ledger.ping() }, queued)
    const claim = async (id: string): Promise<unknown> => await ledger.claim({ claimId: id, deadlineMs: ledger.now() + 60_000, replica, slots: 1000 })
    await take('admit, to the queue', async id => await ledger.admit(admissionFor(id, connectionOf(id))), queued)
    await take('claim', claim, queued)
    await take('claim, empty queue', claim, ids())
    await take('admit, with a claim', async id => await ledger.admit(admissionFor(id, connectionOf(id)), { claimId: id, replica, slots: 1000 }), claimed)
    // A build that does not know of claims that come along.
    for (const id of ids()) await claim(id)
    await take('getStatuses, one', async id => await ledger.getStatuses([id]), claimed)
    await take('recordAccepted', async id => await ledger.recordAccepted(id, 1, 'request-' + id), claimed)
    const renew = async (rows: readonly Generation[], holds: boolean): Promise<unknown> => await ledger.renew(replica, rows.map(row => ({ row, holds })))
    const held = await ledger.getMany(claimed)
    await take('renew, for each that runs', async () => await renew(held, true), ['all of them'], held.length)
    await take('finish', async id => await ledger.finish(id, 1, 'request-' + id, success()), claimed)
    await take('getMany, one', async id => await ledger.getMany([id]), claimed)
    const ended = await ledger.getMany(claimed)
    await take('seen', async id => { await ledger.seen(id, connectionOf(id)) }, claimed)
    await take('renew, for each that has ended', async () => await renew(ended, false), ['all of them'], ended.length)
  }
  return costs
}

/** As a gateway admits a request without seed and key, of a tenant and a company with a budget. */
function admissionFor (id: string, connection: ReturnType<typeof admissionOf>['connection']): ReturnType<typeof admissionOf> {
  const limits = { rate: { max: 1_000_000, windowSeconds: 1 }, maxInFlight: 10_000, maxQueued: 100_000 }
  return admissionOf({
    id,
    connection,
    ...limits,
    tenant: 'tenant1000000000',
    cacheGroup: 'everybody',
    input: JSON.stringify({ aspect_ratio: '1:1', num_images: 1, output_format: 'png', prompt: `A red bicycle leaning on a blue wall, morning light ${id}`, resolution: '1K', safety_tolerance: '4' }),
    inputSha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    reuseName: digestOf('reuse', id),
    duplicateName: digestOf('duplicate', id),
    trace: { traceId: id.replaceAll('-', ''), spanId: id.replaceAll('-', '').slice(16), isSampled: true, state: '' },
    priceRule: 'e3b0c44298fc1c149afbf4c8996fb924'
  })
}

function digestOf (kind: string, id: string): string {
  return Buffer.from(`${kind} ${id} `.padEnd(48)).toString('base64url')
}

function success (): ReturnType<typeof successOf> {
  return successOf({
    output: '{"images":[{"url":"https://v3.fal.media/files/rabbit/rmgBxhwGYb2d3pl3x9sKf_output.png","content_type":"image/png","file_name":"output.png","file_size":1048576}],"seed":1000000000}',
    seed: '1000000000',
    learnedName: digestOf('learned', randomUUID())
  })
}
