// A process starts its parts in order and stops them in the opposite order, however it ends.

import t, { type Test } from 'tap'
import { atOnce, createLifecycle, type Act, type Lifecycle, type Step } from '../src/app/lifecycle.ts'
import { until } from './support/until.ts'

interface Line { readonly level: 'warn' | 'error', readonly facts: Readonly<Record<string, unknown>>, readonly message: string }

interface Scene { readonly lifecycle: Lifecycle, readonly lines: readonly Line[], readonly done: string[], readonly part: (name: string) => Step }

function open (): Scene {
  const lines: Line[] = []
  const done: string[] = []
  const logTo = (level: Line['level']) => (facts: object, message?: string): void => { lines.push({ level, facts: { ...facts }, message: message ?? '' }) }
  return {
    lifecycle: createLifecycle({ warn: logTo('warn'), error: logTo('error') }),
    lines,
    done,
    part: name => ({ name, start: atOnce(() => { done.push(`+${name}`) }), stop: atOnce(() => { done.push(`-${name}`) }) })
  }
}

function failing (message: string): Act {
  return { waitsFor: 'nothing', limitMs: 60_000, run: async () => { throw new Error(message) } }
}

/** What an act waits for until it is let go. */
function gate (t: Test): { readonly opened: Promise<void>, readonly open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  t.teardown(() => { open() })
  return { opened, open }
}

t.test('parts are started from the first to the last and stopped from the last to the first, once', async t => {
  const { lifecycle, done, part } = open()
  t.equal(lifecycle.state, 'starting')
  await lifecycle.start([part('a'), { name: 'b' }, part('c')])
  t.equal(lifecycle.state, 'starting', 'what was started need not work yet')
  t.ok(lifecycle.becomeReady())
  t.equal(lifecycle.state, 'ready')
  const [one, other] = [lifecycle.stop(), lifecycle.stop()]
  t.equal(lifecycle.state, 'draining', 'from the first word')
  await Promise.all([one, other])
  t.same(done, ['+a', '+c', '-c', '-a'])
  t.notOk(lifecycle.becomeReady(), 'on its way out it never becomes ready')
  t.equal(lifecycle.state, 'draining')
})

t.test('a start that fails stops what was begun, the last first, and says why it failed', async t => {
  const { lifecycle, done, part } = open()
  const broken: Step = { ...part('c'), start: failing('no port') }
  await t.rejects(lifecycle.start([part('a'), part('b'), broken, part('d')]), { message: 'no port' })
  t.same(done, ['+a', '+b', '-c', '-b', '-a'], 'also the part that failed, which may be there by half')
  t.equal(lifecycle.state, 'draining')
  await lifecycle.stop()
  t.same(done, ['+a', '+b', '-c', '-b', '-a'], 'once')
})

t.test('a start that fails says why, also when what was begun cannot be stopped', async t => {
  const { lifecycle, done, lines, part } = open()
  await t.rejects(lifecycle.start([part('a'), { name: 'b', stop: failing('stuck') }, { name: 'c', start: failing('no port') }]), { message: 'no port' })
  t.same(done, ['+a', '-a'])
  t.match(lines, [{ level: 'error', facts: { step: 'b', err: { message: 'stuck' } } }])
})

t.test('a part that cannot be stopped is named, keeps no other from being stopped, and the stop fails', async t => {
  const { lifecycle, done, lines, part } = open()
  await lifecycle.start([part('a'), { name: 'b', stop: failing('stuck') }, part('c')])
  await t.rejects(lifecycle.stop(), { message: 'stuck' })
  t.same(done, ['+a', '+c', '-c', '-a'])
  t.match(lines, [{ level: 'error', facts: { step: 'b', err: { message: 'stuck' } } }])
})

t.test('a step that takes longer than it should is named with what it waits for, and is not cut off', async t => {
  const { lifecycle, done, lines, part } = open()
  const door = gate(t)
  const slow: Act = { waitsFor: 'the last answers', limitMs: 1, run: async () => { await door.opened } }
  await lifecycle.start([part('a'), { name: 'listeners', stop: slow }])
  const stopped = lifecycle.stop()
  await until(() => lines.length > 0)
  t.match(lines, [{ level: 'warn', facts: { step: 'listeners', waits_for: 'the last answers', limit_ms: 1 }, message: 'a step of the stop takes longer than it should' }])
  t.same(done, ['+a'], 'what comes after it waits')
  door.open()
  await stopped
  t.same(done, ['+a', '-a'])
  t.equal(lines.length, 1)
})

t.test('a stop during the start: the step under way comes to its end and is stopped, and no other is begun', async t => {
  const { lifecycle, done, part } = open()
  const [begun, door] = [gate(t), gate(t)]
  const run = async (): Promise<void> => {
    begun.open()
    await door.opened
  }
  const started = lifecycle.start([part('a'), { ...part('b'), start: { waitsFor: 'a door', limitMs: 60_000, run } }, part('c')])
  await begun.opened
  const stopped = lifecycle.stop()
  door.open()
  await Promise.all([started, stopped])
  t.same(done, ['+a', '-b', '-a'])
})
