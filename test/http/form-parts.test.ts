// A form whose parser comes to no end: it is given up once all of it has come, and not before.

import t from 'tap'
import { nextPart, PartsStalled } from '../../src/http/openai/form-parts.ts'

t.test('a parser that says nothing though it has every byte is given up', async t => {
  const error = await nextPart({ next: async () => await new Promise<never>(() => {}) }, { complete: true }).catch((error: unknown) => error)
  t.ok(error instanceof PartsStalled)
})

t.test('while bytes may come it is waited for', async t => {
  let asked = 0
  // As often as it takes a complete message to be given up, and once more.
  const message = { get complete () { if (++asked === 3) say('one'); return false } }
  let say = (_part: string): void => {}
  const part = nextPart({ next: async () => await new Promise<IteratorResult<string>>(resolve => { say = part => { resolve({ done: false, value: part }) } }) }, message)
  t.equal(await part, 'one')
})

t.test('what it says is given', async t => {
  const message = { complete: true }
  t.equal(await nextPart({ next: async () => ({ done: false, value: 'two' }) }, message), 'two')
  t.equal(await nextPart({ next: async () => ({ done: true, value: undefined }) }, message), null)
  await t.rejects(nextPart({ next: async () => { throw new Error('odd') } }, message), { message: 'odd' })
})
