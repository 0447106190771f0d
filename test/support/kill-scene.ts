// One death: a gateway is stopped exactly at a point, killed there, and another process goes on; then everything is counted.

import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import type { RunningSandbox } from './sandbox.ts'
import { patiently } from './crowd.ts'
import { key, parseObject, tenant, type Reply } from './gateway.ts'
import type { Callers, Death, Point } from './kill-points.ts'
import { moneyOf } from './money.ts'
import type { Replica } from './replicas.ts'
import { until } from './until.ts'

/** A door between one gateway and its ledger. */
export interface Gate {
  /**
   * Stops all calls of the ledger at the next one of `operation`: `before` the ledger sees it, or `after` it ran and before the process hears of it (only an answer that
   * contains `having`). Resolves when that is so; nothing passes any more.
   */
  readonly holdAt: (operation: string, when: 'before' | 'after', having?: string) => Promise<void>
  /** Resolves when the next call of `operation` was answered. */
  readonly untilAnswered: (operation: string) => Promise<void>
}

/** The ledger as it is now, with its audit. */
export type Window = Ledger & { readonly audit: () => readonly string[] | Promise<readonly string[]> }

export type Ask = (replica: Replica, options?: { readonly headers?: Readonly<Record<string, string>>, readonly signal?: AbortSignal }) => Promise<Reply>

/** Where deaths happen one after the other, each to a tenant of its own: one ledger and one fal. */
export interface Place {
  readonly sandbox: RunningSandbox
  /** Where the files of results are stored. */
  readonly mediaFolder: string
  /** The tenants to whom something happened already. */
  readonly tenants: string[]
  /** Looks into the ledger. */
  readonly look: <Seen>(use: (ledger: Window) => Promise<Seen>) => Promise<Seen>
  /** Claims wait until the returned function was called, and nothing is granted along with its admission. */
  readonly pauseClaims: () => Promise<() => Promise<void>>
  /** Those who play the next death. */
  readonly enter: (inherits: boolean) => Promise<Cast>
}

export interface Cast {
  /** In front of the one that dies at the point. */
  readonly gate: Gate
  /** Who is asked first: the one that dies, unless it is to inherit. */
  readonly front: Replica
  /** The one that dies; where it inherits and no two can be there at once, only when its predecessor is dead. */
  readonly doomed: () => Replica
  /** Kills the one in front, from whom the doomed one inherits. */
  readonly killOwner: () => Promise<void>
  /** A caller more, where the one that goes on is there already admitted while the doomed one lives. Gives its answer to come. */
  readonly join: (ask: Ask) => Promise<{ readonly answer: Promise<Reply> }>
  /** Empties the ledger. */
  readonly flush: () => Promise<void>
  /** The doomed one is dead. Gives who goes on. */
  readonly goOn: () => Promise<Replica>
}

interface Scene extends Place, Cast {
  readonly point: Point
  readonly tenantId: string
  readonly billBefore: { readonly accepted: number, readonly billedUnits: number }
  readonly ask: Ask
}

/** What bounds a place is the number of its deaths; how long they take is the machine's affair. */
export const ALL_DEATHS_MS = 900_000

const PRICE = 60_000
const BUDGET = { usd: 10, per: 'month' } as const

/** The environment of all gateways that store files there. Links are the same whoever makes them. */
export function mediaEnv (folder: string): Readonly<Record<string, string>> {
  return { MEDIA_DIR: folder, PUBLIC_URL: 'https://pictures.example' }
}

/** The tenants file of a place for so many deaths. */
export function tenantsFor (deaths: number): Readonly<Record<string, unknown>> {
  return { budget: { usd: 1000, per: 'month' }, tenants: Array.from({ length: deaths }, (_, number) => tenant(`team-${number}`, { budget: BUDGET })) }
}

