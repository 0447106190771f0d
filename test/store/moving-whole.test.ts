// There and back again: what Redis holds after a ledger went through a folder, key by key.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createDiskMovingPlace, declarations } from '../../src/store/disk/moving.ts'
import type { MovingPlace } from '../../src/store/moving/entry.ts'
import { exportLedger, importLedger } from '../../src/store/moving/move.ts'
import { unfolded } from '../../src/store/redis/folds.ts'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { redisUrl } from '../support/redis.ts'
import { freshNamespace, plainClient } from '../support/redis-store.ts'
import { owner, startMs } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

t.setTimeout(600_000)

type Keys = Readonly<Record<string, unknown>>

/** Every key of a namespace with its value, rows field by field. */
async function keysIn (redis: Redis, namespace: string): Promise<Keys> {
  const prefix = `{${namespace}}:`
  const found: Record<string, unknown> = {}
  for (const key of (await redis.keys(prefix + '*')).toSorted()) found[key.slice(prefix.length)] = await valueOf(redis, key)
  return found
}

async function valueOf (redis: Redis, key: string): Promise<unknown> {
  const type = await redis.type(key)
  switch (type) {
    case 'hash': return unfolded(await redis.hgetallBuffer(key))
    case 'zset': return await redis.zrange(key, '0', '-1', 'WITHSCORES')
    case 'list': return await redis.lrange(key, 0, -1)
    case 'stream': return await redis.xrange(key, '-', '+')
    case 'string': return await redis.get(key)
    default: throw new Error(`${key} is a ${type}`)
  }
}

/** Keys that end with the processes, or with the server that they were on. */
const ended = /^(a:|x:|beats$|renewed$|awaited$|followed|due|claims$|tally$|tallied$)/

/** Fields that do, or that the audit counts. */
const endedFields: Readonly<Record<string, readonly string[]>> = {
  g: ['owner', 'connection', 'leaseUntilMs', 'claimId'],
  glob: ['sequence', 'server', 'epoch', 'heldSinceMs', 'heldUntilMs', 'tallyUntilMs', 'asideBytes']
}

/**
 * What of it has to be there again: without what has ended by then or has lost what leads to it, in whatever order texts of JSON have their names, and no matter whether
 * what every row begins with is written.
 */
function moved (keys: Keys, nowMs: number): Keys {
  const isThere = (id: string): boolean => keys[`g:${id}`] !== undefined && !isOver(keys[`g:${id}`], nowMs)
  const largest = Object.entries(keys).flatMap(([name, value]) => typeof value === 'object' && value !== null && 'large' in value ? [`${name.slice('g:'.length)} ${String(value.large)}`] : [])
  const aside = new Set(alive(keys['asides'], nowMs).filter(name => largest.includes(name)).map(name => `b:${name}`))
  return Object.fromEntries(Object.entries(keys).flatMap(([name, value]) => {
    if (ended.test(name) || isOver(value, nowMs) || (name.startsWith('b:') && !aside.has(name))) return []
    const left = name === 'asides' ? [...aside] : name.startsWith('toks:') ? alive(value, nowMs) : name.startsWith('la:') ? alive(value, 0).filter(isThere) : null
    if (left !== null) return left.length === 0 ? [] : [[name, left]]
    const gone = new Set(endedFields[name.split(':', 1).join('')])
    if (Array.isArray(value) || typeof value !== 'object' || value === null || name.startsWith('b:')) return [[name, read(value)]]
    return [[name, Object.fromEntries(Object.entries(value).filter(([field, text]) => !gone.has(field) && text !== '0' && !(field === 'files' && text === '1')).map(([field, text]) => [field, read(text)]))]]
  }))
}

/** The members of a sorted set whose score is above that. */
function alive (value: unknown, nowMs: number): readonly string[] {
  if (!Array.isArray(value)) return []
  const flat: readonly string[] = value.map(String)
  return flat.filter((_, at) => at % 2 === 0 && Number(flat[at + 1]) > nowMs)
}

