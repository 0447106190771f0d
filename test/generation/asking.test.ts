// Unknowns that have a request id: fal is asked what became of them, and what it says then is their end.

import t, { type Test } from 'tap'
import { LOOK_AGAIN_MS } from '../../src/generation/doubt.ts'
import type { Generation } from '../../src/generation/generation.ts'
import type { OutboxEvent } from '../../src/generation/outbox.ts'
import { createBreakers } from '../../src/generation/run/breakers.ts'
import { createRunner } from '../../src/generation/run/runner.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { createMemoryLedger, type MemoryLedger } from '../../src/store/memory/ledger.ts'
import { createUpstreams } from '../../src/upstream/queue.ts'
import { admissionOf, freshId, price, times, traceLost } from '../support/admission.ts'
import { CENTRAL_KEY } from '../support/gateway.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

// Most of their time is pauses of the code, so they wait together.
t.jobs = 6
const together = { buffered: true }

const minute = 60_000

interface Scene {
  readonly sandbox: RunningSandbox
  readonly ledger: MemoryLedger
  /** Puts the ledger's clock forward. */
  readonly advance: (ms: number) => void
  readonly events: readonly OutboxEvent[]
  /** Changes that were told: `unknown succeeded`. */
  readonly moves: readonly string[]
  readonly row: (id: string) => Promise<Generation>
  readonly isSo: (id: string, phase: Generation['phase']) => Promise<void>
}

async function open (t: Test): Promise<Scene> {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  let aheadMs = 0
  const ledger = createMemoryLedger({ times, now: () => Date.now() + aheadMs })
  const events: OutboxEvent[] = []
  const moves: string[] = []
  const fail = (operation: string, error: unknown): void => { t.fail(operation, { found: error }) }
  const watch = createWatch(ledger, error => { fail('looking', error) })
  const upstreams = createUpstreams({ models: () => builtInModels, queueUrl: () => `${sandbox.base}/queue`, keyOf: () => CENTRAL_KEY })
  const breakers = createBreakers(ledger, { failuresToOpen: 5, openMs: 1000, blockedMs: 1000, retiredMs: 1000 }, fail)
  const runner = createRunner({
    ledger,
    watch,
    upstreamOf: upstreams.of,
    breakers,
    cacheVersionOf: () => 1,
    times,
    replica: 'r1',
    slots: 10,
    newId: freshId,
    deliverHook: null,
    lookAgainMs: LOOK_AGAIN_MS,
    onLookAgain: () => {},
    onMove: (from, to) => { moves.push(`${from} ${to.phase}`) },
    onOutboxEvent: one => { events.push(one) },
    onRestored: () => {},
    onClaimsPaused: () => {},
    onSilent: () => {},
    onRemoved: () => {},
    onBehind: () => {},
    onTrouble: fail
  })
  runner.start()
  t.teardown(async () => {
    await runner.stop(1000)
    watch.close()
    await upstreams.close()
    await ledger.close()
  })

  async function row (id: string): Promise<Generation> {
    const [found] = await ledger.getMany([id])
    if (found === undefined) throw new Error('There is no such row.')
    return found
  }

  return {
    sandbox,
    ledger,
    advance: ms => { aheadMs += ms },
    events,
    moves,
    row,
    isSo: async (id, phase) => { await until(async () => (await row(id)).phase === phase) }
  }
}

t.test('a clock that jumps two hours makes what runs unknown; when fal is done it has its picture', together, async t => {
  const { sandbox, ledger, advance, moves, row, isSo } = await open(t)
  const release = sandbox.faults.holdJobs()
  sandbox.faults.add({ kind: 'answer', operation: 'cancel', error: 'nginx', times: 'always' })
  const silent = sandbox.faults.add({ kind: 'hang', operation: 'stream', times: 'always' })
  const ids: string[] = []
  for (const prompt of ['one', 'two']) {
    const given = admissionOf({ input: JSON.stringify({ prompt }) })
    ids.push(given.id)
    await ledger.admit(given)
  }
  for (const id of ids) await isSo(id, 'accepted')
  advance(120 * minute)
  silent.release() // what is seen now finds the time to run over
  for (const id of ids) await isSo(id, 'unknown')
  const asked = sandbox.faults.add({ kind: 'delay', operation: 'status', times: 'always' })
  advance(31_000)
  await asked.untilHit(2)
  for (const id of ids) t.equal((await row(id)).phase, 'unknown', 'fal is still at work')
  release()
  advance(minute)
  for (const id of ids) await isSo(id, 'succeeded')
  t.same(moves.filter(move => move.startsWith('unknown')), ['unknown succeeded', 'unknown succeeded'])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 2 * price }])
  t.equal(sandbox.bill.accepted, 2)
  t.same(ledger.audit(), [])
})

