// Writing what a process learned, on the ledger in memory behind a switch: the order is kept, nothing is lost, and a generation goes on while the ledger is away.

import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Problem } from '../../src/errors.ts'
import type { Followed, Generation } from '../../src/generation/generation.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { createRecorder, type Recorder } from '../../src/generation/run/recorder.ts'
import type { LogPiece } from '../../src/generation/upstream.ts'
import { createWatch } from '../../src/generation/watch/watch.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, never, successOf, times, traceLost, unreachable } from '../support/admission.ts'
import { until } from '../support/until.ts'

interface Scene {
  /** Behind the switch. */
  readonly ledger: Ledger
  /** The same in front of it. */
  readonly memory: Ledger
  readonly recorder: Recorder
  /** As it was claimed. */
  readonly row: Generation
  /** From now on operations fail: before they are run, or after. */
  readonly away: (how: 'before' | 'after') => void
  readonly back: () => void
  /** Operations that were run, in their order. */
  readonly run: string[]
  /** Changes of phase that were told. */
  readonly moves: string[]
  /** How long the phases took that those ended, all together, as it was told. */
  readonly phasesMs: () => number
  /** Calls that failed. */
  readonly troubles: () => number
  /** Ends that waiters here were told. */
  readonly ends: Generation[]
  /** How often it was said that the row should be read. */
  readonly interruptions: () => number
  /** What is done each time that is said. */
  readonly whenDue: (act: () => void) => void
  /** From now on another server keeps the ledger. */
  readonly failOver: () => void
  /** Puts the ledger's clock forward. */
  readonly advance: (ms: number) => void
  readonly stop: () => void
}

/** `known`: what the process knew of it beside the claim, when the ledger went back to that. */
async function scene (t: Test, known: Partial<Generation> = {}): Promise<Scene> {
  let server = 'first'
  let aheadMs = 0
  const memory = createMemoryLedger({ times, server: () => server, now: () => Date.now() + aheadMs })
  const run: string[] = []
  const moves: string[] = []
  const ends: Generation[] = []
  let isAway: false | 'before' | 'after' = false
  let interruptions = 0
  let act = (): void => {}
  let phasesMs = 0
  let troubles = 0
  const ledger = new Proxy<Ledger>(memory, {
    get (target, name) {
      const operation: unknown = Reflect.get(target, name)
      if (typeof operation !== 'function' || name === 'now') return operation
      return async (...given: unknown[]): Promise<unknown> => {
        if (isAway === 'before') throw new Problem('store-unavailable')
        run.push(String(name))
        const answer: unknown = await Reflect.apply(operation, target, given)
        if (isAway === 'after') throw new Problem('store-unavailable')
        return answer
      }
    }
  })
  await memory.admit(admissionOf())
  const claimed = await memory.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
  if (claimed.outcome !== 'go') throw new Error(claimed.outcome)
  const { row, terms } = claimed
  const watch = createWatch(memory, error => { t.fail('looking', { found: error }) })
  const unattend = watch.attend(row.id, { ended: ended => { ends.push(ended) } })
  const stopping = new AbortController()
  const recorder = createRecorder({ row: { ...row, ...known }, terms }, true, {
    ledger,
    watch,
    replica: 'r1',
    onMove: (from, to, phaseMs) => {
      moves.push(`${from} ${to.phase}`)
      phasesMs += phaseMs ?? NaN
    },
    onRestored: () => { moves.push('restored') },
    onTrouble: () => { troubles += 1 },
    isOthersHere: requestId => requestId === 'of-another'
  }, () => {
    interruptions += 1
    act()
  }, stopping.signal)
  t.teardown(async () => {
    stopping.abort()
    await recorder.close()
    unattend()
    watch.close()
    await memory.close()
  })
  return {
    ledger,
    memory,
    recorder,
    row,
    away: how => { isAway = how },
    back: () => { isAway = false },
    run,
    moves,
    phasesMs: () => phasesMs,
    troubles: () => troubles,
    ends,
    interruptions: () => interruptions,
    whenDue: now => { act = now },
    failOver: () => { server = 'second' },
    advance: ms => { aheadMs += ms },
    stop: () => { stopping.abort() }
  }
}

function piece (from: number, to: number): LogPiece {
  return { from, lines: Array.from({ length: to - from }, (_, n) => ({ message: `line ${from + n}`, timestamp: null, level: null })) }
}

function accept (recorder: Recorder, row: Generation): Followed {
  recorder.recordAccepted(row, 'request')
  return followed(row)
}

