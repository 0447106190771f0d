// One death: a gateway is stopped exactly at a point, killed there, and another one goes on; then everything is counted.

import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import type { Phase } from '../../src/generation/phases.ts'
import type { Fault, Operation } from '../../src/sandbox/fault-schema.ts'
import { patiently } from './crowd.ts'
import { key, tenant, type Reply } from './gateway.ts'
import { moneyOf } from './money.ts'
import { startRedisGate, type RedisGate } from './redis-gate.ts'
import { redisUrl, startRedis } from './redis.ts'
import { deploy, LONG_LEASE, type Deployment, type Replica } from './replicas.ts'
import { until } from './until.ts'

/**
 * Who asks: with a seed, or with `Falgate-Cache: reuse`, and then a second caller joins on the other replica; or without either, and a single caller.
 */
export type Callers = 'seeded' | 'reuse' | 'unseeded'

/** Where a process dies, and how the story ends. */
export interface Point {
  readonly says: string
  /** It dies before Redis sees its call of this operation, or after Redis ran it and before it hears of that. */
  readonly before?: string
  readonly after?: string
  /** Only an answer that contains this (see `RedisGate`); `id` stands for the generation's. */
  readonly having?: string
  /** It dies while this call to fal has no answer. */
  readonly atFal?: Operation
  /** Claims wait when it is asked for, until it is in the queue and, where that is the point, dead: it is not granted along with its admission. */
  readonly waits?: true
  /** What goes wrong at fal: at that call, or beside. */
  readonly fault?: Fault
  /** What else goes wrong before. */
  readonly beside?: readonly Fault[]
  /** What happens once fal works on it, with the point behind that; without it the process dies on the straight way. */
  readonly once?: 'it runs' | 'its caller leaves' | 'its caller cancels' | 'the process drains' | 'its owner dies' | 'Redis is emptied'
  readonly ends: Phase | 'forgotten'
  /** Purchases at fal; one unless told otherwise. */
  readonly purchases?: 0 | 1
  /** `seeded` and `unseeded`, one after the other, unless told otherwise. */
  readonly callers?: Callers
  /** Leases that outlast the test: whoever goes on does so because a replica went silent. Of all points of a place, or of none. */
  readonly isLeaseLong?: true
  /** The caller's retry would rightly be another purchase, or another story. */
  readonly retries?: false
}

/** Where deaths happen one after the other, each to a tenant of its own: one ledger, one fal, and the replica that outlives them all. */
export interface Place extends Deployment {
  readonly survivor: Replica
  readonly survivorGate: RedisGate
  readonly redis: string
  /** Empties a Redis that no other place uses. */
  readonly flush: () => Promise<void>
  /** The tenants to whom something happened already. */
  readonly tenants: string[]
}

interface Scene extends Place {
  readonly point: Point
  readonly tenantId: string
  readonly doomed: Replica
  readonly doomedGate: RedisGate
  /** The replica that is asked first: the doomed one, unless it is to inherit. */
  readonly front: Replica
  readonly billBefore: { readonly accepted: number, readonly billedUnits: number }
  readonly ask: (replica: Replica, options?: { readonly headers?: Readonly<Record<string, string>>, readonly signal?: AbortSignal }) => Promise<Reply>
}

const PRICE = 60_000
const BUDGET = { usd: 10, per: 'month' } as const

/** A place for this many deaths. One where Redis is emptied has a server of its own. */
export async function openPlace (t: Test, points: readonly Point[]): Promise<Place> {
  const server = points.some(({ once }) => once === 'Redis is emptied') ? await startRedis(t) : null
  const redis = server?.url ?? await redisUrl()
  const tenants = points.map((_, number) => tenant(`team-${number}`, { budget: BUDGET }))
  const deployment = await deploy(t, { redisUrl: redis, env: points.some(({ isLeaseLong }) => isLeaseLong) ? LONG_LEASE : {}, sandbox: { runMs: 10 }, tenants: { budget: { usd: 1000, per: 'month' }, tenants } })
  const survivorGate = await startRedisGate(t, redis)
  const survivor = await deployment.startReplica({ REDIS_URL: survivorGate.url })

  async function flush (): Promise<void> {
    const socket = connect(Number(server?.port), '127.0.0.1')
    socket.write('FLUSHDB\r\n')
    await once(socket, 'data')
    socket.destroy()
  }

  return { ...deployment, survivor, survivorGate, redis, flush, tenants: [] }
}

