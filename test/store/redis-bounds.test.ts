// The work of each operation on Redis is bounded: as many commands, and as many bytes, however many rows there are. Counted, not timed.

import type { Redis } from 'ioredis'
import t from 'tap'
import type { Admission } from '../../src/generation/admission.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { statuses } from '../../src/generation/phases.ts'
import { failureOf, freshId, never, noTerms, admissionOf, successOf, traceLost } from '../support/admission.ts'
import { liveLedger, plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'

const studio = { tenant: 'studio', subject: '' }
const agency = { tenant: 'agency', subject: '' }

/** Enough rows in every state for a page, and ten times as many. */
const sizes = [600, 6000] as const

const roomy: Partial<Admission> = { rate: { max: 1e9, windowSeconds: 60 }, maxInFlight: 1e6, maxQueued: 1e6, cacheGroup: 'both' }

async function claim (ledger: Ledger): Promise<{ readonly id: string, readonly attempt: number }> {
  const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1e6 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  return claimed.row
}

/** A tenth each: called off, lost, billed without a picture, running, and shared with another tenant; the others just succeed. Twelve wait. */
async function fill (ledger: Ledger, rows: number): Promise<void> {
  // What is called off goes first: a claim would take it as well.
  await inParallel(rows / 10, async n => {
    const id = freshId()
    await ledger.admit(admissionOf({ ...roomy, id, cacheName: `off${n}`, idempotency: { name: `offkey${n}`, fingerprint: 'f' } }))
    await ledger.cancel(id, studio)
  })
  await inParallel(rows - rows / 10, async n => {
    const cacheName = `cache${n}`
    await ledger.admit(admissionOf({ ...roomy, cacheName, idempotency: { name: `key${n}`, fingerprint: 'f' } }))
    const { id, attempt } = await claim(ledger)
    const requestId = 'request-' + id
    if (n % 9 === 1) await ledger.recordUnknown(id, attempt, null, traceLost)
    else await ledger.recordAccepted(id, attempt, requestId)
    if (n % 9 === 2) await ledger.recordProgress(id, attempt, requestId, { kind: 'running' })
    if (n % 9 === 0 || n % 9 > 2) await ledger.finish(id, attempt, requestId, n % 9 === 3 ? failureOf() : successOf())
    if (n % 9 === 4) await ledger.admit(admissionOf({ ...roomy, ...agency, cacheName, needsId: true }))
  })
  for (let count = 0; count < 12; count += 1) await ledger.admit(admissionOf(roomy))
}

async function inParallel (count: number, make: (n: number) => Promise<void>): Promise<void> {
  let made = 0
  async function makeThem (): Promise<void> {
    while (made < count) await make(made++)
  }
  await Promise.all(Array.from({ length: 32 }, makeThem))
}

async function counted (redis: Redis, call: () => Promise<unknown>): Promise<{ readonly commands: Readonly<Record<string, number>>, readonly sentBytes: number }> {
  await redis.call('CONFIG', 'RESETSTAT')
  await call()
  const sentBytes = Number(/total_net_output_bytes:(\d+)/.exec(await redis.info('stats'))?.[1])
  const stats = [...(await redis.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)]
  return { commands: Object.fromEntries(stats.flatMap(([, name = '', calls]) => ['info', 'config|resetstat'].includes(name) ? [] : [[name, Number(calls)]])), sentBytes }
}

function questions (ledger: Ledger, ids: readonly string[]): Readonly<Record<string, () => Promise<unknown>>> {
  const lists = [null, ...statuses].map(status => [`a list, ${status ?? 'all'}`, async () => await ledger.list(studio, { limit: 10, cursor: null, status })] as const)
  const first = ids[0] ?? ''
  return {
    ...Object.fromEntries(lists),
    'a list of aliases': async () => await ledger.list(agency, { limit: 10, cursor: null, status: null }),
    'a list of aliases, none of them so': async () => await ledger.list(agency, { limit: 10, cursor: null, status: 'failed' }),
    read: async () => await ledger.read(first, studio),
    getMany: async () => await ledger.getMany(ids),
    getStatuses: async () => await ledger.getStatuses(ids),
    lookup: async () => await ledger.lookup('cache5'),
    renew: async () => await ledger.renew('r1', (await ledger.getMany(ids)).map(row => ({ row, holds: false }))),
    unknowns: async () => await ledger.unknowns(10),
    journal: async () => await ledger.journal(0, never, 10),
    gauges: async () => await ledger.gauges(),
    breakers: async () => await ledger.breakers(),
    balances: async () => await ledger.balances([{ owner: 'studio', per: 'month' }]),
    sweep: async () => await ledger.sweep('r1', 100),
    takeOutbox: async () => await ledger.takeOutbox(10),
    once: async () => await ledger.once('something', 1000),
    logs: async () => await ledger.logs(first, 0),
    correct: async () => await ledger.correct(first, null),
    release: async () => { await ledger.release('r1', ids) },
    'a purchase that is withdrawn': async () => {
      const admission = admissionOf(roomy)
      await ledger.admit(admission)
      await ledger.withdraw([admission])
    },
    'a purchase whose caller leaves, and that is called off': async () => {
      const connection = { replica: 'r1', connection: freshId() }
      const admission = admissionOf({ ...roomy, duplicateName: freshId(), connection })
      await ledger.admit(admission)
      await ledger.left(admission.id, connection)
      await ledger.cancel(admission.id, studio)
    },
    restore: async () => {
      const [row] = await ledger.getMany([first])
      const id = freshId()
      if (row !== undefined) await ledger.restore('r1', [{ row: { ...row, id, purchase: id, requestId: 'restored-' + id }, terms: { ...noTerms, cacheName: id }, holds: false }])
    },
    'a list of purchases': async () => await ledger.admitAll(Array.from({ length: 10 }, () => admissionOf({ ...roomy, cacheName: freshId() }))),
    admit: async () => await ledger.admit(admissionOf({ ...roomy, cacheName: freshId() })),
    'admit a hit': async () => await ledger.admit(admissionOf({ ...roomy, cacheName: 'cache5' })),
    'a purchase to its end': async () => {
      const { id, attempt } = await claim(ledger)
      await ledger.recordAccepted(id, attempt, 'request-' + id)
      await ledger.finish(id, attempt, 'request-' + id, successOf())
    }
  }
}

t.test('no operation asks more of Redis, nor is it sent more, when there are ten times as many rows', async t => {
  const counts = await Promise.all(sizes.map(async size => {
    const { url } = await startRedis(t)
    const { ledger } = await liveLedger(t, url, { clock: { now: () => Date.UTC(2026, 10, 22, 12) }, deadlineMs: 60_000 })
    const redis = plainClient(t, url)
    await fill(ledger, size)
    const { rows } = await ledger.list(studio, { limit: 10, cursor: null, status: 'succeeded' })
    const found: [string, Awaited<ReturnType<typeof counted>>][] = []
    for (const [name, ask] of Object.entries(questions(ledger, rows.map(({ id }) => id)))) {
      await ask() // what is tidied on the way is gone
      found.push([name, await counted(redis, ask)])
    }
    return new Map(found)
  }))
  const [few, many] = counts
  for (const [name, { commands, sentBytes }] of few ?? []) {
    t.same(many?.get(name)?.commands, commands, name)
    // Numbers in it have a digit or two more.
    t.ok((many?.get(name)?.sentBytes ?? Infinity) < 1.1 * sentBytes + 100, `${name} is sent ${sentBytes} and ${many?.get(name)?.sentBytes} bytes`)
  }
})
