import t from 'tap'
import { createRecentEnds } from '../../src/generation/run/recent-ends.ts'

interface Scene { readonly ends: ReturnType<typeof begin>, readonly wait: (ms: number) => void }

function begin (now: () => number) {
  return createRecentEnds({ now, keptMs: 1000, most: 3 })
}

function scene (): Scene {
  let nowMs = 0
  return { ends: begin(() => nowMs), wait: ms => { nowMs += ms } }
}

function end (id: string, requestId: string | null = 'request-' + id) {
  return { row: { id, requestId } }
}

t.test('an end is known by its id, and of one generation the last end counts', async t => {
  const { ends } = scene()
  ends.add(end('a', 'first'))
  ends.add(end('a', 'second'))
  t.equal(ends.get('a')?.row.requestId, 'second')
  t.equal(ends.get('b'), undefined)
  t.equal(ends.isOthers('first', 'b'), false)
  t.equal(ends.isOthers('second', 'b'), true)
  t.equal(ends.all().length, 1)
})

t.test('a purchase is another one\'s when any generation but the one that asks ended with it', async t => {
  const { ends } = scene()
  ends.add(end('a', 'r'))
  t.equal(ends.isOthers('r', 'a'), false)
  t.equal(ends.isOthers('r', 'b'), true)
  ends.add(end('b', 'r'))
  t.equal(ends.isOthers('r', 'a'), true)
  t.equal(ends.isOthers('r', 'b'), true)
  ends.add(end('a', null))
  t.equal(ends.isOthers('r', 'b'), false)
  t.equal(ends.isOthers('r', 'a'), true)
})

t.test('the oldest end goes when there are too many, with what was known of its purchase', async t => {
  const { ends } = scene()
  for (const id of ['a', 'b', 'c', 'd']) ends.add(end(id))
  t.strictSame(ends.all().map(({ row }) => row.id), ['b', 'c', 'd'])
  t.equal(ends.get('a'), undefined)
  t.equal(ends.isOthers('request-a', 'x'), false)
})

t.test('an end that is too old is not among all of them, and goes when the next one comes', async t => {
  const { ends, wait } = scene()
  ends.add(end('a'))
  wait(600)
  ends.add(end('b'))
  wait(400)
  t.strictSame(ends.all().map(({ row }) => row.id), ['b'])
  wait(600)
  ends.add(end('c'))
  t.equal(ends.get('b'), undefined)
  t.equal(ends.isOthers('request-b', 'x'), false)
})

t.test('what its reader has deleted is not among them any more', async t => {
  const { ends } = scene()
  for (const id of ['a', 'b']) ends.add(end(id))
  ends.remove('a')
  ends.remove('never')
  t.strictSame(ends.all().map(({ row }) => row.id), ['b'])
  t.equal(ends.isOthers('request-a', 'x'), false)
})
