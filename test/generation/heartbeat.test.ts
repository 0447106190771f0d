// The heartbeat: whom this process takes for dead, and when it judges nobody.

import t from 'tap'
import type { Taken } from '../../src/generation/evidence.ts'
import { createHeartbeat, type Heartbeat } from '../../src/generation/run/heartbeat.ts'
import { noTerms } from '../support/admission.ts'
import { boughtRow } from '../support/bought.ts'
import { until } from '../support/until.ts'

type Word = 'there' | 'silent' | 'unheard'

interface Scene {
  readonly heartbeat: Heartbeat
  /** Replicas that the ledger names as silent from now on; `away`: it cannot be reached. */
  readonly named: (silent: readonly string[] | 'away') => void
  /** What is heard of a replica that is asked; by default that it is silent. */
  readonly says: (replica: string, word: Word | Promise<Word>) => void
  readonly pass: (ms: number) => void
  readonly beats: () => number
  readonly asked: readonly string[]
  /** Whom something was taken over from. */
  readonly takenFrom: readonly string[]
  readonly taken: readonly Taken[]
  readonly told: readonly string[]
  readonly renewals: () => number
  readonly troubles: readonly string[]
  readonly leave: () => void
}

async function open (given: { readonly takeOver?: () => Promise<readonly Taken[]> } = {}): Promise<Scene> {
  const row = await boughtRow()
  const words = new Map<string, Word | Promise<Word>>()
  const asked: string[] = []
  const takenFrom: string[] = []
  const taken: Taken[] = []
  const told: string[] = []
  const troubles: string[] = []
  const leaving = new AbortController()
  let silent: readonly string[] | 'away' = []
  let nowMs = 1_000_000
  let beats = 0
  let renewals = 0
  const heartbeat = createHeartbeat({
    ledger: {
      heartbeat: async () => {
        beats += 1
        if (silent === 'away') throw new Error('away')
        return silent
      },
      askThere: async replica => {
        asked.push(replica)
        return await (words.get(replica) ?? 'silent')
      },
      takeOver: async (_replica, from) => {
        takenFrom.push(from)
        return await (given.takeOver?.() ?? [{ row: { ...row, id: from + '\'s', phase: 'running', requestId: 'r' }, terms: noTerms }])
      }
    },
    replica: 'r1',
    tasks: { take: one => { taken.push(one) } },
    renew: async () => { renewals += 1 },
    leaving: leaving.signal,
    onSilent: (replica, generations) => { told.push(`${replica} ${generations}`) },
    onTrouble: operation => { troubles.push(operation) },
    clock: () => nowMs
  })
  return {
    heartbeat,
    named: now => { silent = now },
    says: (replica, word) => { words.set(replica, word) },
    pass: ms => { nowMs += ms },
    beats: () => beats,
    asked,
    takenFrom,
    taken,
    told,
    renewals: () => renewals,
    troubles,
    leave: () => { leaving.abort() }
  }
}

t.test('what a replica followed that is silent and does not answer is followed here, and told once for all of it', async t => {
  const { heartbeat, named, asked, taken, told } = await open()
  named(['r2', 'r3'])
  await heartbeat.beat()
  t.same(asked, ['r2', 'r3'], 'also by a process that has just started: it may be the one that comes in the place of a dead one')
  t.same(taken.map(({ row: { id } }) => id), ['r2\'s', 'r3\'s'])
  t.same(told, ['r2 1', 'r3 1'])
})

t.test('one that answers keeps what it follows, and silence proves nothing where no message arrives', async t => {
  const { heartbeat, named, says, asked, takenFrom } = await open()
  named(['r2', 'r3'])
  says('r2', 'there')
  says('r3', 'unheard')
  await heartbeat.beat()
  await heartbeat.beat()
  t.same(asked, ['r2', 'r3', 'r2', 'r3'])
  t.same(takenFrom, [])
})

t.test('a replica is asked once at a time', async t => {
  const { heartbeat, named, says, asked, takenFrom } = await open()
  let answer = (_word: Word): void => {}
  named(['r2'])
  says('r2', new Promise(resolve => { answer = resolve }))
  const first = heartbeat.beat()
  await until(() => asked.length === 1)
  await heartbeat.beat()
  t.same(asked, ['r2'])
  answer('silent')
  await first
  t.same(takenFrom, ['r2'])
})

t.test('after the ledger was away nobody is judged until all had time to come back', async t => {
  const { heartbeat, named, pass, asked, troubles } = await open()
  named('away')
  await heartbeat.beat()
  pass(1999)
  await heartbeat.beat()
  t.same(troubles, [], 'one that fails is not missed by anybody')
  pass(1)
  await heartbeat.beat()
  t.same(troubles, ['heartbeat'])
  named(['r2'])
  for (let passedMs = 0; passedMs < 3000; passedMs += 1000) {
    await heartbeat.beat()
    pass(1000)
  }
  t.same(asked, [])
  await heartbeat.beat()
  t.same(asked, ['r2'])
})

t.test('a process that stood still judges nobody for the same time, and hears at once what others have taken over', async t => {
  const { heartbeat, named, pass, asked, renewals } = await open()
  await heartbeat.beat()
  pass(1999)
  await heartbeat.beat()
  t.equal(renewals(), 0)
  named(['r2'])
  pass(2000)
  await heartbeat.beat()
  t.equal(renewals(), 1)
  for (let passedMs = 0; passedMs < 3000; passedMs += 1000) {
    await heartbeat.beat()
    pass(1000)
  }
  t.same(asked, [])
  await heartbeat.beat()
  t.same([asked, renewals()], [['r2'], 1])
})

t.test('a process that leaves goes on saying that it is there, and takes nothing over', async t => {
  const { heartbeat, named, leave, asked, beats } = await open()
  named(['r2'])
  leave()
  await heartbeat.beat()
  t.same([beats(), asked], [1, []])
})

t.test('one that begins to leave while a replica is asked takes nothing over either', async t => {
  const { heartbeat, named, says, leave, asked, takenFrom } = await open()
  let answer = (_word: Word): void => {}
  named(['r2'])
  says('r2', new Promise(resolve => { answer = resolve }))
  const beat = heartbeat.beat()
  await until(() => asked.length === 1)
  leave()
  answer('silent')
  await beat
  t.same(takenFrom, [])
})

t.test('what cannot be taken over now is tried with the next heartbeat', async t => {
  let isAway = true
  const { heartbeat, named, troubles, told } = await open({ takeOver: async () => { if (isAway) throw new Error('away'); return [] } })
  named(['r2'])
  await heartbeat.beat()
  t.same(troubles, ['sweep'])
  isAway = false
  await heartbeat.beat()
  t.same([troubles, told], [['sweep'], []], 'and when another replica was quicker nothing is told')
})

t.test('from its start to its end there is a heartbeat each second, the first at once', async t => {
  const { heartbeat, beats } = await open()
  heartbeat.start()
  t.equal(beats(), 1)
  await until(() => beats() >= 2)
  heartbeat.stop()
})
