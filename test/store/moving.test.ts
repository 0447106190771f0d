// A ledger that is exported from one store and imported into another is the same ledger there, in every direction.

import { createHash } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Problem } from '../../src/errors.ts'
import { entriesOf } from '../../src/generation/fields.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createDiskMovingPlace, declarations } from '../../src/store/disk/moving.ts'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { arriving } from '../../src/store/moving/arrive.ts'
import { movedTables, type MovingPlace } from '../../src/store/moving/entry.ts'
import { exportLedger, importLedger } from '../../src/store/moving/move.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, successOf } from '../support/admission.ts'
import { folderOf } from '../support/moving-scene.ts'
import { limitedRedisUrl } from '../support/redis.ts'
import { freshNamespace, plainClient } from '../support/redis-store.ts'
import { owner, startMs, type Store } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

// What bounds it is the number of steps; how long they take is the machine's affair.
t.setTimeout(600_000)

/** A place with a clock of its own. `use` opens the ledger there as a gateway does. */
interface Place {
  readonly clock: { nowMs: number }
  readonly use: () => Promise<Used>
  readonly moving: () => Promise<MovingPlace & { readonly close: () => Promise<void> }>
}

interface Used extends Pick<Store, 'ledger' | 'beside' | 'setServer'> {
  readonly audit: () => Promise<readonly string[]>
  /** As after a stop. */
  readonly close: () => Promise<void>
}

async function redisPlace (t: Test): Promise<Place> {
  const url = await limitedRedisUrl()
  const namespace = freshNamespace()
  const clock = { nowMs: startMs }
  const fixed = { now: () => clock.nowMs, server: () => 'first' }
  const client = plainClient(t, url)
  t.teardown(async () => {
    const keys = await client.keys(`{${namespace}}:*`)
    if (keys.length > 0) await client.del(...keys)
  })
  return {
    clock,
    use: async () => {
      const opened = [createRedisLedger({ url, times: walkTimes, namespace, accounts: () => [owner], clock: fixed })]
      const [ledger = fail()] = opened
      t.teardown(async () => { for (const one of opened) await one.close() })
      await ledger.connect()
      return {
        ledger,
        setServer: () => {},
        beside: async own => {
          const owners = own === null || 'kind' in own ? { account: own } : { accounts: () => own }
          const other = createRedisLedger({ url, times: walkTimes, namespace, ...owners, clock: fixed })
          opened.push(other)
          await other.connect()
          return other
        },
        audit: async () => {
          const { differences } = await ledger.recount({ isMending: false })
          return [...await ledger.audit(), ...differences.map(difference => JSON.stringify(difference))]
        },
        close: async () => {
          for (const replica of ['r1', 'r2', 'r3']) await ledger.release(replica, [])
          for (const one of opened) await one.close()
        }
      }
    },
    moving: async () => {
      const window = createRedisLedger({ url, times: walkTimes, namespace, account: null, clock: fixed })
      t.teardown(window.close)
      await window.connect()
      return { ...window.moving, close: window.close }
    }
  }
}

async function diskPlace (t: Test): Promise<Place> {
  const above = await folderOf(t)
  const folder = join(above, 'ledger')
  const clock = { nowMs: startMs }
  const wallNow = (): number => clock.nowMs
  const onDamage = (damage: object): void => { throw new Error(JSON.stringify(damage)) }
  return {
    clock,
    use: async () => {
      const { ledger } = await openDiskLedger({
        folder,
        times: walkTimes,
        accounts: () => [owner],
        wallNow,
        onDamage,
        onState: trouble => { if (trouble !== null) throw trouble },
        onCheckpointFailure: error => { throw error }
      })
      return { ledger, beside: ledger.beside, setServer: () => {}, audit: async () => ledger.audit(), close: ledger.close }
    },
    moving: async () => createDiskMovingPlace({ folder, times: walkTimes, wallNow, onDamage })
  }
}

function fail (): never {
  throw new Error('It is not there.')
}

/** Fills a place by a walk, and stops. */
async function fill (place: Place, steps: Parameters<typeof walk>[1]): Promise<void> {
  const used = await place.use()
  await walk({ ...used, setNow: atMs => { place.clock.nowMs = atMs }, close: used.close }, steps, startMs)
  await used.close()
}