/** Plays the death at `point` and checks what is left. */
export async function die (t: Test, place: Place, point: Point, callers: Callers): Promise<void> {
  const scene = await enter(t, place, point, callers)
  const { sandbox, doomed, survivor, survivorGate, front, ask } = scene
  const leaving = new AbortController()
  const headers: Record<string, string> = point.once === 'the process drains' ? { prefer: 'respond-async' } : {}
  const release = runsOn(point) ? sandbox.faults.holdJobs() : () => {}

  const resumeClaims = point.waits === true ? await scene.pauseClaims() : async () => {}
  const isQueued = point.waits === true && point.after !== 'admit'
  const straight = point.once === undefined && !isQueued ? stopAt(scene, '') : null
  const first = ask(front, { headers, signal: leaving.signal }).catch(() => null)
  if (isQueued) {
    await until(async () => (await rowsOf(scene.ledger, scene.tenantId, null)).length > 0)
    const stopped = stopAt(scene, '')
    await resumeClaims()
    await stopped
  }
  if (point.once !== undefined) await happen(scene, await running(scene), leaving)
  await straight
  const second = joins(point, callers) ? await joinOn(scene) : null

  doomed.child.kill('SIGKILL')
  await doomed.ended
  if (!isQueued) await resumeClaims()
  survivorGate.refuse([])
  if (point.ends !== 'cancelled') release()

  const answers = [await first]
  if (second !== null) answers.push(await second.answer)
  if (point.retries !== false) answers.push(await patiently(async () => await ask(survivor)))
  checkAnswers(t, point, answers)
  await checkBooks(t, scene)
  release()
  sandbox.faults.clear()
}

async function enter (t: Test, place: Place, point: Point, callers: Callers): Promise<Scene> {
  const { redis, sandbox, survivorGate, startReplica, tenants } = place
  const tenantId = `team-${tenants.length}`
  tenants.push(tenantId)
  const inherits = point.once === 'its owner dies'
  const doomedGate = await startRedisGate(t, redis)
  // Until the death everything is the doomed one's to do.
  survivorGate.refuse(['claim', 'sweep', 'takeOver'])
  if (inherits) doomedGate.refuse(['claim'])
  const [doomed, owner] = await Promise.all([startReplica({ REDIS_URL: doomedGate.url }), inherits ? startReplica() : null])
  if (point.fault !== undefined && point.atFal === undefined) sandbox.faults.add(point.fault)
  for (const fault of point.beside ?? []) sandbox.faults.add(fault)
  const { accepted, billedUnits } = sandbox.bill
  const body = { prompt: 'a lighthouse', ...(callers === 'seeded' ? { seed: 7 } : {}) }
  const reuses = callers === 'reuse' ? { 'falgate-cache': 'reuse' } : {}
  return {
    ...place,
    point,
    tenantId,
    doomed,
    doomedGate,
    front: owner ?? doomed,
    billBefore: { accepted, billedUnits },
    ask: async (replica, { headers, signal } = {}) => await replica.generate(body, { key: key(tenantId), headers: { ...reuses, ...headers }, ...(signal === undefined ? {} : { signal }) })
  }
}

/** Does fal's work have to last until the death? */
function runsOn ({ once, before, after }: Point): boolean {
  return once !== undefined || (before ?? after) === 'recordProgress'
}

/** Resolves when the doomed process stands at the point. */
async function stopAt ({ point, doomedGate, sandbox }: Scene, id: string): Promise<void> {
  const { before, after, having = '', atFal } = point
  if (atFal !== undefined) await sandbox.faults.add(point.fault ?? { kind: 'hang', operation: atFal }).untilHit()
  else if (before !== undefined) await doomedGate.holdAt(before, 'before')
  else if (after !== undefined) await doomedGate.holdAt(after, 'after', having === 'id' ? id : having)
}

/** The generation, once fal works on it. */
async function running ({ ledger, tenantId }: Scene): Promise<Generation> {
  let row: Generation | undefined
  await until(async () => {
    [row] = await rowsOf(ledger, tenantId, 'running')
    return row !== undefined
  })
  if (row === undefined) throw new Error('it does not run')
  return row
}

async function rowsOf (ledger: Scene['ledger'], tenant: string, status: 'running' | null): Promise<readonly Generation[]> {
  const { rows } = await ledger.list({ tenant, subject: '' }, { limit: 10, cursor: null, status })
  return await ledger.getMany(rows.map(({ id }) => id))
}

async function happen (scene: Scene, row: Generation, leaving: AbortController): Promise<void> {
  const { point, doomed, front, flush, tenantId } = scene
  const stopped = stopAt(scene, row.id)
  switch (point.once) {
    case 'its caller leaves': leaving.abort(); break
    case 'its caller cancels': cancel(front, row.id, tenantId); break
    case 'the process drains': doomed.child.kill('SIGTERM'); break
    case 'its owner dies': front.child.kill('SIGKILL'); break
    case 'Redis is emptied': await flush(); break
    case 'it runs': case undefined: break
  }
  await stopped
}