/** Plays a death and checks what is left. */
export async function die (t: Test, place: Place, { point, callers }: Death): Promise<void> {
  const scene = await enter(place, point, callers)
  const { sandbox, front, ask } = scene
  const leaving = new AbortController()
  const headers: Record<string, string> = point.once === 'the process drains' ? { prefer: 'respond-async' } : {}
  const release = runsOn(point) ? sandbox.faults.holdJobs() : () => {}

  const resumeClaims = point.waits === true ? await scene.pauseClaims() : async () => {}
  const isQueued = point.waits === true && point.after !== 'admit'
  const straight = point.once === undefined && !isQueued ? stopAt(scene, '') : Promise.resolve()
  // On a machine whose processors are all busy Redis may be taken for away, and nothing was bought then.
  const first = patiently(async () => await ask(front, { headers, signal: leaving.signal })).catch(() => null)
  if (isQueued) {
    await untilStatus(scene, null)
    const stopped = stopAt(scene, '')
    await resumeClaims()
    await reached(stopped, point)
  }
  if (point.once !== undefined) await happen(scene, await untilStatus(scene, 'running'), leaving)
  await reached(straight, point)
  const second = joins(point, callers) ? await scene.join(ask) : null

  const { child, ended } = scene.doomed()
  child.kill('SIGKILL')
  await ended
  if (!isQueued) await resumeClaims()
  const heir = await scene.goOn()
  if (point.ends !== 'cancelled') release()

  const answers = [await first]
  if (second !== null) answers.push(await second.answer)
  if (point.retries !== false) answers.push(await patiently(async () => await ask(heir)))
  checkAnswers(t, point, answers)
  await checkBooks(t, scene, heir)
  release()
  sandbox.faults.clear()
}

async function enter (place: Place, point: Point, callers: Callers): Promise<Scene> {
  const { sandbox, tenants } = place
  const tenantId = `team-${tenants.length}`
  tenants.push(tenantId)
  const cast = await place.enter(point.once === 'its owner dies')
  if (point.fault !== undefined && point.atFal === undefined) sandbox.faults.add(point.fault)
  for (const fault of point.beside ?? []) sandbox.faults.add(fault)
  const { accepted, billedUnits } = sandbox.bill
  const body = { prompt: 'a lighthouse', ...(callers === 'seeded' ? { seed: 7 } : {}) }
  const reuses = callers === 'reuse' ? { 'falgate-cache': 'reuse' } : {}
  return {
    ...place,
    ...cast,
    point,
    tenantId,
    billBefore: { accepted, billedUnits },
    ask: async (replica, { headers, signal } = {}) => await replica.generate(body, { key: key(tenantId), headers: { ...reuses, ...headers }, ...(signal === undefined ? {} : { signal }) })
  }
}

/** Does fal's work have to last until the death? */
function runsOn ({ once, before, after }: Point): boolean {
  return once !== undefined || (before ?? after) === 'recordProgress'
}

/** Resolves when the doomed process stands at the point. */
async function stopAt ({ point, gate, sandbox }: Scene, id: string): Promise<void> {
  const { before, after, having = '', atFal } = point
  if (atFal !== undefined) {
    // fal is asked how it goes while the id is being stored; a death before that is there has a point of its own.
    const isStored = atFal === 'submit' || point.once !== undefined ? null : gate.untilAnswered('recordAccepted')
    await sandbox.faults.add(point.fault ?? { kind: 'hang', operation: atFal }).untilHit()
    await isStored
  } else if (before !== undefined) await gate.holdAt(before, 'before')
  else if (after !== undefined) await gate.holdAt(after, 'after', having === 'id' ? id : having)
}

/** Rejects with a sentence when the doomed process never comes there. */
async function reached (stopped: Promise<void>, { says }: Point): Promise<void> {
  let isThere = false
  await Promise.race([stopped.then(() => { isThere = true }), until(() => isThere, { what: `a process stands at its point, ${says}` })])
}

/** The id of the tenant's generation, once it has this status, or any. */
async function untilStatus ({ front, tenantId }: Scene, status: 'running' | null): Promise<string> {
  return await until(async () => {
    const { generations } = (await front.get(`/generations${status === null ? '' : `?status=${status}`}`, key(tenantId))).json()
    const [first]: readonly unknown[] = Array.isArray(generations) ? generations : []
    return first !== undefined && String(parseObject(JSON.stringify(first))['id'])
  }, { what: `the generation is ${status ?? 'there'}` })
}