/** All that operations tell of a ledger; of rows that which the process that looked after them does not take with it. */
async function told (ledger: Ledger, ids: readonly string[], nowMs: number): Promise<Record<string, unknown>> {
  const rows = await ledger.getMany(ids)
  const readers = ['studio', 'agency'].flatMap(tenant => ['', 'visitor'].map(subject => ({ tenant, subject })))
  const lists = await Promise.all(readers.map(async reader => (await ledger.list(reader, { limit: 100, cursor: null, status: null })).rows))
  const names = ['a', 'b'].flatMap(name => [`cache-${name}`, `reuse-${name}`])
  return {
    rows: rows.filter(({ phase }) => phase !== 'submitting').map(settledRow),
    lists: lists.map(rows => rows.map(({ id, output, input, cost, queuePosition }) => ({ id, output, input, cost, queuePosition }))),
    lookups: await Promise.all(names.map(async name => (await ledger.lookup(name))?.id ?? null)),
    balances: await ledger.balances(['studio', 'agency', '*'].flatMap(owner => [{ owner, per: 'day' as const }, { owner, per: 'month' as const }])),
    journal: await ledger.journal(0, nowMs + 1, 10_000),
    breakers: await ledger.breakers(),
    tokens: (await Promise.all(['studio', 'agency'].map(async tenant => (await ledger.tokens(tenant, { limit: 100, after: null })).tokens))).flat(),
    asides: await Promise.all(ids.map(async id => await ledger.aside(id))),
    logs: await Promise.all(ids.map(async id => await ledger.logs(id, 0)))
  }
}

function settledRow ({ owner: _, connection: __, ...row }: Generation): object {
  return row
}

async function clockOf (path: string): Promise<number> {
  const head: { readonly clockMs: number } = JSON.parse((await readFile(path, 'utf8')).split('\n', 1).join(''))
  return head.clockMs
}

async function idsOf (folder: string): Promise<readonly string[]> {
  const text = await readFile(folder, 'utf8')
  return [...text.matchAll(/^\["(?:rows|aliases)","([^"]+)"/gm)].map(([, id = '']) => id).toSorted()
}

const places = { Redis: redisPlace, DATA_DIR: diskPlace } as const
const kinds = ['Redis', 'DATA_DIR'] as const

for (const from of kinds) {
  for (const to of kinds) {
    t.test(`a ledger that is moved from ${from} to ${to} is the same there`, async t => {
      for (const [nth, steps] of fc.sample(walks(200), { seed: 19, numRuns: from === 'Redis' ? 3 : 12 }).entries()) {
        const [source, target] = [await places[from](t), await places[to](t)]
        await fill(source, steps)
        const path = join(await folderOf(t), 'ledger.jsonl')
        const before = await source.use()
        const leaving = await source.moving()
        await exportLedger(leaving, { about: { version: '1', store: from }, isMove: false, to: path })
        // That of a ledger on disk never goes back, so it may be ahead of the clock of the walk.
        target.clock.nowMs = await clockOf(path)
        const ids = await idsOf(path)
        const expected = await told(before.ledger, ids, target.clock.nowMs)
        const submitting = (await before.ledger.getMany(ids)).filter(({ phase }) => phase === 'submitting')
        await Promise.all([leaving.close(), before.close()])

        const arriving = await target.moving()
        await importLedger(arriving, { from: path, takesBackup: true, declarations })
        await arriving.close()
        const after = await target.use()
        t.same(await after.audit(), [], `walk ${nth}: it is sound`)
        const found = await told(after.ledger, ids, target.clock.nowMs)
        const unknown = new Set(submitting.map(({ id }) => id))
        const without = (rows: unknown): unknown => Array.isArray(rows) ? rows.filter((row: { id: string }) => !unknown.has(row.id)) : rows
        const journal = Array.isArray(found['journal']) ? found['journal'].slice(0, found['journal'].length - submitting.length) : []
        t.same({ ...found, rows: without(found['rows']), journal, breakers: null }, { ...expected, journal: expected['journal'], breakers: null }, `walk ${nth}: everything is told as before`)
        const probeless = (breakers: unknown): unknown => Array.isArray(breakers) ? breakers.map(({ probe: _, ...breaker }: Record<string, unknown>) => breaker) : breakers
        t.same(probeless(found['breakers']), probeless(expected['breakers']))
        t.same((await after.ledger.getMany([...unknown])).map(({ phase }) => phase), submitting.map(() => 'unknown'), 'what was being submitted is unknown')
        await after.close()
      }
    })
  }
}

/** A place in which something waits, something is at fal, and something has ended. */
async function small (place: Place): Promise<{ readonly waiting: string, readonly running: string, readonly ended: string }> {
  const { ledger, close } = await place.use()
  const [ended, running, waiting] = [admissionOf({ cacheName: 'cache-ended' }), admissionOf(), admissionOf()]
  for (const admission of [ended, running]) {
    await ledger.admit(admission)
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 100 })
    await ledger.recordAccepted(admission.id, 1, `request-${admission.id}`)
  }
  await ledger.finish(ended.id, 1, `request-${ended.id}`, successOf())
  await ledger.admit(waiting)
  await ledger.renew('r1', [])
  await close()
  return { waiting: waiting.id, running: running.id, ended: ended.id }
}