function followed (row: Generation): Followed {
  return { ...row, phase: 'accepted', requestId: 'request' }
}

/** Tells the whole story of a generation, one step after the other; gives the promise of its last step. */
async function tellAll ({ ledger, recorder, row }: Scene, afterPiece = async (_pieces: number): Promise<void> => {}): Promise<{ readonly end: Promise<Generation | null> }> {
  const accepted = accept(recorder, row)
  const seen = [{ kind: 'queued', position: 2, log: piece(0, 1) }, { kind: 'running', log: piece(1, 3) }, { kind: 'running', log: piece(3, 4) }] as const
  for (const [n, progress] of seen.entries()) {
    await afterPiece(n + 1)
    recorder.recordProgress(accepted, progress)
  }
  await afterPiece(4)
  return { end: recorder.record(accepted, async () => await ledger.finish(row.id, 1, 'request', successOf(), piece(4, 5)), { ...accepted, phase: 'succeeded' }) }
}

async function checkBooks (t: Test, { memory, row, recorder }: Scene): Promise<void> {
  const [kept] = await memory.getMany([row.id])
  t.match(kept, { phase: 'succeeded', requestId: 'request', cost: 60_000, logged: 5 })
  t.same(recorder.row, kept)
  t.same(await memory.logs(row.id, 0), piece(0, 5), 'every line once, at its place')
}

t.test('each piece is written in its turn, and nobody waits for one but the last', async t => {
  const told = await scene(t)
  const { end } = await tellAll(told, async pieces => { await until(() => told.run.length === pieces) })
  t.match(await end, { phase: 'succeeded' })
  t.same(told.run, ['recordAccepted', 'recordProgress', 'recordProgress', 'recordProgress', 'finish'])
  t.same(told.moves, ['submitting accepted', 'accepted running', 'running succeeded'])
  t.equal(told.interruptions(), 0)
  await checkBooks(t, told)
})

t.test('what is put back for one generation does not end the wait for all that its process holds', async t => {
  const { memory, recorder, row, failOver } = await scene(t, { version: 99 })
  await memory.admit(admissionOf())
  await memory.renew('r1', [])
  // It ended here, and an older end of it is what the other server has.
  await memory.finish(row.id, 1, 'request', successOf())
  failOver()
  await recorder.record(followed(row), async () => await memory.finish(row.id, 1, 'request', successOf()))
  t.match(await memory.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 2 }), { outcome: 'wait' })
})

t.test('what is seen before it can be written becomes one piece', async t => {
  const told = await scene(t)
  const { end } = await tellAll(told)
  t.match(await end, { phase: 'succeeded' })
  t.same(told.run, ['recordAccepted', 'recordProgress', 'finish'])
  t.same(told.moves, ['submitting accepted', 'accepted running', 'running succeeded'])
  await checkBooks(t, told)
})

t.test('it is said when the row stands elsewhere than was thought: an end, a wish to cancel', async t => {
  const others: ReadonlyArray<(told: Scene) => Promise<unknown>> = [
    async ({ memory, row }) => await memory.finish(row.id, 1, 'request', successOf()),
    async ({ memory, row }) => await memory.cancel(row.id, { tenant: 'studio', subject: '' })
  ]
  for (const act of others) {
    const told = await scene(t)
    await act(told)
    const { recorder, row } = told
    recorder.recordAccepted(row, 'request')
    await until(() => told.interruptions() === 1)
    t.same([await recorder.read(row)], await told.memory.getMany([row.id]))
  }
})

for (const how of ['before', 'after'] as const) {
  t.test(`while the ledger is away (calls fail ${how} they are run) the story goes on to its end, and waiters are told; afterwards all of it is written, in order, and told once`, async t => {
    const sinceMs = performance.now()
    const told = await scene(t)
    told.away(how)
    const { end } = await tellAll(told)
    await until(() => told.ends.length > 0)
    const tookMs = performance.now() - sinceMs
    t.match(told.ends, [{ phase: 'succeeded', requestId: 'request' }])
    told.back()
    t.match(await end, { phase: 'succeeded' })
    if (how === 'before') t.same(told.run, ['recordAccepted', 'recordProgress', 'finish'], 'what was seen meanwhile is one piece')
    else t.same([...new Set(told.run)], ['recordAccepted', 'recordProgress', 'finish'])
    t.same(told.moves, ['submitting accepted', 'accepted running', 'running succeeded'])
    t.ok(told.phasesMs() <= tookMs, 'a phase took as long as it did, not as long as the ledger was away')
    await checkBooks(t, told)
  })
}