/** The answer is not waited for: it may never come. */
function cancel (replica: Replica, id: string, tenantId: string): void {
  fetch(`${replica.base}/generations/${id}/cancel`, { method: 'POST', headers: { authorization: `Bearer ${key(tenantId)}` } }).catch(() => {})
}

/** A second caller would forbid a cancel, and after a rollback has no name to join by. */
function joins ({ once }: Point, callers: Callers): boolean {
  return callers !== 'unseeded' && once !== 'its caller cancels' && once !== 'Redis is emptied'
}

/** A caller on the survivor, admitted while the other still lives. Gives its answer to come. */
async function joinOn ({ survivor, survivorGate, ask }: Scene): Promise<{ readonly answer: Promise<Reply> }> {
  const admitted = survivorGate.untilAnswered('admit')
  const answer = ask(survivor)
  await Promise.race([admitted, answer])
  return { answer }
}

/** All who were answered got the same picture, or the same word that nobody knows. */
function checkAnswers (t: Test, { ends }: Point, answers: ReadonlyArray<Reply | null>): void {
  const told = answers.filter(reply => reply !== null && reply.status !== 202)
  if (ends === 'succeeded') {
    t.same([...new Set(told.map(reply => reply?.status))].filter(status => status !== 200), [], 'everybody who is left has the picture')
    t.ok(new Set(told.map(reply => reply?.text)).size <= 1, 'and it is one picture')
  } else if (ends === 'unknown') {
    t.ok(told.every(reply => reply?.status === 502 && reply.json()['code'] === 'outcome-unknown'), 'everybody who is left is told that nobody knows')
    t.equal(new Set(told.map(reply => reply?.json()['generation_id'])).size, 1, 'of one generation')
  } else {
    t.notOk(told.some(reply => reply?.status === 200), 'nobody has a picture')
  }
}

/** Nothing was bought twice, the ledger's money is the bill, and nothing of the dead is left behind. */
async function checkBooks (t: Test, scene: Scene): Promise<void> {
  const { point: { ends, purchases = 1 }, sandbox, ledger, survivor, tenantId, tenants, billBefore } = scene
  await until(async () => {
    const { waiting, atUpstream } = await ledger.gauges()
    return atUpstream === 0 && [...waiting.values()].every(count => count === 0)
  })
  const rows = await rowsOf(ledger, tenantId, null)
  t.same(rows.map(({ phase }) => phase), ends === 'forgotten' ? [] : [ends], 'one intent, one generation')
  for (const { id } of rows) t.match((await survivor.get(`/generations/${id}`, key(tenantId))).json(), { status: ends, output: ends === 'succeeded' ? { images: [{}] } : null }, 'it is collected by its id')

  t.equal(sandbox.bill.accepted - billBefore.accepted, purchases, 'purchases')
  // Whether fal bills what it cancelled is not known: the table's price is booked, and marked as assumed.
  const assumed = rows.reduce((sum, { cost, costAssumed }) => sum + (costAssumed ? cost ?? 0 : 0), 0)
  const spent = ends === 'unknown' || ends === 'forgotten' ? 0 : (sandbox.bill.billedUnits - billBefore.billedUnits) * PRICE + assumed
  const held = ends === 'unknown' ? PRICE : 0
  const [own, ...others] = await ledger.balances([tenantId, ...tenants.slice(0, -1), '*'].map(owner => ({ owner, per: 'month' })))
  const company = others.pop()
  const sum = (field: 'spent' | 'held'): number => [own, ...others].reduce((total, balance) => total + (balance?.[field] ?? 0), 0)
  t.match(own, { spent, held }, 'the tenant\'s money is the bill')
  t.match(company, { spent: sum('spent'), held: sum('held') }, 'and the company\'s is that of all its tenants')
  const journal = (await ledger.journal(0, Number.MAX_SAFE_INTEGER, 1000)).filter(entry => entry.tenant === tenantId)
  t.equal(journal.reduce((total, { amount }) => total + amount, 0), spent + held, 'and the journal explains it')

  // What was assumed or forgotten is on no bill, or on no other side of the sum.
  const isOnBill = !['cancelled', 'forgotten'].includes(ends)
  if (isOnBill) await moneyOf(t, scene, [survivor], { tenants, counters: 'at-most' })
  t.match(await ledger.gauges(), { atUpstream: 0, unknownOpen: sum('held') / PRICE }, 'and every price that is still held is an unknown\'s')
  t.same(await ledger.audit(), [], 'no reservation, lease, position in the queue or entry of an index is left behind')
}