async function moved (place: Place, path: string, { isMove = true, onCount = () => {} }: { readonly isMove?: boolean, readonly onCount?: () => void } = {}): Promise<void> {
  const moving = await place.moving()
  await exportLedger(moving, { about: { version: '1', store: 'test' }, isMove, to: path, onCount }).finally(moving.close)
}

async function arrived (place: Place, path: string, { takesBackup = false, onCount = () => {} }: { readonly takesBackup?: boolean, readonly onCount?: () => void } = {}): Promise<void> {
  const moving = await place.moving()
  await importLedger(moving, { from: path, takesBackup, declarations, onCount }).finally(moving.close)
}

/** Does a gateway buy there? Otherwise why not. */
async function buys (place: Place): Promise<string> {
  try {
    const { ledger, close } = await place.use()
    try {
      return (await ledger.admit(admissionOf())).outcome
    } finally {
      await close()
    }
  } catch (error) {
    return error instanceof Problem ? String(error.facts.cause) : String(error)
  }
}

for (const kind of kinds) {
  t.test(`a ledger in ${kind} that was moved away buys nothing, until an operator takes it back`, async t => {
    const place = await places[kind](t)
    await small(place)
    const path = join(await folderOf(t), 'ledger.jsonl')
    await moved(place, path)
    t.equal((await stat(path)).mode & 0o777, 0o600, 'the file is its owner\'s')
    t.match(await buys(place), /moved away with falgate export --move/)
    await t.rejects(moved(place, path + '2'), /moved away/, 'it does not leave twice')
    await t.rejects(arrived(place, path), /there is a ledger already/)
    const moving = await place.moving()
    t.equal(await moving.takeBack(), 'fal main')
    await moving.close()
    t.equal(await buys(place), 'bought')
  })

  t.test(`an export of ${kind} that breaks off leaves a ledger that buys nothing, and may be done again`, async t => {
    const place = await places[kind](t)
    await small(place)
    const path = join(await folderOf(t), 'ledger.jsonl')
    await t.rejects(moved(place, path, { onCount: () => { throw new Error('no more') } }), /no more/)
    await t.rejects(stat(path), /ENOENT/, 'there is no file that could be taken for a ledger')
    t.match(await buys(place), /was begun and not finished/)
    await moved(place, path)
    t.match(await buys(place), /moved away/)
  })

  t.test(`an import into ${kind} that breaks off is no ledger, and may be done again`, async t => {
    const [source, target] = [await places.Redis(t), await places[kind](t)]
    const ids = await small(source)
    const path = join(await folderOf(t), 'ledger.jsonl')
    await moved(source, path)
    await t.rejects(arrived(target, path, { onCount: () => { throw new Error('no more') } }), /no more/)
    await arrived(target, path)
    const { ledger, audit, close } = await target.use()
    t.same(await audit(), [])
    t.same((await ledger.getMany([ids.waiting, ids.running, ids.ended])).map(({ phase }) => phase), ['waiting', 'accepted', 'succeeded'])
    await close()
  })

  t.test(`times in ${kind} are told by the clock of the place that a ledger came to, and what is at fal is looked after at once`, async t => {
    const [source, target] = [await places[kind](t), await places[kind](t)]
    const { running, ended } = await small(source)
    const path = join(await folderOf(t), 'ledger.jsonl')
    await moved(source, path)
    const hourMs = 3_600_000
    target.clock.nowMs = source.clock.nowMs - 5 * hourMs
    await arrived(target, path)
    const { ledger, close } = await target.use()
    const [row] = await ledger.getMany([ended])
    t.equal(row?.finishedAtMs, target.clock.nowMs)
    t.same((await ledger.journal(0, Number.MAX_SAFE_INTEGER, 10)).map(({ atMs }) => atMs), [startMs], 'what was spent was spent then')
    t.same((await ledger.sweep('r2', 10)).map(({ row }) => row.id), [running])
    await close()
  })
}