t.test('what is seen while another sighting is being written is written after it', async t => {
  const told = await scene(t)
  const { ledger, recorder, row, memory } = told
  await recorder.record(row, async () => await ledger.recordAccepted(row.id, 1, 'request'))
  const accepted = followed(row)
  told.away('after')
  recorder.recordProgress(accepted, { kind: 'running', log: piece(0, 1) })
  await until(() => told.run.includes('recordProgress'))
  recorder.recordProgress(accepted, { kind: 'running', log: piece(1, 2) })
  t.match(await memory.getMany([row.id]), [{ phase: 'running', logged: 1 }])
  told.back()
  await until(() => told.interruptions() === 1)
  t.same(await memory.logs(row.id, 0), piece(0, 2))
  t.same(told.moves, ['submitting accepted', 'accepted running'])
})

t.test('the row is not read before the ledger knows what is known here, and when it cannot be read it is said when to try again', async t => {
  const told = await scene(t)
  const { recorder, row } = told
  told.away('before')
  t.equal(await recorder.read(row), row)
  const accepted = accept(recorder, row)
  t.equal(await recorder.read(accepted), accepted)
  t.equal(recorder.row.phase, 'submitting')
  told.back()
  await until(() => told.interruptions() > 0)
  t.match(await recorder.read(accepted), { phase: 'accepted', requestId: 'request' })
  t.equal(told.run.indexOf('recordAccepted') < told.run.indexOf('getMany'), true)
  await until(() => told.interruptions() === 2)
})

t.test('a ledger that lost the row is given it back before the piece', async t => {
  const told = await scene(t)
  const { ledger, recorder, memory } = told
  const lost: Generation = { ...told.row, id: freshId() }
  t.match(await recorder.record(lost, async () => await ledger.recordAccepted(lost.id, 1, 'request')), { phase: 'accepted', requestId: 'request' })
  t.same(told.run, ['recordAccepted', 'renew', 'restore', 'recordAccepted'])
  t.same(told.moves, ['restored', 'submitting accepted'])
  t.match(await memory.getMany([lost.id]), [{ phase: 'accepted' }])
})

t.test('a ledger with an older copy of the row is told again what it forgot, before the piece', async t => {
  const { recorder, memory, row, run, moves } = await scene(t, { phase: 'accepted', requestId: 'request', version: 5 })
  recorder.recordProgress(followed(row), { kind: 'running', log: piece(0, 1) })
  await recorder.close()
  t.same(run, ['recordProgress', 'renew', 'restore', 'recordProgress'])
  t.same(moves, ['restored', 'accepted running'])
  t.match(await memory.getMany([row.id]), [{ phase: 'running', requestId: 'request', owner: 'r1', logged: 1 }])
})

t.test('what ended as not bought in an older copy is booked, because fal has it', async t => {
  const { recorder, memory, row } = await scene(t)
  await memory.recordNotSent(row.id, 1, { failure: unreachable })
  recorder.recordProgress(followed(row), { kind: 'running', log: piece(0, 1) })
  await recorder.close()
  t.match(recorder.row, { phase: 'failed', requestId: 'request', cost: 60_000, costAssumed: true })
  t.match(await memory.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 60_000 }])
})

t.test('while the ledger is away others tell it another request id: both purchases are booked, each once', async t => {
  const told = await scene(t)
  const { memory, row } = told
  told.away('before')
  const { end } = await tellAll(told)
  await memory.recordAccepted(row.id, 1, 'other')
  told.back()
  t.match(await end, { phase: 'succeeded' })
  t.match(await memory.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 120_000 }])
  t.same((await memory.journal(0, never, 10)).map(({ kind, requestId }) => [kind, requestId]), [['double', 'request'], ['correction', 'request'], ['double', 'other'], ['purchase', 'request']])
  t.match(await memory.getMany([row.id]), [{ requestId: 'request' }], 'whose picture is there first')
})

t.test('an end whose answer was lost is told, also when its row was changed before it could be asked for again', async t => {
  const told = await scene(t)
  const { ledger, recorder, memory, row } = told
  told.away('after')
  const end = recorder.record(row, async () => await ledger.finish(row.id, 1, 'request', successOf()), { ...row, phase: 'succeeded' })
  await until(() => told.ends.length > 0)
  await memory.seen(row.id, null)
  told.back()
  t.match(await end, { phase: 'succeeded', delivered: true })
  t.same(told.moves, ['submitting succeeded'])
})