function isOver (value: unknown, nowMs: number): boolean {
  return typeof value === 'object' && value !== null && 'endMs' in value && Number(value.endMs) <= nowMs
}

function read (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(read)
  if (typeof value !== 'string' || !/^[[{]/.test(value)) return value
  const parsed: unknown = JSON.parse(value)
  return parsed
}

t.test('a ledger that went from Redis through a folder to Redis is there key by key', async t => {
  for (const [nth, steps] of fc.sample(walks(200), { seed: 23, numRuns: 12 }).entries()) {
    const clock = { nowMs: startMs }
    const [source, target] = [await redisPlace(t, clock), await redisPlace(t, clock)]
    await source.fill(steps)
    const before = await source.keys()
    const above = await mkdtemp(join(tmpdir(), 'falgate-moving-'))
    t.teardown(async () => { await rm(above, { recursive: true }) })
    const wallNow = (): number => clock.nowMs
    const folder = (): ReturnType<typeof createDiskMovingPlace> => createDiskMovingPlace({ folder: join(above, 'ledger'), times: walkTimes, wallNow, onDamage: () => {} })
    const [there, back] = [join(above, 'there.jsonl'), join(above, 'back.jsonl')]
    const about = { version: '1', store: 'test' }
    await exportLedger(source.moving, { about, isMove: true, to: there })
    await using(folder(), async place => { await importLedger(place, { from: there, takesBackup: false, declarations }) })
    await using(folder(), async place => { await exportLedger(place, { about, isMove: true, to: back }) })
    await importLedger(target.moving, { from: back, takesBackup: false, declarations })
    t.same(moved(await target.keys(), clock.nowMs), moved(before, clock.nowMs), `walk ${nth}: ${Object.keys(before).length} keys`)
    t.same(await target.audit(), [])
  }
})

async function using (place: MovingPlace & { readonly close: () => Promise<void> }, work: (place: MovingPlace) => Promise<void>): Promise<void> {
  await work(place).finally(place.close)
}

interface Place {
  /** By a walk, after which no submit is under way: what becomes of those is another promise. */
  readonly fill: (steps: Parameters<typeof walk>[1]) => Promise<void>
  readonly keys: () => Promise<Keys>
  readonly moving: MovingPlace
  readonly audit: () => Promise<readonly string[]>
}

async function redisPlace (t: Test, clock: { nowMs: number }): Promise<Place> {
  const url = await redisUrl()
  const namespace = freshNamespace()
  const redis = plainClient(t, url)
  const fixed = { now: () => clock.nowMs, server: () => 'first' }
  async function opened (account: typeof owner | null): Promise<RedisLedger> {
    const ledger = createRedisLedger({ url, times: walkTimes, namespace, account, clock: fixed })
    t.teardown(ledger.close)
    await ledger.connect()
    return ledger
  }
  const window = await opened(null)
  t.teardown(async () => {
    const keys = await redis.keys(`{${namespace}}:*`)
    if (keys.length > 0) await redis.del(...keys)
  })
  return {
    fill: async steps => {
      const ledger = await opened(owner)
      await walk({ ledger, beside: async own => await opened(own === null || 'kind' in own ? own : owner), setServer: () => {}, setNow: atMs => { clock.nowMs = atMs }, audit: async () => [], close: async () => {} }, steps, startMs)
      const ids = (await redis.keys(`{${namespace}}:g:*`)).map(key => key.slice(`{${namespace}}:g:`.length))
      for (const { id, phase, attempt } of await ledger.getMany(ids)) if (phase === 'submitting') await ledger.recordAccepted(id, attempt, `late-${id}`)
      for (const replica of ['r1', 'r2', 'r3']) await ledger.release(replica, [])
    },
    keys: async () => await keysIn(redis, namespace),
    moving: window.moving,
    audit: window.audit
  }
}
