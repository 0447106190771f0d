// One death: a gateway is stopped exactly at a point, killed there, and another process goes on; then everything is counted.

import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import type { Status } from '../../src/generation/phases.ts'
import type { SetFault } from '../../src/sandbox/faults.ts'
import type { RunningSandbox } from './sandbox.ts'
import { patiently } from './crowd.ts'
import { key, parseObject, tenant, type Reply } from './gateway.ts'
import type { HookReceiver } from './kill-hooks.ts'
import { isAged, picturesOf, type Callers, type Death, type Once, type Point } from './kill-points.ts'
import { moneyOf } from './money.ts'
import { projectDir } from './paths.ts'
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

/** The one who asks first, the one who joins that one, and the one who asks behind the death. */
type Caller = 'first' | 'second' | 'again'

/** Where deaths happen one after the other, each to a tenant of its own: one ledger and one fal. */
export interface Place {
  readonly sandbox: RunningSandbox
  /** Where the files of results are stored. */
  readonly mediaFolder: string
  readonly receiver: HookReceiver
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
  /** Kills the one in front, from whom the doomed one inherits; once more is harmless. */
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
  /** How many generations the first caller asks for. */
  readonly pictures: number
  readonly billBefore: { readonly accepted: number, readonly billedUnits: number }
  /** What goes wrong at fal, where that is not the point itself. */
  readonly fault: SetFault | null
  readonly askAs: (caller: Caller) => Ask
  /** As whom a caller is told: as the first one, whose request it repeats, or at an address of its own. */
  readonly toldAs: (caller: Caller) => Caller
}

/** What bounds a place is the number of its deaths; how long they take is the machine's affair. */
export const ALL_DEATHS_MS = 1_200_000

const PRICE = 60_000
const BUDGET = { usd: 10, per: 'month' } as const

/** Longer than a busy machine lets a process wait. */
const HOOK_LEASE_MS = 5000

/** Options of Node for all gateways that die. */
export const briskNode = ['--import', join(projectDir, 'build/test/support/brisk-terms.js')]

/** The environment of all gateways of a place with these points, which store files there and send webhooks. Links are the same from all of them. */
export function placeEnv (points: readonly Point[], mediaFolder: string, receiver: HookReceiver): Readonly<Record<string, string>> {
  return { MEDIA_DIR: mediaFolder, PUBLIC_URL: 'https://pictures.example', HOOK_LEASE_MS: String(HOOK_LEASE_MS), ...points.some(isAged) ? { FAL_FILES_MS: '-1' } : {}, ...receiver.env }
}

/** The tenants file of a place for so many deaths. */
export function tenantsFor (deaths: number, { rights }: HookReceiver): Readonly<Record<string, unknown>> {
  return { budget: { usd: 1000, per: 'month' }, tenants: Array.from({ length: deaths }, (_, number) => tenant(`team-${number}`, { budget: BUDGET, ...rights })) }
}

/** Plays a death and checks what is left. */
export async function die (t: Test, place: Place, { point, callers }: Death): Promise<void> {
  const scene = await enter(place, point, callers)
  const { sandbox, front, askAs } = scene
  const leaving = new AbortController()
  const headers: Record<string, string> = waitsForNothing(point) ? { prefer: 'respond-async' } : {}
  const release = runsOn(point) ? sandbox.faults.holdJobs() : () => {}

  const resumeClaims = point.waits === true ? await scene.pauseClaims() : async () => {}
  const isQueued = point.waits === true && point.after !== 'admit' && point.after !== 'admitAll'
  const isStraight = (point.once === undefined || point.once === 'it ends') && !isQueued
  const straight = isStraight ? stopAt(scene, '') : Promise.resolve()
  // On a machine whose processors are all busy Redis may be taken for away, and nothing was bought then.
  const first = patiently(async () => await askAs('first')(front, { headers, signal: leaving.signal })).catch(() => null)
  if (isQueued) {
    await untilStatus(scene, null)
    const stopped = stopAt(scene, '')
    await resumeClaims()
    await reached(stopped, point)
  }
  const { id, answers } = isStraight || isQueued ? NOTHING_HAPPENED : await happen(scene, first, leaving)
  await reached(straight, point)
  const second = joins(point, callers) ? await scene.join(askAs('second')) : null

  const { child, ended } = scene.doomed()
  child.kill('SIGKILL')
  await ended
  if (!isQueued) await resumeClaims()
  const heir = await scene.goOn()
  if (point.ends !== 'cancelled') release()
  if (point.once === 'its owner stands still') await standUp(scene)
  if (point.ends === 'deleted') await checkDeleted(t, scene, heir, id)

  const told: (Reply | null)[] = [await first, ...await Promise.all(answers)]
  if (second !== null) told.push(await second.answer)
  if (point.retries !== false) told.push(await patiently(async () => await askAs('again')(heir)))
  checkAnswers(t, scene, told)
  await checkBooks(t, scene, heir)
  if (point.hooks === true) await checkHooks(t, scene, ['first', ...second === null && answers.length === 0 ? [] : ['second' as const], ...point.retries === false ? [] : ['again' as const]])
  if (point.once === 'its owner stands still') await scene.killOwner()
  release()
  sandbox.faults.clear()
}

