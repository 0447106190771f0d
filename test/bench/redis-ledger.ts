// How many whole generations the ledger on Redis takes through admission, claim, acceptance and end in a second.
// node build/test/bench/redis-ledger.js; a private redis-server is started for each setting.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'
import { freePort } from '../support/processes.ts'

const SECONDS = 4
const TENANTS = 100

/** One generation; with others under way the claim may grant theirs, and the replica that got it ends it. */
async function generation (ledger: RedisLedger, tenant: number): Promise<void> {
  const deadlineMs = ledger.now() + 1000
  const admitted = await ledger.admit(admissionOf({ id: freshId() + process.pid, tenant: `tenant${tenant}`, deadlineMs, idempotency: { name: freshId(), fingerprint: 'f' }, rate: { max: 1e9, windowSeconds: 60 }, budgets: [{ owner: `tenant${tenant}`, limit: 1e15, per: 'month' }, { owner: '*', limit: 1e15, per: 'month' }] }))
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: ledger.now() + 1000, replica: 'r1', slots: 100_000 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { id, attempt } = claimed.row
  await ledger.recordAccepted(id, attempt, 'request-' + id)
  await ledger.finish(id, attempt, 'request-' + id, successOf())
}

async function measure (ledger: RedisLedger, inFlight: number): Promise<{ readonly perSecond: number, readonly p50Ms: number, readonly p99Ms: number }> {
  const endMs = performance.now() + SECONDS * 1000
  const tookMs: number[] = []
  await Promise.all(Array.from({ length: inFlight }, async (_, worker) => {
    for (let count = worker; performance.now() < endMs; count += 1) {
      const startMs = performance.now()
      await generation(ledger, count % TENANTS)
      tookMs.push(performance.now() - startMs)
    }
  }))
  tookMs.sort((one, other) => one - other)
  const at = (share: number): number => tookMs[Math.floor(tookMs.length * share)] ?? NaN
  return { perSecond: Math.round(tookMs.length / SECONDS), p50Ms: at(0.5), p99Ms: at(0.99) }
}

async function withRedis (fsync: string, work: (url: string) => Promise<void>): Promise<void> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'falgate-bench-'))
  const persistence = fsync === 'off' ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', fsync]
  const child = spawn('redis-server', ['--port', String(port), '--save', '', '--dir', folder, '--logfile', 'redis.log', ...persistence], { stdio: 'ignore' })
  try {
    await work(`redis://127.0.0.1:${port}`)
  } finally {
    child.kill('SIGKILL')
    await once(child, 'close')
    rmSync(folder, { recursive: true, force: true })
  }
}

process.stdout.write(`${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}\n`)
for (const fsync of ['always', 'everysec', 'off']) {
  await withRedis(fsync, async url => {
    const ledger = createRedisLedger({ url, times })
    while (await ledger.connect().then(() => false, () => true)) await pause(50)
    for (const inFlight of [1, 64]) {
      await measure(ledger, inFlight) // warm
      const { perSecond, p50Ms, p99Ms } = await measure(ledger, inFlight)
      process.stdout.write(`appendfsync ${fsync.padEnd(8)} ${String(inFlight).padStart(2)} in flight: ${perSecond} generations/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms\n`)
    }
    await ledger.close()
  })
}
