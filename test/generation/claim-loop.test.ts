// The claim loop, state by event: when it claims, what it does with answers that were lost, and that a pause is told once.

import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { ClaimOffer } from '../../src/generation/admission.ts'
import type { Claimed, Taken } from '../../src/generation/evidence.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createClaimLoop, type ClaimLoop } from '../../src/generation/run/claim-loop.ts'
import type { Permit } from '../../src/generation/run/step-context.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, times } from '../support/admission.ts'
import { until } from '../support/until.ts'

interface Asked {
  readonly claimId: string
  readonly answer: (claimed: Claimed) => Promise<void>
  readonly fail: () => Promise<void>
}

interface Scene {
  readonly claims: ClaimLoop
  /** Claims that were sent and not answered yet. */
  readonly asked: Asked[]
  /** All that was sent. */
  readonly sent: string[]
  /** The claims that came along with admissions. */
  readonly brought: readonly (ClaimOffer | undefined)[]
  readonly taken: { readonly taken: Taken, readonly permit: Permit | null }[]
  readonly pauses: number[]
  readonly renewals: () => number
  readonly troubles: string[]
  readonly leave: () => void
  /** The next claim under way. */
  readonly next: () => Asked
}

function open (given: { readonly leaseMs?: number, readonly admit?: Ledger['admit'] } = {}): Scene {
  const brought: (ClaimOffer | undefined)[] = []
  const asked: Asked[] = []
  const sent: string[] = []
  const taken: { taken: Taken, permit: Permit | null }[] = []
  const pauses: number[] = []
  const troubles: string[] = []
  const leaving = new AbortController()
  let renewals = 0
  const claims = createClaimLoop({
    ledger: {
      now: () => 1000,
      admit: async (admission, claim) => {
        brought.push(claim)
        return await given.admit?.(admission, claim) ?? { outcome: 'refused', why: 'late' }
      },
      claim: async ({ claimId }) => {
        sent.push(claimId)
        return await new Promise<Claimed>((resolve, reject) => {
          const settle = async (): Promise<void> => {
            asked.splice(asked.findIndex(one => one.claimId === claimId), 1)
            await setImmediate()
          }
          asked.push({
            claimId,
            answer: async claimed => { resolve(claimed); await settle() },
            fail: async () => { reject(new Error('away')); await settle() }
          })
        })
      }
    },
    replica: 'r1',
    times: { leaseMs: given.leaseMs ?? 15_000 },
    slots: 10,
    newId: freshId,
    tasks: { take: (one, permit) => { taken.push({ taken: one, permit }) } },
    renew: async () => { renewals += 1 },
    leaving: leaving.signal,
    onMove: () => {},
    onClaimsPaused: forMs => { pauses.push(forMs) },
    onTrouble: operation => { troubles.push(operation) }
  })
  return {
    claims,
    asked,
    sent,
    brought,
    taken,
    pauses,
    renewals: () => renewals,
    troubles,
    leave: () => { leaving.abort() },
    next: () => {
      const [first] = asked
      if (first === undefined) throw new Error('nothing is claimed')
      return first
    }
  }
}

/** A grant, after which the queue is empty or not. */
async function grant (isQueueEmpty: boolean): Promise<Claimed> {
  const memory = createMemoryLedger({ times })
  await memory.admit(admissionOf())
  const claimed = await memory.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  await memory.close()
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  return { ...claimed, isQueueEmpty }
}

const empty: Claimed = { outcome: 'empty' }
const busy: Claimed = { outcome: 'busy' }

t.test('it claims until nothing stands in the queue', async t => {
  const { claims, asked, next, taken } = open()
  claims.nudge()
  await next().answer(await grant(false))
  await next().answer(await grant(false))
  await next().answer(await grant(true))
  t.equal(asked.length, 0)
  t.equal(taken.length, 3)
})

t.test('a task that is done claims, but not from a line that is known to be empty', async t => {
  const { claims, asked, sent, next } = open()
  claims.taskDone()
  await next().answer(empty)
  claims.taskDone()
  t.equal(sent.length, 1, 'what comes into an empty queue is published')
  claims.nudge()
  await next().answer(busy)
  claims.taskDone()
  await next().answer(await grant(true))
  t.equal(sent.length, 3, 'busy says nothing about the queue')
  claims.taskDone()
  t.equal(asked.length, 0, 'the last one was taken out of it')
})

t.test('sixteen claims are under way at most, and a nudge meanwhile looks once more afterwards', async t => {
  const { claims, asked, sent, next } = open()
  for (let n = 0; n < 40; n++) claims.nudge()
  t.equal(asked.length, 16)
  await next().answer(empty)
  t.equal(sent.length, 17)
  while (asked.length > 0) await next().answer(empty)
  t.equal(sent.length, 17, 'all nudges are one look')
})

t.test('a claim whose answer was lost is asked for again under its own id, and its right is as old as it is', async t => {
  const { claims, asked, sent, next, taken, troubles } = open({ leaseMs: 40 })
  claims.nudge()
  const sentAtMs = performance.now()
  await next().fail()
  t.same(troubles, ['claim'])
  t.equal(asked.length, 0, 'it does not hammer a ledger that is away')
  await until(() => performance.now() > sentAtMs + 21)
  claims.nudge()
  await next().answer(await grant(true))
  t.equal(sent[1], sent[0])
  t.equal(taken[0]?.permit?.isValid(), false)
  claims.nudge()
  t.not(sent[2], sent[0])
  await next().answer(empty)
})