async function enter (place: Place, point: Point, callers: Callers): Promise<Scene> {
  const { sandbox, tenants, receiver } = place
  const tenantId = `team-${tenants.length}`
  tenants.push(tenantId)
  const cast = await place.enter(point.once === 'its owner dies' || point.once === 'its owner stands still')
  const fault = point.fault !== undefined && point.atFal === undefined ? sandbox.faults.add(point.fault) : null
  for (const fault of point.beside ?? []) sandbox.faults.add(fault)
  const { accepted, billedUnits } = sandbox.bill
  const pictures = picturesOf(callers)
  const body = { prompt: 'a lighthouse', ...(callers === 'seeded' ? { seed: 7 } : {}), ...(pictures > 1 ? { n: pictures } : {}) }
  const path = pictures > 1 ? '/v1/images/generations' : '/generate'
  const asks: Readonly<Record<string, string>> = callers === 'reuse' ? { 'falgate-cache': 'reuse' } : callers === 'keyed' ? { 'idempotency-key': 'once' } : {}
  const toldAs = (caller: Caller): Caller => callers === 'unseeded' || callers === 'keyed' ? 'first' : caller
  const tells = (caller: Caller): Record<string, string> => point.hooks === true ? { 'falgate-webhook': receiver.addressOf(tenantId, toldAs(caller)) } : {}
  // As OpenAI's clients say it. A retry without a name of falgate's own says nothing.
  const repeats = (caller: Caller): Record<string, string> => pictures > 1 ? { 'x-stainless-retry-count': caller === 'again' ? '1' : '0' } : {}
  return {
    ...place,
    ...cast,
    point,
    tenantId,
    pictures,
    billBefore: { accepted, billedUnits },
    fault,
    toldAs,
    askAs: caller => async (replica, { headers, signal } = {}) =>
      await replica.generate(body, { path, key: key(tenantId), headers: { ...asks, ...tells(caller), ...repeats(caller), ...headers }, ...(signal === undefined ? {} : { signal }) })
  }
}

/** Does fal's work have to last until the death? */
function runsOn ({ once, before, after }: Point): boolean {
  return (once !== undefined && stands[once] === 'running') || (before ?? after) === 'recordProgress'
}

/** Is the first caller told an id at once? */
function waitsForNothing ({ once }: Point): boolean {
  return once === 'the process drains' || once === 'its owner stands still'
}

/** Resolves when the doomed process stands at the point. */
async function stopAt ({ point, gate, sandbox, receiver }: Scene, id: string): Promise<void> {
  const { before, after, having = '', atFal, once } = point
  const met = point.receiver === undefined ? null : receiver.next(point.receiver)
  if (once === 'it ends') await gate.untilAnswered('finish')
  if (atFal !== undefined) {
    // fal is asked how it goes while the id is being stored; a death before that is there has a point of its own.
    const isStored = atFal === 'submit' || once !== undefined ? null : gate.untilAnswered('recordAccepted')
    await sandbox.faults.add(point.fault ?? { kind: 'hang', operation: atFal }).untilHit()
    await isStored
  } else if (before !== undefined) await gate.holdAt(before, 'before')
  else if (after !== undefined) await gate.holdAt(after, 'after', having === 'id' ? id : having)
  else await met
}

/** Rejects with a sentence when the doomed process never comes there. */
async function reached (stopped: Promise<void>, { says }: Point): Promise<void> {
  let isThere = false
  await Promise.race([stopped.then(() => { isThere = true }), until(() => isThere, { what: `a process stands at its point, ${says}` })])
}

