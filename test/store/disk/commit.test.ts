// When answers are let go: not before what they tell is on disk, and a right that could not be written down was never given.

import t, { type Test } from 'tap'
import { Problem } from '../../../src/errors.ts'
import { createChanges } from '../../../src/store/disk/changes.ts'
import { createCommit, type Commit } from '../../../src/store/disk/commit.ts'
import { until } from '../../support/until.ts'

interface Scene {
  readonly commit: Commit
  /** What was written, group by group. */
  readonly written: string[][]
  /** Ends the write that is under way. */
  readonly end: (error?: Error) => void
  readonly isWriting: () => boolean
  readonly told: string[]
  readonly states: unknown[]
  /** An operation that changes a row; with `undo` a right. */
  readonly grant: (id: string, undone?: string[]) => Promise<string>
  readonly record: (id: string) => Promise<string>
  readonly look: (what?: string) => Promise<string>
  /** One that nobody waits for. */
  readonly renew: (id: string) => Promise<string>
  setFull: (isFull: boolean) => void
}

function scene (t: Test): Scene {
  const changes = createChanges()
  const written: string[][] = []
  const told: string[] = []
  const states: unknown[] = []
  let isFull = false
  let settle: ((error?: Error) => void) | null = null
  const commit = createCommit({
    changes,
    write: async changed => {
      const ids = [...changed.get('rows') ?? []]
      await new Promise<void>((resolve, reject) => { settle = error => { error === undefined ? resolve() : reject(error) } })
      written.push(ids)
    },
    isFull: () => isFull,
    makeRoom: async () => !isFull,
    advance: () => {},
    tell: change => { told.push(change.id) },
    onState: trouble => { states.push(trouble) }
  })
  t.teardown(() => { settle?.() })
  const change = (id: string): string => {
    changes.note('rows', id)
    commit.tell({ id, version: 1, phase: 'waiting', cancelWished: false, queuePosition: null, startedAtMs: null, doubtSinceMs: null, logged: 0, isQueueEmpty: true })
    return id
  }
  return {
    commit,
    written,
    told,
    states,
    isWriting: () => settle !== null,
    end: error => {
      const now = settle
      settle = null
      now?.(error)
    },
    grant: async (id, undone) => await commit.run('admit', () => change(id), () => {
      undone?.push(id)
      changes.note('rows', id)
      return true
    }),
    record: async id => await commit.run('finish', () => change(id), null),
    renew: async id => await commit.run('renew', () => change(id), null),
    look: async (what = 'seen') => await commit.run('read', () => what, null),
    setFull: now => { isFull = now }
  }
}

/** Has it settled by the time that everything else of this turn has run? */
async function isPending (promise: Promise<unknown>): Promise<boolean> {
  let pending = true
  const note = (): void => { pending = false }
  promise.then(note, note)
  for (let turn = 0; turn < 3; turn += 1) await new Promise(resolve => { setImmediate(resolve) })
  return pending
}

t.test('what changed is answered, published and shown to readers when it is on disk, and not before', async t => {
  const { grant, look, end, isWriting, told, written } = scene(t)
  const granted = grant('a')
  await until(async () => isWriting())
  const seen = look()
  t.ok(await isPending(granted))
  t.ok(await isPending(seen), 'who may have seen it waits, too')
  t.same(told, [])
  end()
  t.equal(await granted, 'a')
  t.equal(await seen, 'seen')
  t.same(written, [['a']])
  t.same(told, ['a'])
})

t.test('what happens while a group is written goes together with the next one', async t => {
  const { grant, record, end, isWriting, written } = scene(t)
  const first = grant('a')
  await until(async () => isWriting())
  const [second, third] = [grant('b'), record('c')]
  end()
  await first
  await until(async () => isWriting())
  t.ok(await isPending(second))
  end()
  t.same(await Promise.all([second, third]), ['b', 'c'])
  t.same(written, [['a'], ['b', 'c']])
})

t.test('nobody waits for a sign of life, nor does who reads meanwhile', async t => {
  const { renew, look, commit, end, isWriting, written } = scene(t)
  t.equal(await renew('a'), 'a')
  t.equal(await look(), 'seen')
  const flushed = commit.flush()
  await until(async () => isWriting())
  end()
  await flushed
  t.same(written, [['a']])
})

t.test('a group that cannot be written gives no right: all that were granted are taken back, the latest first, and evidence is told all the same', async t => {
  const { grant, record, look, commit, end, isWriting, told, written, states } = scene(t)
  const undone: string[] = []
  const [first, evidence] = [grant('a', undone), record('b')]
  await until(async () => isWriting())
  const later = grant('c', undone)
  const fault = new Error('no')
  end(fault)
  await t.rejects(first, Problem)
  await t.rejects(later, { code: 'store-unavailable' }, 'it may rest upon the first')
  t.equal(await evidence, 'b')
  t.same(undone, ['c', 'a'])
  t.same(told, ['a', 'b', 'c'])
  t.same(states, [fault])
  t.equal(commit.trouble()?.code, 'store-unavailable')
  t.equal(await look(), 'seen', 'readers are answered from memory')
  t.equal(await record('d'), 'd', 'and so is more evidence')
  await until(async () => isWriting())
  end()
  await until(async () => commit.trouble() === null)
  t.same(states, [fault, null])
  t.same(written.flat().toSorted(), ['a', 'b', 'c', 'd'], 'everything is written once that is possible')
})

t.test('while the disk is full evidence is written, and nothing new is granted until there is room again', async t => {
  const { grant, record, commit, end, isWriting, states, setFull } = scene(t)
  setFull(true)
  const first = record('a')
  await until(async () => isWriting())
  end()
  t.equal(await first, 'a')
  t.equal(commit.trouble()?.code, 'store-unavailable')
  setFull(false)
  await until(async () => isWriting())
  end()
  await until(async () => commit.trouble() === null)
  t.match(states, [/space/, null].map(state => state === null ? null : { message: state }))
  const granted = grant('b')
  await until(async () => isWriting())
  end()
  t.equal(await granted, 'b')
})
