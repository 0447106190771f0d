// The sweeper: when it takes over what looks left by its owner, and what it does with what the ledger gives it.

import t from 'tap'
import type { Taken } from '../../src/generation/evidence.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { OutboxEvent } from '../../src/generation/outbox.ts'
import { createSweeper, type Sweeper } from '../../src/generation/run/sweeper.ts'
import { noTerms } from '../support/admission.ts'
import { boughtRow } from '../support/bought.ts'
import { until } from '../support/until.ts'

interface Scene {
  readonly sweeper: Sweeper
  readonly row: Generation
  readonly away: (isAway: boolean) => void
  /** What the next sweep gives. */
  readonly due: Taken[]
  readonly sweeps: () => number
  readonly renewals: () => number
  readonly taken: Taken[]
  readonly told: OutboxEvent[]
  readonly troubles: string[]
  /** Ids that fal was asked about, and its answers. */
  readonly questions: string[]
  readonly answer: () => void
  readonly leave: () => void
}

async function open (given: { readonly leaseMs?: number, readonly comingBackMs?: number } = {}): Promise<Scene> {
  const row = await boughtRow()
  const due: Taken[] = []
  const taken: Taken[] = []
  const told: OutboxEvent[] = []
  const troubles: string[] = []
  const questions: string[] = []
  const leaving = new AbortController()
  let answer = (): void => {}
  let isAway = false
  let sweeps = 0
  let renewals = 0
  const unasked = (): never => { throw new Error('fal is asked for something else') }
  const sweeper = createSweeper({
    ledger: {
      takeOutbox: async () => {
        if (isAway) throw new Error('away')
        return [{ kind: 'breaker', scope: '*', from: 'open', state: 'ok' }]
      },
      sweep: async () => {
        sweeps += 1
        return due.splice(0)
      },
      finish: async () => null
    },
    upstreamOf: () => ({
      result: unasked,
      state: async (_model, requestId) => {
        questions.push(requestId)
        await new Promise<void>(resolve => { answer = resolve })
        return 'running'
      }
    }),
    cacheVersionOf: () => undefined,
    replica: 'r1',
    times: { leaseMs: given.leaseMs ?? 15_000 },
    breakers: { look: async () => {} },
    tasks: { take: one => { taken.push(one) } },
    renew: async () => { renewals += 1 },
    leaving: leaving.signal,
    onOutboxEvent: event => { told.push(event) },
    onMove: () => {},
    onTrouble: operation => { troubles.push(operation) },
    ...(given.comingBackMs === undefined ? {} : { comingBackMs: given.comingBackMs })
  })
  return {
    sweeper,
    row,
    away: is => { isAway = is },
    due,
    sweeps: () => sweeps,
    renewals: () => renewals,
    taken,
    told,
    troubles,
    questions,
    answer: () => { answer() },
    leave: () => { leaving.abort() }
  }
}

t.test('a round tells what happened and looks after what is due', async t => {
  const { sweeper, due, row, taken, told } = await open()
  due.push({ row: { ...row, phase: 'running', requestId: 'r' }, terms: noTerms })
  await sweeper.round()
  t.equal(told.length, 1)
  t.equal(taken.length, 1)
})

t.test('while the ledger is away, and until owners could say what they know, nothing is taken over', async t => {
  const { sweeper, away, sweeps, renewals, troubles, told } = await open({ leaseMs: 30, comingBackMs: 60 })
  away(true)
  await sweeper.round()
  await sweeper.round()
  t.same([sweeps(), renewals(), troubles], [0, 0, ['take-events', 'take-events']])
  away(false)
  await sweeper.round()
  t.same([sweeps(), renewals(), told.length], [0, 1, 1], 'this process says at once what it knows')
  await until(async () => {
    await sweeper.round()
    return sweeps() > 0
  })
  t.equal(renewals(), 1)
})

t.test('a ledger that goes away again while it comes back begins to come back once more', async t => {
  const { sweeper, away, sweeps, renewals } = await open({ comingBackMs: 1_000_000 })
  for (const isAway of [true, false, true, false]) {
    away(isAway)
    await sweeper.round()
  }
  t.same([sweeps(), renewals()], [0, 2])
})

t.test('leases that are longer than owners need to say what they know are waited for', async t => {
  const { sweeper, away, sweeps } = await open({ leaseMs: 3_000_000, comingBackMs: 0 })
  for (const isAway of [true, false, false]) {
    away(isAway)
    await sweeper.round()
  }
  t.equal(sweeps(), 0)
})

t.test('fal is asked about an unknown that has a request id, by one question at a time; one without is left alone', async t => {
  const { sweeper, due, row, taken, questions, answer } = await open()
  const unknown: Taken = { row: { ...row, phase: 'unknown', requestId: 'request' }, terms: noTerms }
  due.push(unknown, { row: { ...row, id: 'other', phase: 'unknown' }, terms: noTerms })
  await sweeper.round()
  due.push(unknown)
  await sweeper.round()
  t.same(questions, ['request'])
  answer()
  await until(async () => {
    due.push(unknown)
    await sweeper.round()
    return questions.length === 2
  })
  t.same(taken, [])
  answer()
})
