// The order in which pieces are written, and what happens while the ledger is away.

import t, { type Test } from 'tap'
import { createWriter, type Writer } from '../../src/generation/run/writer.ts'
import { until } from '../support/until.ts'

interface Scene {
  readonly writer: Writer
  /** What was asked of the ledger, in order. */
  readonly asked: string[]
  /** What was told while it was away, in order. */
  readonly told: string[]
  readonly troubles: () => number
  readonly away: (isAway: boolean) => void
  readonly stop: () => void
  /** Writes a piece of this many questions; gives the answers. */
  readonly write: (name: string, questions?: number) => ReturnType<Writer['write']>
}

function scene (t: Test): Scene {
  const stopping = new AbortController()
  t.teardown(() => { stopping.abort() })
  const asked: string[] = []
  const told: string[] = []
  let isAway = false
  let troubles = 0
  const writer = createWriter(() => { troubles += 1 }, stopping.signal)
  return {
    writer,
    asked,
    told,
    troubles: () => troubles,
    away: now => { isAway = now },
    stop: () => { stopping.abort() },
    write: async (name, questions = 1) => await writer.write(async ask => {
      const answers: string[] = []
      for (let n = 1; n <= questions; n++) {
        answers.push(await ask(async () => {
          asked.push(`${name}${n}`)
          if (isAway) throw new Error('away')
          return `answer ${n}`
        }))
      }
      return answers
    }, () => { told.push(name) })
  }
}

t.test('a piece begins when the one before it is done', async t => {
  const { writer, asked, write } = scene(t)
  t.ok(writer.isIdle)
  const first = write('a', 2)
  const second = write('b')
  t.notOk(writer.isIdle)
  t.same(await first, { kind: 'written', value: ['answer 1', 'answer 2'] })
  t.same(await second, { kind: 'written', value: ['answer 1'] })
  await writer.written()
  t.ok(writer.isIdle)
  t.same(asked, ['a1', 'a2', 'b1'])
})

t.test('a question that fails is asked again, and no other is asked before it is answered', async t => {
  const { asked, troubles, away, write } = scene(t)
  away(true)
  const pieces = [write('a'), write('b')]
  await until(() => troubles() > 1)
  away(false)
  t.match(await Promise.all(pieces), [{ kind: 'written' }, { kind: 'written' }])
  t.same([...new Set(asked)], ['a1', 'b1'])
  t.equal(asked.length, troubles() + 2)
})

t.test('while the ledger is away all that wait are told at each failure, one that comes then at once, and after that nobody', async t => {
  const { writer, told, troubles, away, write } = scene(t)
  away(true)
  const pieces = [write('a'), write('b')]
  await until(() => troubles() === 1)
  t.same(told, ['a', 'b'])
  pieces.push(write('c'))
  t.same(told, ['a', 'b', 'c'])
  away(false)
  await Promise.all(pieces)
  const before = told.length
  await write('d')
  await writer.written()
  t.equal(told.length, before)
})

t.test('what comes once the ledger answers again is not told before it is written, though earlier pieces are still being written', async t => {
  const { writer, asked, told, away, write } = scene(t)
  away(true)
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const pieces = [write('a'), writer.write(async () => { await held }, () => { told.push('held') })]
  await until(() => told.includes('held'))
  away(false)
  await pieces[0]
  pieces.push(write('b'))
  t.notOk(told.includes('b'))
  release()
  await Promise.all(pieces)
  t.ok(asked.includes('b1'))
})

t.test('a piece that breaks is told to its caller, and the next one is written', async t => {
  const { writer, write } = scene(t)
  const broken = writer.write(async () => { throw new Error('a fault of ours') }, () => {})
  const next = write('b')
  await t.rejects(broken, /a fault of ours/)
  t.match(await next, { kind: 'written' })
})

t.test('once it is stopped each piece has one try, and a ledger that answers has it', async t => {
  const { writer, asked, told, troubles, away, stop, write } = scene(t)
  away(true)
  const waiting = [write('a'), write('b')]
  await until(() => troubles() > 0)
  stop()
  t.same(await Promise.all(waiting), [{ kind: 'stopped' }, { kind: 'stopped' }])
  t.equal(asked.filter(one => one === 'b1').length, 1)
  await writer.written()
  t.ok(writer.isIdle)
  away(false)
  t.match(await write('c'), { kind: 'written' })
  t.notOk(told.includes('c'), 'nothing failed since it came')
})
