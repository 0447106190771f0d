// Following a generation, on the ledger in memory: a follower that reads gets every state and line, one that does not read needs bounded memory, and polls cost nothing.

import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { statusOf } from '../../src/generation/phases.ts'
import type { LogPiece } from '../../src/generation/upstream.ts'
import { createFollow, type Follow } from '../../src/generation/watch/follow.ts'
import type { Moment } from '../../src/generation/watch/moments.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, never, freshId, successOf, times, traceLost } from '../support/admission.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

const studio = { tenant: 'studio', subject: '' }
const running = { kind: 'running' } as const

interface Scene {
  readonly ledger: Ledger
  readonly follow: Follow
  /** How often each of the ledger's operations was called. */
  readonly calls: Map<string, number>
  readonly buy: () => Promise<Generation>
  /** Claims the next one and reports it as accepted. */
  readonly accept: () => Promise<void>
  /** Lets it end in the queue and its time be over, and tells nobody. */
  readonly forget: (id: string) => Promise<void>
}

function scene (t: Test, lookAgainMs = 1000): Scene {
  const calls = new Map<string, number>()
  let atMs = Date.now()
  const memory = createMemoryLedger({ times, now: () => atMs })
  let silent = false
  const listenUnlessSilent: Ledger['listen'] = listener => memory.listen(change => { if (!silent) listener(change) })
  const ledger = new Proxy<Ledger>(memory, {
    get (target, name) {
      const operation: unknown = name === 'listen' ? listenUnlessSilent : Reflect.get(target, name)
      if (typeof operation !== 'function') return operation
      return (...given: unknown[]): unknown => {
        calls.set(String(name), (calls.get(String(name)) ?? 0) + 1)
        return Reflect.apply(operation, target, given)
      }
    }
  })
  const fail = (operation: string, error: unknown): void => { t.fail(operation, { found: error }) }
  const watch = createWatch(ledger, error => { fail('looking', error) }, { lookAgainMs })
  const follow = createFollow({ ledger, watch, onTrouble: fail })
  t.teardown(async () => {
    follow.close()
    watch.close()
    await ledger.close()
  })
  return {
    ledger,
    follow,
    calls,
    buy: async () => {
      const answer = await ledger.admit(admissionOf())
      if (answer.outcome !== 'bought') throw new Error(answer.outcome)
      return answer.row
    },
    accept: async () => {
      const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 100 })
      if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
      await ledger.recordAccepted(claimed.row.id, 1, 'request-' + claimed.row.id)
    },
    forget: async id => {
      silent = true
      await ledger.cancel(id, studio)
      atMs += times.resultTtlMs
      await ledger.sweep('r1', 10)
      silent = false
    }
  }
}

function piece (from: number, to: number): LogPiece {
  return { from, lines: Array.from({ length: to - from }, (_, n) => ({ message: `line ${from + n}`, timestamp: null, level: null })) }
}

/** Reads all moments as they come; `told` grows meanwhile. */
function listen (moments: AsyncIterable<Moment> | null): { readonly told: Moment[], readonly over: Promise<void> } {
  if (moments === null) throw new Error('there is nothing to follow')
  const told: Moment[] = []
  return { told, over: (async () => { for await (const moment of moments) told.push(moment) })() }
}

function states (told: readonly Moment[]): string[] {
  return told.filter(({ moved }) => moved).map(({ row }) => `${statusOf(row.phase)} ${row.queuePosition}`)
}

function lines (told: readonly Moment[]): string[] {
  return told.flatMap(({ log }) => log.lines.map(({ message }, n) => `${log.from + n} ${message}`))
}

function forever (): AbortSignal {
  return new AbortController().signal
}

t.test('a reader is told every state, every line once, and at the end the output', together, async t => {
  const { ledger, follow, buy, accept } = scene(t)
  const { id } = await buy()
  const { told, over } = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await until(() => told.length === 1)
  await accept()
  await ledger.recordProgress(id, 1, 'request-' + id, { kind: 'queued', position: 2 })
  await ledger.recordProgress(id, 1, 'request-' + id, { kind: 'queued', position: 1 }, piece(0, 1))
  await ledger.recordProgress(id, 1, 'request-' + id, running, piece(1, 3))
  await ledger.finish(id, 1, 'request-' + id, successOf(), piece(3, 4))
  await over
  t.same(states(told), ['queued 0', 'queued null', 'queued 2', 'queued 1', 'running null', 'succeeded null'])
  t.same(lines(told), ['0 line 0', '1 line 1', '2 line 2', '3 line 3'])
  t.match(told.at(-1), { row: { output: /images/, cost: 60_000 } })
  t.equal(follow.streams, 0)
})