t.test('a grant may be used for half a lease, and not while the process leaves', async t => {
  const { claims, next, taken, leave } = open({ leaseMs: 1_000_000 })
  claims.nudge()
  await next().answer(await grant(true))
  t.equal(taken[0]?.permit?.isValid(), true)
  claims.stop()
  t.equal(taken[0]?.permit?.isValid(), true, 'to claim nothing more is not to leave')
  leave()
  t.equal(taken[0]?.permit?.isValid(), false)
})

t.test('a pause is told once, answered with all that is known here, and over by itself', async t => {
  const { claims, asked, next, pauses, renewals, sent } = open()
  const wait: Claimed = { outcome: 'wait', untilMs: 1020 }
  claims.nudge()
  claims.nudge()
  await next().answer(wait)
  t.same(pauses, [20])
  t.equal(renewals(), 1)
  await until(() => sent.length >= 3) // once more after the renewal
  await until(async () => {
    while (asked.length > 0) await next().answer(wait)
    return sent.length === 4 // and at the end of the pause
  })
  t.same(pauses, [20])
  t.equal(renewals(), 1)
  claims.nudge()
  await next().answer({ outcome: 'wait', untilMs: 1040 })
  t.same(pauses, [20, 40], 'another pause is another one')
  claims.stop()
})

t.test('once it is over nothing is claimed, but lost answers are asked for, and what was granted is taken', async t => {
  const { claims, asked, sent, next, taken } = open()
  claims.nudge()
  claims.nudge()
  await next().fail()
  claims.stop()
  claims.nudge()
  claims.taskDone()
  t.equal(sent.length, 2)
  let isSettled = false
  const settled = claims.settled().then(() => { isSettled = true })
  await next().answer(await grant(false))
  t.equal(taken.length, 1)
  t.equal(isSettled, false)
  await until(() => asked.length === 1)
  t.equal(sent[2], sent[0])
  await next().answer(await grant(false))
  await settled
  t.equal(taken.length, 2)
  t.equal(sent.length, 3)
})

t.test('a ledger that is still away when lost answers are asked for keeps nobody from leaving', async t => {
  const { claims, asked, next, troubles } = open()
  claims.nudge()
  await next().fail()
  claims.stop()
  const settled = claims.settled()
  await until(() => asked.length === 1)
  await next().fail()
  await settled
  t.equal(troubles.length, 2)
})

t.test('an admission brings a claim along once this process claims, and until it claims nothing any more', async t => {
  const { claims, next, brought } = open()
  await claims.admit(admissionOf())
  claims.nudge()
  await next().answer(empty)
  await claims.admit(admissionOf())
  await claims.admit(admissionOf())
  claims.stop()
  await claims.admit(admissionOf())
  t.match(brought, [undefined, { replica: 'r1', slots: 10 }, { replica: 'r1', slots: 10 }, undefined])
  t.not(brought[1]?.claimId, brought[2]?.claimId, 'each its own')
})

t.test('what an admission was granted is handed over with a right as old as the admission, and claims nothing more', async t => {
  for (const leaseMs of [1_000_000, 40]) {
    const memory = createMemoryLedger({ times })
    t.teardown(async () => { await memory.close() })
    let answer = (): void => {}
    const { claims, next, taken, sent, leave } = open({
      leaseMs,
      admit: async (admission, claim) => {
        const admitted = await memory.admit(admission, claim)
        await new Promise<void>(resolve => { answer = resolve })
        return admitted
      }
    })
    claims.nudge()
    await next().answer(empty)
    const askedAtMs = performance.now()
    const admitted = claims.admit(admissionOf())
    await until(() => performance.now() > askedAtMs + 21)
    claims.stop()
    let isSettled = false
    const settled = claims.settled().then(() => { isSettled = true })
    await setImmediate()
    t.equal(isSettled, false, 'its answer may tell of a grant')
    answer()
    t.match(await admitted, { outcome: 'bought' })
    await settled
    t.match(taken, [{ taken: { row: { phase: 'submitting', owner: 'r1' }, terms: { keyless: true } } }])
    t.equal(taken[0]?.permit?.isValid(), leaseMs > 40, 'half a lease')
    leave()
    t.equal(taken[0]?.permit?.isValid(), false)
    t.equal(sent.length, 1)
  }
})

t.test('an admission that waits, or whose answer is lost, hands nothing over', async t => {
  let fails = false
  const memory = createMemoryLedger({ times })
  t.teardown(async () => { await memory.close() })
  await memory.admit(admissionOf())
  const { claims, next, taken } = open({
    admit: async (admission, claim) => {
      if (fails) throw new Error('away')
      return await memory.admit(admission, claim)
    }
  })
  claims.nudge()
  await next().answer(empty)
  t.match(await claims.admit(admissionOf()), { outcome: 'bought', row: { phase: 'waiting' }, terms: null })
  fails = true
  await t.rejects(claims.admit(admissionOf()))
  t.equal(taken.length, 0)
  claims.stop()
  await claims.settled()
})
