// Tracks: what followers of one generation are told, in which order, and that nothing is left when they have gone.

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { Change } from '../../src/generation/changes.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { LogPiece } from '../../src/generation/upstream.ts'
import { createTracks, type Follower, type Tracks } from '../../src/generation/watch/tracks.ts'
import type { Listener } from '../../src/generation/watch/watch.ts'
import { boughtRow } from '../support/bought.ts'

interface Scene {
  readonly tracks: Tracks
  readonly row: Generation
  /** What a follower was told. */
  readonly told: string[]
  readonly follower: Follower
  /** What attends the generation. */
  readonly listeners: Listener[]
  readonly listener: () => Listener
  /** Whether the ledger can tell log lines. */
  readonly away: (isAway: boolean) => void
  readonly troubles: string[]
}

function piece (from: number, to: number): LogPiece {
  return { from, lines: Array.from({ length: to - from }, (_, n) => ({ message: `line ${from + n}`, timestamp: null, level: null })) }
}

/** A generation whose log has three lines. */
async function open (): Promise<Scene> {
  const row = await boughtRow()
  const told: string[] = []
  const troubles: string[] = []
  const listeners: Listener[] = []
  let isAway = false
  const tracks = createTracks({
    ledger: {
      logs: async (_id, from) => {
        await setImmediate()
        if (isAway) throw new Error('away')
        return piece(from, 3)
      }
    },
    watch: {
      attend: (_id, listener) => {
        listeners.push(listener)
        return () => { listeners.splice(listeners.indexOf(listener), 1) }
      }
    },
    onTrouble: operation => { troubles.push(operation) }
  })
  return {
    tracks,
    row,
    told,
    follower: { changed: ({ phase }) => { told.push(phase) }, logged: () => { told.push('lines') }, lost: () => { told.push('lost') } },
    listeners,
    listener: () => {
      const [first] = listeners
      if (first === undefined) throw new Error('nothing is attended')
      return first
    },
    away: is => { isAway = is },
    troubles
  }
}

function changeOf (row: Generation, given: Partial<Change>): Change {
  return { ...row, version: row.version + 1, ...given }
}

t.test('the end comes after its last lines, and nothing comes after the end', async t => {
  const { tracks, row, told, follower, listener } = await open()
  const { track } = tracks.join(row, follower)
  const { ended, changed, gone } = listener()
  ended({ ...row, version: row.version + 2, phase: 'failed', logged: 3 })
  changed?.(changeOf(row, { version: row.version + 3, phase: 'running' }))
  ended({ ...row, version: row.version + 2, phase: 'failed', logged: 3 })
  t.same(told, [], 'the lines are not there yet')
  await setImmediate()
  await setImmediate()
  t.same(told, ['lines', 'failed'])
  t.equal(track.row.phase, 'failed')
  t.equal(track.log.lines.length, 3)
  gone?.({ lastSeen: 'failed' })
  t.same(told, ['lines', 'failed'])
})

t.test('followers are told that the ledger does not know it any more, and hear of it again should it be put back', async t => {
  const { tracks, row, told, follower, listener } = await open()
  tracks.join(row, follower)
  listener().gone?.({ lastSeen: 'waiting' })
  listener().changed?.(changeOf(row, { phase: 'running' }))
  t.same(told, ['lost', 'running'])
})

t.test('the end is told without its last lines when the ledger cannot tell them', async t => {
  const { tracks, row, told, follower, listener, away, troubles } = await open()
  tracks.join(row, follower)
  away(true)
  listener().ended({ ...row, version: row.version + 1, phase: 'cancelled', logged: 3 })
  await setImmediate()
  await setImmediate()
  t.same(told, ['cancelled'])
  t.same(troubles, ['read-log'])
})

t.test('lines that could not be had come with the next change, and are told once', async t => {
  const { tracks, row, told, follower, listener, away } = await open()
  const { track } = tracks.join(row, follower)
  away(true)
  listener().changed?.(changeOf(row, { phase: 'running', logged: 3 }))
  await setImmediate()
  await setImmediate()
  t.same(told, ['running'])
  away(false)
  listener().changed?.(changeOf(row, { version: row.version + 2, phase: 'running', logged: 3 }))
  await setImmediate()
  await setImmediate()
  t.same(told, ['running', 'lines'], 'callers see no difference in the second change')
  t.equal(track.log.lines.length, 3)
})

t.test('a change that is older than what is known is ignored', async t => {
  const { tracks, row, told, follower, listener } = await open()
  const { track } = tracks.join({ ...row, version: 5, phase: 'running' }, follower)
  listener().changed?.(changeOf(row, { version: 4, phase: 'accepted' }))
  t.same(told, [])
  t.equal(track.row.phase, 'running')
})

t.test('a row that was read after the last change that was heard of is told to all: no caller is told an older state afterwards', async t => {
  const { tracks, row, told, follower } = await open()
  const { track } = tracks.join(row, follower)
  const alias = { ...row, id: 'alias', tenant: 'press', version: row.version + 1, phase: 'running' } as const
  const late = tracks.join(alias, { changed: () => {}, logged: () => {}, lost: () => {} })
  t.equal(late.track.row.phase, 'running')
  t.same(told, ['running'])
  t.match(track.row, { id: row.id, tenant: row.tenant }, 'under the names that it had')
})

t.test('a generation is attended once, as long as anybody follows it', async t => {
  const { tracks, row, follower, listeners } = await open()
  const one = tracks.join(row, follower)
  const other = tracks.join(row, { ...follower })
  t.equal(other.track, one.track)
  t.equal(listeners.length, 1)
  one.leave()
  t.equal(listeners.length, 1)
  other.leave()
  t.equal(listeners.length, 0)
  const later = tracks.join(row, follower)
  t.not(later.track, one.track)
  later.leave()
  t.equal(listeners.length, 0)
})

t.test('a caller that follows after the end gets a track of its own, and leaves that one', async t => {
  const { tracks, row, told, follower, listeners, listener } = await open()
  const early = tracks.join(row, { changed: () => {}, logged: () => {}, lost: () => {} })
  listener().ended({ ...row, version: row.version + 1, phase: 'failed' })
  const late = tracks.join(row, follower)
  t.not(late.track, early.track)
  early.leave()
  t.equal(listeners.length, 1)
  listener().changed?.(changeOf(row, { phase: 'running' }))
  t.same(told, ['running'])
  late.leave()
  t.equal(listeners.length, 0)
})