t.test('the position in our own queue is told while it moves', together, async t => {
  const { follow, buy, accept } = scene(t)
  await buy()
  await buy()
  const { id } = await buy()
  const gone = new AbortController()
  const { told, over } = listen(await follow.moments(id, studio, { logged: 0, signal: gone.signal }))
  await until(() => states(told).includes('queued 2'))
  await accept()
  await until(() => states(told).includes('queued 1'))
  await accept()
  await until(() => states(told).includes('queued 0'))
  t.same(states(told), ['queued 2', 'queued 1', 'queued 0'])
  gone.abort()
  await over
})

t.test('a follower that comes back goes on with the line after the last one that it got', together, async t => {
  const { ledger, follow, buy, accept } = scene(t)
  const { id } = await buy()
  await accept()
  await ledger.recordProgress(id, 1, 'request-' + id, running, piece(0, 5))
  const gone = new AbortController()
  const { told, over } = listen(await follow.moments(id, studio, { logged: 3, signal: gone.signal }))
  await until(() => lines(told).length === 2)
  t.same(lines(told), ['3 line 3', '4 line 4'])
  gone.abort()
  await over
  await ledger.finish(id, 1, 'request-' + id, successOf(), piece(5, 6))
  const later = listen(await follow.moments(id, studio, { logged: 5, signal: forever() }))
  await later.over
  t.same(states(later.told), ['succeeded null'])
  t.same(lines(later.told), ['5 line 5'])
})

t.test('an outcome that nobody knows is the last moment, too', together, async t => {
  const { ledger, follow, buy, accept } = scene(t)
  const { id } = await buy()
  const { told, over } = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await until(() => told.length === 1)
  await accept()
  await ledger.recordUnknown(id, 1, 'request-' + id, traceLost)
  await over
  t.match(told.at(-1), { row: { phase: 'unknown', failure: { code: 'outcome-unknown' } } })
})

t.test('other people\'s generations cannot be followed', together, async t => {
  const { follow, buy } = scene(t)
  const { id } = await buy()
  for (const reader of [{ tenant: 'press', subject: '' }, { tenant: 'studio', subject: 'visitor' }]) {
    t.equal(await follow.moments(id, reader, { logged: 0, signal: forever() }), null)
    t.equal(await follow.now(id, reader), null)
  }
  t.match(await follow.now(id, studio), { row: { id } })
  t.equal(await follow.now(id, { tenant: 'press', subject: '' }), null, 'nor when its reader has just asked')
})

t.test('through an alias a reader sees its own id and nothing of the buyer', together, async t => {
  const { ledger, follow, accept } = scene(t)
  const asked = { cacheName: 'shared', seed: '1', cacheGroup: 'acme' }
  const bought = await ledger.admit(admissionOf(asked))
  const joined = await ledger.admit(admissionOf({ ...asked, tenant: 'press' }))
  if (bought.outcome !== 'bought' || joined.outcome !== 'joined') throw new Error('nobody joined')
  const press = { tenant: 'press', subject: '' }
  const { told, over } = listen(await follow.moments(joined.row.id, press, { logged: 0, signal: forever() }))
  const own = listen(await follow.moments(bought.row.id, studio, { logged: 0, signal: forever() }))
  await until(() => told.length === 1 && own.told.length === 1)
  await accept()
  await ledger.recordProgress(bought.row.id, 1, 'request-' + bought.row.id, running)
  t.match(await follow.now(joined.row.id, press), { row: { id: joined.row.id, tenant: 'press', accounts: [] } })
  await ledger.finish(bought.row.id, 1, 'request-' + bought.row.id, successOf())
  await Promise.all([over, own.over])
  t.ok(told.every(({ row }) => row.id === joined.row.id && row.tenant === 'press' && row.accounts.length === 0))
  t.ok(own.told.every(({ row }) => row.id === bought.row.id && row.tenant === 'studio' && row.accounts.length === 2))
})

t.test('a reader that does not read holds nobody up, costs bounded memory, and still gets the last state', together, async t => {
  const { ledger, follow, buy, accept } = scene(t)
  const { id } = await buy()
  const moments = await follow.moments(id, studio, { logged: 0, signal: forever() })
  const idle = moments?.[Symbol.asyncIterator]()
  await idle?.next()
  const quick = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await until(() => quick.told.length === 1)
  await accept()
  for (let position = 500; position > 0; position -= 1) {
    await ledger.recordProgress(id, 1, 'request-' + id, { kind: 'queued', position }, piece(500 - position, 501 - position))
    await setImmediate()
  }
  await ledger.finish(id, 1, 'request-' + id, successOf())
  await quick.over
  t.equal(quick.told.filter(({ moved }) => moved).length, 503)
  t.equal(lines(quick.told).length, 500)
  const rest: Moment[] = []
  for (let step = await idle?.next(); step !== undefined && step.done !== true; step = await idle?.next()) rest.push(step.value)
  t.ok(rest.length <= 17, `${rest.length} moments were left`)
  t.equal(lines(rest).length, 200, 'lines that are not kept any more are missed')
  t.match(rest.at(-1), { row: { phase: 'succeeded' } })
})