/** The id of the tenant's generation, or of the latest, once all of its first caller have this status, or any. */
async function untilStatus ({ front, tenantId, pictures }: Scene, status: Status | null): Promise<string> {
  return await until(async () => {
    const { generations } = (await front.get(`/generations${status === null ? '' : `?status=${status}`}`, key(tenantId))).json()
    const [first]: readonly unknown[] = Array.isArray(generations) ? generations : []
    return first !== undefined && Array.isArray(generations) && generations.length === pictures && String(parseObject(JSON.stringify(first))['id'])
  }, { what: `the generation is ${status ?? 'there'}` })
}

async function rowsOf (ledger: Ledger, tenant: string): Promise<readonly Generation[]> {
  const { rows } = await ledger.list({ tenant, subject: '' }, { limit: 10, cursor: null, status: null })
  return await ledger.getMany(rows.map(({ id }) => id))
}

/** Where the generation stands when something happens; `null`: nobody is asked. */
const stands: Readonly<Record<Once, Status | null>> = {
  'it runs': 'running',
  'its caller leaves': 'running',
  'its caller cancels': 'running',
  'another one joins it': 'running',
  'the process drains': 'running',
  'its owner dies': 'running',
  'its owner stands still': null,
  'Redis is emptied': 'running',
  'it ends': null,
  'its reader deletes it': 'succeeded',
  'its files are gone': 'succeeded'
}

/** The generation that something happened to, and the answers to come of those who asked meanwhile. */
interface Happened { readonly id: string, readonly answers: ReadonlyArray<Promise<Reply | null>> }

const NOTHING_HAPPENED: Happened = { id: '', answers: [] }

async function happen (scene: Scene, first: Promise<Reply | null>, leaving: AbortController): Promise<Happened> {
  const { point, front, tenantId, askAs } = scene
  const { once } = point
  if (once === undefined) return NOTHING_HAPPENED
  if (stands[once] === 'succeeded') await first
  const id = stands[once] === null ? '' : await untilStatus(scene, stands[once])
  const stopped = stopAt(scene, id)
  const answers: Promise<Reply | null>[] = []
  switch (once) {
    case 'its caller leaves': leaving.abort(); break
    case 'its caller cancels': cancel(front, id, tenantId); break
    case 'another one joins it': case 'its files are gone': answers.push(patiently(async () => await askAs('second')(scene.doomed())).catch(() => null)); break
    case 'its reader deletes it': patiently(async () => await front.delete(`/generations/${id}`, key(tenantId))).catch(() => {}); break
    case 'the process drains': scene.doomed().child.kill('SIGTERM'); break
    case 'its owner dies': await scene.killOwner(); break
    case 'its owner stands still': await scene.fault?.untilHit(); front.child.kill('SIGSTOP'); break
    case 'Redis is emptied': await scene.flush(); break
    case 'it runs': case 'it ends': break
  }
  await reached(stopped, point)
  return { id, answers }
}

/** The owner goes on, and fal answers it at last. */
async function standUp (scene: Scene): Promise<void> {
  scene.fault?.release()
  scene.front.child.kill('SIGCONT')
  await untilStatus(scene, 'succeeded')
}

/** The answer is not waited for: it may never come. */
function cancel (replica: Replica, id: string, tenantId: string): void {
  patiently(async () => await replica.post(`/generations/${id}/cancel`, key(tenantId))).catch(() => {})
}

/** A second caller would forbid a cancel, and after a rollback has no name to join by; or it is there already; or would be told that nobody knows. */
function joins ({ once }: Point, callers: Callers): boolean {
  return callers !== 'unseeded' && !['its caller cancels', 'Redis is emptied', 'another one joins it', 'its owner stands still', 'its reader deletes it', 'its files are gone'].includes(once ?? '') && callers !== 'list'
}