t.test('an end that turned out to be none is not told any more, should the ledger go away later', async t => {
  const told = await scene(t)
  const { ledger, recorder, memory, row } = told
  await memory.recordAccepted(row.id, 1, 'request')
  const now = await recorder.record(row, async () => await ledger.recordUnknown(row.id, 1, null, traceLost), { ...row, phase: 'unknown' })
  t.match(now, { phase: 'accepted', requestId: 'request' })
  told.away('before')
  recorder.recordProgress(followed(row), { kind: 'running', log: piece(0, 1) })
  await until(() => told.troubles() > 0)
  told.back()
  await recorder.close()
  t.same(told.ends, [])
})

t.test('a process that stops does not wait for a ledger that is away', async t => {
  const told = await scene(t)
  told.away('before')
  const { end } = await tellAll(told)
  told.stop()
  t.equal(await end, null)
  await told.recorder.close()
})

t.test('another purchase of the row: this one is told and followed on, its end is told, and the row is left to the other', async t => {
  const told = await scene(t)
  const { recorder, memory, row, ledger } = told
  await memory.recordAccepted(row.id, 1, 'other')
  const own = accept(recorder, row)
  t.ok(await recorder.isOurs(), 'it is still to be fetched')
  t.ok(recorder.isDouble)
  t.equal(recorder.row.requestId, 'request')
  t.match(recorder.recordProgress(own, { kind: 'running', log: piece(0, 1) }), { phase: 'running', requestId: 'request' })
  await until(() => told.run.includes('recordProgress'))
  await recorder.written()
  await memory.cancel(row.id, { tenant: 'studio', subject: '' })
  t.match(await recorder.read(own), { ...own, cancelWished: true }, 'a wish to cancel is for both')
  t.equal(await recorder.record(own, async () => await ledger.finish(row.id, 1, 'request', { kind: 'cancelled', cost: 0 })), null)
  t.match(await memory.getMany([row.id]), [{ phase: 'accepted', requestId: 'other', logged: 0 }])
  t.match(await memory.balances([{ owner: 'studio', per: 'month' }]), [{ held: 60_000, spent: 0 }])
  t.equal(told.interruptions(), 0, 'nothing about the row concerns it but a wish to cancel')
})

t.test('a row that is read again and has another purchase by now: the ledger is told of the one that is held here', async t => {
  const { recorder, memory, row } = await scene(t, { phase: 'accepted', requestId: 'request' })
  await memory.recordAccepted(row.id, 1, 'other')
  t.match(await recorder.read(followed(row)), { requestId: 'request' })
  t.ok(recorder.isDouble)
  t.match(await memory.balances([{ owner: 'studio', per: 'month' }]), [{ held: 60_000, spent: 60_000 }])
})

t.test('a request id that is another generation\'s: it is not this one\'s, and the row is unknown', async t => {
  const told = await scene(t)
  const { recorder, memory, row } = told
  await memory.admit(admissionOf())
  const other = await memory.claim({ claimId: freshId(), deadlineMs: never, replica: 'r2', slots: 2 })
  if (other.outcome !== 'go') throw new Error(other.outcome)
  await memory.recordAccepted(other.row.id, 1, 'request')
  const own = accept(recorder, row)
  t.notOk(await recorder.isOurs())
  await until(() => told.interruptions() > 0)
  t.match(await recorder.read(own), { phase: 'unknown', requestId: null })
})

t.test('an id that another generation of this process has is not gone on with while the ledger is away', async t => {
  const told = await scene(t)
  const { recorder, row } = told
  told.away('before')
  let isTold = false
  const now = Promise.resolve(recorder.recordAccepted(row, 'of-another')).then(() => { isTold = true })
  await until(() => told.troubles() > 0)
  t.notOk(isTold)
  told.back()
  await now
})

t.test('fal accepts what ended unbought meanwhile and was forgotten: the picture is fetched, put back and booked', async t => {
  const told = await scene(t)
  const { recorder, memory, ledger, row, advance } = told
  await memory.recordNotSent(row.id, 1, { failure: unreachable })
  advance(61 * 60_000)
  await memory.sweep('r2', 100)
  t.same(await memory.getMany([row.id]), [])
  const own = accept(recorder, row)
  t.ok(await recorder.isOurs())
  t.match(await recorder.record(own, async () => await ledger.finish(row.id, 1, 'request', successOf())), { phase: 'succeeded', requestId: 'request' })
  t.match(await memory.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 60_000 }])
})