t.test('1,000 readers of one generation are one subscription and a handful of questions', together, async t => {
  const { ledger, follow, buy, accept, calls } = scene(t)
  const { id } = await buy()
  const readers = await Promise.all(Array.from({ length: 1000 }, async () => listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))))
  await until(() => readers.every(({ told }) => told.length === 1))
  t.equal(follow.streams, 1000)
  calls.clear()
  await accept()
  await ledger.recordProgress(id, 1, 'request-' + id, running, piece(0, 2))
  await ledger.finish(id, 1, 'request-' + id, successOf(), piece(2, 3))
  await Promise.all(readers.map(async ({ over }) => { await over }))
  t.ok(readers.every(({ told }) => lines(told).length === 3 && told.at(-1)?.row.phase === 'succeeded'))
  t.equal(calls.get('listen') ?? 0, 0)
  t.ok((calls.get('getMany') ?? 0) <= 2 && (calls.get('logs') ?? 0) <= 3 && (calls.get('getStatuses') ?? 0) <= 2, JSON.stringify([...calls]))
})

t.test('polls are answered without asking the ledger, and see what changed', together, async t => {
  const { ledger, follow, buy, accept, calls } = scene(t)
  const { id } = await buy()
  await follow.now(id, studio)
  await accept()
  await ledger.recordProgress(id, 1, 'request-' + id, running, piece(0, 2))
  await until(async () => {
    const moment = await follow.now(id, studio)
    return moment?.row.phase === 'running' && moment.log.lines.length === 2
  })
  calls.clear()
  for (let poll = 0; poll < 10_000; poll += 1) await follow.now(id, studio)
  t.equal((calls.get('read') ?? 0) + (calls.get('getMany') ?? 0) + (calls.get('logs') ?? 0), 0)
  await ledger.finish(id, 1, 'request-' + id, successOf())
  await until(async () => (await follow.now(id, studio))?.row.phase === 'succeeded')
  t.match(await follow.now(id, studio), { row: { output: /images/ }, log: { lines: [{ message: 'line 0' }, {}] } })
})

t.test('when the process lets its readers go they end without a last moment, and polls go on', together, async t => {
  const { follow, buy } = scene(t)
  const { id } = await buy()
  const { told, over } = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await until(() => told.length === 1)
  follow.drain()
  await over
  t.same(states(told), ['queued 0'])
  t.match(await follow.now(id, studio), { row: { id } })
  const later = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await later.over
  t.same(states(later.told), ['queued 0'])
})

t.test('a reader that cannot come back is told the end after the others were let go, and is let go with everything', together, async t => {
  const { ledger, follow, buy, accept } = scene(t)
  const { id } = await buy()
  const stay = async () => listen(await follow.moments(id, studio, { logged: 0, signal: forever(), comesBack: false }))
  const early = await stay()
  await until(() => early.told.length === 1)
  follow.drain()
  const late = await stay()
  await until(() => follow.staying === 2)
  await accept()
  await ledger.finish(id, 1, 'request-' + id, successOf())
  await Promise.all([early.over, late.over])
  for (const { told } of [early, late]) t.equal(told.at(-1)?.row.phase, 'succeeded')
  t.equal(follow.staying, 0)

  const { id: other } = await buy()
  const { told, over } = listen(await follow.moments(other, studio, { logged: 0, signal: forever(), comesBack: false }))
  await until(() => told.length === 1)
  follow.close()
  await over
  t.equal(follow.staying, 0)
})

t.test('what the ledger has forgotten is not told for ever: streams end, and polls say so', together, async t => {
  const { ledger, follow, buy, forget } = scene(t, 5)
  const { id } = await buy()
  await follow.now(id, studio)
  const { told, over } = listen(await follow.moments(id, studio, { logged: 0, signal: forever() }))
  await until(() => told.length === 1)
  await forget(id)
  await over
  t.same(states(told), ['queued 0'])
  t.same(await ledger.getMany([id]), [])
  await until(async () => await follow.now(id, studio) === null)
})