/** All who were answered got the same pictures, or the same word that nobody knows. */
function checkAnswers (t: Test, { point: { ends, once }, pictures }: Scene, answers: ReadonlyArray<Reply | null>): void {
  const told = answers.filter(reply => reply !== null).filter(({ status }) => status !== 202)
  if (ends === 'succeeded' || ends === 'deleted') {
    t.same([...new Set(told.map(({ status }) => status))].filter(status => status !== 200), [], 'everybody who is left has the picture')
    const got = told.map(picturesIn)
    for (const one of got) t.equal(new Set(one).size, pictures, 'as many as were asked for')
    if (once === 'its files are gone') t.equal(new Set(told.map(({ headers }) => headers.get('falgate-generation'))).size, 2, 'and it is another one than that whose file is gone')
    else t.ok(new Set(got.flat()).size <= pictures, 'and everybody the same')
  } else if (ends === 'unknown') {
    t.same([...new Set(told.map(reply => reply.json()['code']))].filter(code => code !== 'outcome-unknown'), [], 'everybody who is left is told that nobody knows')
    t.equal(new Set(told.map(reply => reply.json()['generation_id'])).size, 1, 'of one generation')
  } else {
    t.notOk(told.some(({ status }) => status === 200), 'nobody has a picture')
  }
}

/** What an answer has for each picture. */
function picturesIn ({ text, json }: Reply): readonly string[] {
  const { data } = json()
  return Array.isArray(data) ? data.map(member => JSON.stringify(member)) : [text]
}

/** Who was not told that it is deleted asks once more. */
async function checkDeleted (t: Test, { tenantId }: Scene, heir: Replica, id: string): Promise<void> {
  t.equal((await patiently(async () => await heir.delete(`/generations/${id}`, key(tenantId)))).status, 204, 'it is deleted, or was')
  t.equal((await heir.get(`/generations/${id}`, key(tenantId))).status, 404, 'and nobody sees it any more')
}

/** Nothing was bought twice, the ledger's money is the bill, and nothing of the dead is left behind. */
async function checkBooks (t: Test, { point: { ends, once, purchases = 1 }, pictures, sandbox, mediaFolder, look, tenantId, tenants, billBefore }: Scene, heir: Replica): Promise<void> {
  await until(async () => await look(async ledger => {
    const { waiting, atUpstream } = await ledger.gauges()
    return atUpstream === 0 && [...waiting.values()].every(count => count === 0)
  }), { what: 'nothing waits or runs any more' })
  await look(async ledger => {
    const rows = await rowsOf(ledger, tenantId)
    const isThere = ends !== 'forgotten' && ends !== 'deleted'
    t.same(rows.map(({ phase }) => phase), isThere ? Array.from({ length: pictures * Math.max(1, purchases) }, () => ends) : [], 'one intent, one generation')
    for (const { id } of rows) t.match((await heir.get(`/generations/${id}`, key(tenantId))).json(), { status: ends, output: ends === 'succeeded' ? { images: [{}] } : null }, 'it is collected by its id')

    // What is missing is due to be tried again: the audit below says so.
    for (const { phase, media } of rows) {
      if (phase !== 'succeeded') continue
      t.equal(media?.length ?? 0, once === 'its files are gone' ? 0 : 1, 'it is noted where the address of its file stands, if there is one')
      for (const { file } of media ?? []) if (file !== null) t.equal(hash('sha256', await readFile(join(mediaFolder, file.slice(0, 2), file))), file.slice(0, 64), 'what is noted as stored is stored, and whole')
    }

    t.equal(sandbox.bill.accepted - billBefore.accepted, purchases * pictures, 'purchases')
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

/** Each of these callers was told of each event at least once, always by the same id, in order; and nothing is left to be told. */
async function checkHooks (t: Test, { point: { ends, tells }, receiver, look, tenantId, toldAs }: Scene, callers: readonly Caller[]): Promise<void> {
  await until(async () => await look(async ledger => (await ledger.hooks({ tenant: tenantId, stuck: false, limit: 10 })).length === 0), { what: 'nobody is left to be told' })
  await look(async ledger => {
    const rows = await rowsOf(ledger, tenantId)
    for (const caller of new Set(callers.map(toldAs))) {
      const told = receiver.toldAt(tenantId, caller)
      const inOrder: readonly string[] = caller === 'first' ? tells ?? [ends] : [ends]
      const events = told.filter(({ id }, place) => told.findIndex(one => one.id === id) === place)
      t.same(events.map(({ status }) => status), inOrder, `${caller}: each event is told, in order, and has one id however often`)
      t.same(told.map(({ status }) => status), told.map(({ status }) => status).toSorted((one, other) => inOrder.findIndex(word => word === one) - inOrder.findIndex(word => word === other)), 'none after the next one')
      t.same([...new Set(told.map(({ generation }) => generation))], rows.map(({ id }) => id), 'about this generation')
    }
    t.same(await ledger.takeHooks(10, []), [], 'nothing is left to be taken')
    t.same(await ledger.audit(), [])
  })
}