t.test('an end that comes while the ledger is away already is told at once, not with the next try', async t => {
  const told = await scene(t)
  const { ledger, recorder, row } = told
  const accepted = followed(row)
  told.away('before')
  recorder.recordAccepted(row, 'request')
  await until(() => told.troubles() > 0)
  const end = recorder.record(accepted, async () => await ledger.finish(row.id, 1, 'request', successOf()), { ...accepted, phase: 'succeeded' })
  t.equal(told.ends.length, 1)
  told.back()
  await end
})

t.test('while the ledger is away a purchase counts as this generation\'s, so that its picture is fetched', async t => {
  const told = await scene(t)
  told.away('before')
  accept(told.recorder, told.row)
  t.ok(await told.recorder.isOurs())
  t.ok(told.troubles() > 0)
  told.back()
})

t.test('a row that is read with a purchase that others told: it is followed here, too', async t => {
  const { recorder, memory, row } = await scene(t)
  t.equal(recorder.requestId, null)
  await memory.recordAccepted(row.id, 1, 'request')
  t.match(await recorder.read(row), { phase: 'accepted', requestId: 'request' })
  t.equal(recorder.requestId, 'request')
  t.match(recorder.row, { phase: 'accepted', requestId: 'request' })
})

t.test('a copy of the row that is older than what is known here is not gone on with', async t => {
  const { recorder, row } = await scene(t, { version: 99 })
  t.equal(await recorder.read(row), row)
  t.equal(recorder.row.version, 99)
})

t.test('fal shows it at work after its result was in doubt, all while the ledger is away: afterwards it is at work there, and nothing is in doubt', async t => {
  const told = await scene(t)
  const { recorder, memory, row } = told
  told.away('before')
  const accepted = accept(recorder, row)
  recorder.recordProgress(accepted, { kind: 'running', log: piece(0, 1) })
  const doubted = recorder.recordDoubt(accepted, 'unavailable')
  recorder.recordProgress(doubted, { kind: 'running', log: piece(1, 2) })
  told.back()
  await recorder.written()
  t.same(told.run, ['recordAccepted', 'recordProgress', 'recordDoubt', 'recordProgress'])
  t.match(await memory.getMany([row.id]), [{ phase: 'running', doubt: null, logged: 2 }])
})

t.test('a row that is to be read is read when the last piece is written, though it was said while the first one was tried', async t => {
  const told = await scene(t)
  const { recorder, row } = told
  told.whenDue(() => { recorder.read(row) })
  told.away('before')
  recorder.recordProgress(accept(recorder, row), { kind: 'running', log: piece(0, 1) })
  await until(() => told.troubles() > 0)
  told.back()
  await recorder.written()
  await setImmediate()
  t.same(told.run, ['recordAccepted', 'recordProgress', 'getMany'])
})

t.test('a row that has not got yet what is known here is not read, and so not gone on with', async t => {
  const { ledger, recorder, row, run } = await scene(t)
  const accepted = followed(row)
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const written = recorder.record(row, async () => {
    await held
    return await ledger.recordAccepted(row.id, 1, 'request')
  })
  t.equal(await recorder.read(accepted), accepted)
  t.same(run, [])
  release()
  t.match(await written, { phase: 'accepted' })
})

t.test('an end that the ledger had from others already is not told as a move of this process', async t => {
  const { ledger, recorder, memory, row, moves } = await scene(t)
  await memory.finish(row.id, 1, 'request', successOf())
  t.match(await recorder.record(row, async () => await ledger.finish(row.id, 1, 'request', successOf())), { phase: 'succeeded' })
  t.same(moves, [])
})

t.test('nothing is read any more after the close, though it could not be read before', async t => {
  const closed = await scene(t)
  const open = await scene(t)
  for (const { recorder, row, away } of [closed, open]) {
    away('before')
    await recorder.read(row)
  }
  await closed.recorder.close()
  await until(() => open.interruptions() > 0)
  t.equal(closed.interruptions(), 0)
})

t.test('a ledger that went back in time is told all that is known here, also when the piece was begun before the latest of it', async t => {
  const { recorder, memory, row } = await scene(t, { phase: 'accepted', requestId: 'request', cancelWished: true, version: 99 })
  await memory.recordAccepted(row.id, 1, 'request')
  recorder.recordProgress({ ...followed(row), cancelWished: true }, { kind: 'running', log: piece(0, 1) })
  await recorder.written()
  t.match(await memory.getMany([row.id]), [{ phase: 'running', cancelWished: true, logged: 1 }])
})