t.test('a ledger on Redis does not leave while a gateway is there', async t => {
  const place = await redisPlace(t)
  const { ledger, close } = await place.use()
  await ledger.heartbeat('r1')
  const path = join(await folderOf(t), 'ledger.jsonl')
  await t.rejects(moved(place, path), /gateways are running \(r1\); stop all of them first/)
  t.equal((await ledger.admit(admissionOf())).outcome, 'bought', 'nothing has changed')
  await close()
  t.equal(await buys(place), 'bought')
})

/** With the last line that belongs to the others. */
function signed (text: string): string {
  const lines = text.split('\n').slice(0, -2).map(line => line + '\n')
  const end = lines.filter(line => line.startsWith('[')).length
  return lines.join('') + JSON.stringify({ end, sha256: createHash('sha256').update(lines.join('')).digest('hex') }) + '\n'
}

t.test('a backup is no move, and a file that is not whole or was changed is refused before anything is written', async t => {
  const [source, target] = [await redisPlace(t), await redisPlace(t)]
  await small(source)
  const path = join(await folderOf(t), 'ledger.jsonl')
  await moved(source, path, { isMove: false })
  t.equal(await buys(source), 'bought', 'it goes on')
  await t.rejects(arrived(target, path), /is a backup: .* may be bought again/)
  const whole = await readFile(path, 'utf8')
  for (const at of [0, 1, 10, whole.indexOf('\n') + 1, Math.floor(whole.length / 2), whole.lastIndexOf('\n{') + 1, whole.length - 3]) {
    await writeFile(path, whole.slice(0, at))
    await t.rejects(arrived(target, path, { takesBackup: true }), /is no whole ledger|is no ledger that/, `cut at ${at} of ${whole.length}`)
  }
  await writeFile(path, whole.replace('studio', 'agency'))
  await t.rejects(arrived(target, path, { takesBackup: true }), /is no whole ledger/)
  // What is signed as whole may still be of no use.
  await writeFile(path, signed(whole.replace(/"createdAtMs":"\d+"/, '"createdAtMs":"soon"')))
  await t.rejects(arrived(target, path, { takesBackup: true }), /is no whole ledger: line \d+ cannot be read/)
  await writeFile(path, signed(whole.replace('["rows"', '["rowz"')))
  await t.rejects(arrived(target, path, { takesBackup: true }), /The table "rowz" is not known/)
  const moving = await target.moving()
  await t.rejects(moving.leave(false), /there is no ledger/, 'nothing was written')
  await moving.close()
  await writeFile(path, whole)
  await arrived(target, path, { takesBackup: true })
  await t.rejects(arrived(target, path, { takesBackup: true }), /there is a ledger already/)
})

t.test('an export writes over no file', async t => {
  const place = await redisPlace(t)
  await small(place)
  const path = join(await folderOf(t), 'ledger.jsonl')
  await writeFile(path, 'mine')
  await t.rejects(moved(place, path), /there is a file already/)
  t.equal(await readFile(path, 'utf8'), 'mine')
  t.equal(await buys(place), 'bought')
})

for (const [table, { fields }] of Object.entries(declarations)) {
  t.test(`every moment of ${table} is told by the clock of the place that it comes to, also one that is declared tomorrow`, async t => {
    const [leftMs, nowMs] = [startMs, startMs - 5_000_000]
    const names = entriesOf(fields).map(([name]) => name)
    const image = Object.fromEntries(names.map(name => [name, String(leftMs - 7)]))
    const figures = { ...image, lineAtMs: String(leftMs), lineNumber: '0', notices: '0' }
    const known = movedTables.find(name => name === table)
    const entries = known === undefined ? [] : [{ table: known, key: 'k', image: known === 'rows' ? { ...image, phase: 'succeeded' } : image, texts: {} }]
    const ledger = arriving({ identity: { upstream: 'fal main', otherAccounts: [], clockMs: leftMs }, entries: Readable.from(entries), figures }, { nowMs, declarations })
    let found: Readonly<Record<string, string>> = {}
    for await (const { image } of ledger.entries) found = image
    if (known === undefined) found = ledger.figures()
    // By their names, so that one which is declared as a plain number is told here.
    const isMoment = (name: string): boolean => table !== 'journal' && (/Ms$/.test(name) || name === 'until' || (table === 'granted' && name === 'count'))
    const history = new Set(['lineAtMs', 'nowMs'])
    t.same(names.filter(name => found[name] === String(nowMs - 7)).toSorted(), names.filter(name => isMoment(name) && !history.has(name)).toSorted())
  })
}