t.test('an operator\'s settlement is corrected by a picture that is found, and told', together, async t => {
  const { sandbox, ledger, advance, events, moves, row, isSo } = await open(t)
  const release = sandbox.faults.holdJobs()
  const given = admissionOf()
  await ledger.admit(given)
  await isSo(given.id, 'running')
  const { attempt, requestId } = await row(given.id)
  const held = sandbox.faults.add({ kind: 'hang', operation: 'status', times: 'always' })
  await ledger.recordUnknown(given.id, attempt, requestId, traceLost)
  advance(10 * minute)
  t.match(await ledger.settle(given.id, false), { outcome: 'settled' })
  release()
  held.remove()
  await until(async () => {
    advance(minute)
    return (await ledger.getMany([given.id]))[0]?.phase === 'succeeded'
  })
  await until(() => events.some(({ kind }) => kind === 'found'))
  t.match(events.filter(({ kind }) => kind === 'found'), [{ from: 'failed', booked: price, row: { id: given.id } }])
  t.same(moves.filter(move => move.startsWith('failed')), [], 'told once')
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: price }])
  t.same(ledger.audit(), [])
})

t.test('what fal has lost, or something else answers for, is no end: it stays unknown and its money held', together, async t => {
  const { sandbox, ledger, advance, row, isSo } = await open(t)
  const release = sandbox.faults.holdJobs()
  const given = admissionOf()
  await ledger.admit(given)
  await isSo(given.id, 'running')
  await ledger.recordUnknown(given.id, 1, (await row(given.id)).requestId, traceLost)
  for (const fault of [{ kind: 'answer', operation: 'result', error: 'result_expired' }, { kind: 'odd', operation: 'result', answer: 'html' }, { kind: 'answer', operation: 'result', error: 'client_cancelled' }] as const) {
    sandbox.faults.clear()
    const odd = sandbox.faults.add({ ...fault, times: 'always' })
    release()
    await until(() => {
      advance(minute)
      return odd.hits > 0
    })
    t.match(await row(given.id), { phase: 'unknown', cost: null }, fault.operation)
  }
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: price, spent: 0 }])
})

t.test('the time to run ends no look for a result that cannot be had; five minutes after the first one it is unknown, and its money held', together, async t => {
  const { sandbox, ledger, advance, row, isSo } = await open(t)
  const release = sandbox.faults.holdJobs()
  const away = sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'nginx', times: 'always' })
  const given = admissionOf()
  await ledger.admit(given)
  await isSo(given.id, 'running')
  advance(59 * minute)
  release()
  await until(async () => (await row(given.id)).doubt === 'unavailable')
  const { hits } = away
  advance(3 * minute)
  await until(() => away.hits >= hits + 2)
  t.match(await row(given.id), { phase: /accepted|running/, doubt: 'unavailable' }, 'its time to run was over two looks ago')
  advance(3 * minute)
  await isSo(given.id, 'unknown')
  t.match(await row(given.id), { failure: { code: 'outcome-unknown' }, cost: null })
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: price, spent: 0 }])
})

t.test('no look is made later than five minutes after the first doubt', together, async t => {
  const { sandbox, ledger, advance, isSo } = await open(t)
  const gone = sandbox.faults.add({ kind: 'answer', operation: 'result', error: 'result_expired', times: 'always' })
  const given = admissionOf()
  await ledger.admit(given)
  await gone.untilHit()
  await until(async () => (await ledger.getMany([given.id]))[0]?.doubt === 'expired')
  advance(5 * minute)
  await isSo(given.id, 'failed')
  t.equal(gone.hits, 2, 'the look under way was the last one')
})