async function rowsOf (ledger: Ledger, tenant: string): Promise<readonly Generation[]> {
  const { rows } = await ledger.list({ tenant, subject: '' }, { limit: 10, cursor: null, status: null })
  return await ledger.getMany(rows.map(({ id }) => id))
}

async function happen (scene: Scene, id: string, leaving: AbortController): Promise<void> {
  const { point, front, tenantId } = scene
  const stopped = stopAt(scene, id)
  switch (point.once) {
    case 'its caller leaves': leaving.abort(); break
    case 'its caller cancels': cancel(front, id, tenantId); break
    case 'the process drains': scene.doomed().child.kill('SIGTERM'); break
    case 'its owner dies': await scene.killOwner(); break
    case 'Redis is emptied': await scene.flush(); break
    case 'it runs': case undefined: break
  }
  await reached(stopped, point)
}

/** The answer is not waited for: it may never come. */
function cancel (replica: Replica, id: string, tenantId: string): void {
  patiently(async () => await replica.post(`/generations/${id}/cancel`, key(tenantId))).catch(() => {})
}

/** A second caller would forbid a cancel, and after a rollback has no name to join by. */
function joins ({ once }: Point, callers: Callers): boolean {
  return callers !== 'unseeded' && once !== 'its caller cancels' && once !== 'Redis is emptied'
}

/** All who were answered got the same picture, or the same word that nobody knows. */
function checkAnswers (t: Test, { ends }: Point, answers: ReadonlyArray<Reply | null>): void {
  const told = answers.filter(reply => reply !== null && reply.status !== 202)
  if (ends === 'succeeded') {
    t.same([...new Set(told.map(reply => reply?.status))].filter(status => status !== 200), [], 'everybody who is left has the picture')
    t.ok(new Set(told.map(reply => reply?.text)).size <= 1, 'and it is one picture')
  } else if (ends === 'unknown') {
    t.same([...new Set(told.map(reply => reply?.json()['code']))].filter(code => code !== 'outcome-unknown'), [], 'everybody who is left is told that nobody knows')
    t.equal(new Set(told.map(reply => reply?.json()['generation_id'])).size, 1, 'of one generation')
  } else {
    t.notOk(told.some(reply => reply?.status === 200), 'nobody has a picture')
  }
}

/** Nothing was bought twice, the ledger's money is the bill, and nothing of the dead is left behind. */
async function checkBooks (t: Test, { point: { ends, purchases = 1 }, sandbox, mediaFolder, look, tenantId, tenants, billBefore }: Scene, heir: Replica): Promise<void> {
  await until(async () => await look(async ledger => {
    const { waiting, atUpstream } = await ledger.gauges()
    return atUpstream === 0 && [...waiting.values()].every(count => count === 0)
  }), { what: 'nothing waits or runs any more' })
  await look(async ledger => {
    const rows = await rowsOf(ledger, tenantId)
    t.same(rows.map(({ phase }) => phase), ends === 'forgotten' ? [] : [ends], 'one intent, one generation')
    for (const { id } of rows) t.match((await heir.get(`/generations/${id}`, key(tenantId))).json(), { status: ends, output: ends === 'succeeded' ? { images: [{}] } : null }, 'it is collected by its id')

    // What is missing is due to be tried again: the audit below says so.
    for (const { phase, media } of rows) {
      if (phase !== 'succeeded') continue
      t.equal(media?.length, 1, 'it is noted where the address of its file stands')
      for (const { file } of media ?? []) if (file !== null) t.equal(hash('sha256', await readFile(join(mediaFolder, file.slice(0, 2), file))), file.slice(0, 64), 'what is noted as stored is stored, and whole')
    }

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
    if (isOnBill) await moneyOf(t, { ledger, sandbox }, [heir], { tenants, counters: 'at-most' })
    t.match(await ledger.gauges(), { atUpstream: 0, unknownOpen: sum('held') / PRICE }, 'and every price that is still held is an unknown\'s')
    t.same(await ledger.audit(), [], 'no reservation, lease, position in the queue or entry of an index is left behind')
  })
}
