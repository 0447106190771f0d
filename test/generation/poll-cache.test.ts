// What is kept for polls: how long, how much, and what it takes with it when it goes.

import t from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { createPollCache, type PollCache } from '../../src/generation/watch/poll-cache.ts'
import type { Follower, Track, Tracks } from '../../src/generation/watch/tracks.ts'
import { boughtRow } from '../support/bought.ts'
import { until } from '../support/until.ts'

const studio = { tenant: 'studio', subject: '' }

interface Scene {
  readonly polls: PollCache
  readonly row: Generation
  /** Ids that the ledger was asked for. */
  readonly asked: string[]
  /** Which followers each generation has. */
  readonly followers: Map<string, Follower>
  /** The generation as the ledger has it. */
  readonly ledgerHas: (row: Generation | null) => void
}

/** A ledger that has one generation under every id, and tracks that only count who follows. */
async function open (given: { readonly input?: string, readonly keptMs?: number } = {}): Promise<Scene> {
  const bought = await boughtRow()
  let row: Generation | null = { ...bought, input: given.input ?? bought.input }
  const asked: string[] = []
  const followers = new Map<string, Follower>()
  const tracks: Tracks = {
    join: (joined, follower, log) => {
      const track: Track = { row: joined, log: log ?? { from: 0, lines: [] } }
      followers.set(joined.id, follower)
      return { track, leave: () => { followers.delete(joined.id) } }
    }
  }
  const ledger = {
    read: async (id: string) => {
      asked.push(id)
      return row === null ? null : { ...row, id }
    },
    logs: async () => ({ from: 0, lines: [] })
  }
  const polls = createPollCache({ ledger, tracks, ...(given.keptMs === undefined ? {} : { keptMs: given.keptMs }) })
  return { polls, row: bought, asked, followers, ledgerHas: is => { row = is } }
}

t.test('what is not polled for a while is not followed any more, and the next poll asks the ledger', async t => {
  const { polls, asked, followers } = await open({ keptMs: 10 })
  await polls.now('one', studio)
  t.ok(followers.has('one'))
  await until(() => followers.size === 0)
  t.equal(polls.nowKept('one', studio), undefined)
  await polls.now('one', studio)
  t.same(asked, ['one', 'one'])
  await until(() => followers.size === 0)
})

t.test('what is polled again and again is kept, and the ledger is asked once', async t => {
  const keptMs = 500
  const { polls, asked } = await open({ keptMs })
  await polls.now('one', studio)
  let sinceMs = performance.now()
  let lastMs = sinceMs
  await until(async () => {
    await polls.now('one', studio)
    const nowMs = performance.now()
    if (nowMs - lastMs > keptMs / 2) {
      // This process had to wait for a processor: it begins again.
      sinceMs = nowMs
      asked.splice(0, asked.length, 'one')
    }
    lastMs = nowMs
    return nowMs > sinceMs + 2 * keptMs
  })
  t.same(asked, ['one'])
  polls.close()
})

for (const [what, end] of [
  ['has ended', (follower: Follower | undefined, row: Generation): void => { follower?.changed({ ...row, phase: 'failed' }) }],
  ['is lost', (follower: Follower | undefined): void => { follower?.lost() }]
] as const) {
  t.test(`of what ${what} the ledger is asked, and it is not followed any more`, async t => {
    const { polls, row, asked, followers } = await open()
    await polls.now('one', studio)
    followers.get('one')?.changed({ ...row, phase: 'running' })
    t.match(polls.nowKept('one', studio), { row: { id: 'one' } }, 'a change is not its end')
    end(followers.get('one'), row)
    t.equal(polls.nowKept('one', studio), undefined)
    t.equal(followers.size, 0)
    await polls.now('one', studio)
    t.same(asked, ['one', 'one'])
    polls.close()
  })
}

t.test('what has ended or is unknown is not kept', async t => {
  const { polls, row, followers, ledgerHas } = await open()
  ledgerHas({ ...row, phase: 'succeeded' })
  t.match(await polls.now('one', studio), { row: { phase: 'succeeded' } })
  ledgerHas(null)
  t.equal(await polls.now('two', studio), null)
  t.equal(followers.size, 0)
})

t.test('a full cache keeps what it has: other polls ask the ledger, and nothing more is followed', async t => {
  const { polls, asked, followers } = await open()
  for (let n = 0; n < 10_000; n++) await polls.now(`kept ${n}`, studio)
  asked.length = 0
  for (const id of ['late', 'later', 'late']) t.match(await polls.now(id, studio), { row: { id } })
  for (let n = 0; n < 10_000; n++) await polls.now(`kept ${n}`, studio)
  t.same(asked, ['late', 'later', 'late'])
  t.equal(followers.size, 10_000)
  polls.close()
  t.equal(followers.size, 0)
})

t.test('long inputs fill it sooner', async t => {
  const { polls, followers } = await open({ input: 'x'.repeat(1024 * 1024) })
  for (let n = 0; n < 40; n++) await polls.now(`long ${n}`, studio)
  t.equal(followers.size, 31)
  polls.close()
})

t.test('a poll that is under way at the close is answered, and nothing is followed for it afterwards', async t => {
  const { polls, asked, followers } = await open()
  const polled = polls.now('one', studio)
  t.same(asked, ['one'])
  polls.close()
  t.match(await polled, { row: { id: 'one' } })
  t.equal(followers.size, 0)
})
