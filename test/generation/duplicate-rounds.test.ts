// Before a second identical picture is bought, callers that were there are asked about once more.

import t from 'tap'
import type { Admission, DuplicatesFirst } from '../../src/generation/admission.ts'
import { settleDuplicates } from '../../src/generation/request/duplicate-rounds.ts'

type Known = Pick<Admission, 'duplicates' | 'lastRound'>

interface Bought { readonly outcome: 'bought', readonly known: Known }

function duplicate (id: string, replica = 'r1'): { id: string, replica: string, connection: string } {
  return { id, replica, connection: `connection of ${id}` }
}

/** A ledger that names these, round by round, then sells; and replicas whose callers are there until `leave` is called with them. */
function scene (rounds: readonly (readonly ReturnType<typeof duplicate>[])[]): {
  readonly ledger: Parameters<typeof settleDuplicates>[0]
  readonly ask: (known: Known) => Promise<Bought | DuplicatesFirst>
  readonly asked: string[][]
  readonly leave: (id: string) => void
} {
  const gone = new Set<string>()
  const asked: string[][] = []
  let round = 0
  return {
    asked,
    leave: id => { gone.add(`connection of ${id}`) },
    ledger: {
      askOpen: async (_replica, connections) => {
        asked.push([...connections])
        return new Set(connections.filter(connection => !gone.has(connection)))
      }
    },
    ask: async known => {
      const duplicates = rounds[round++]
      return duplicates === undefined ? { outcome: 'bought', known } : { outcome: 'duplicates', duplicates }
    }
  }
}

t.test('a caller whose end was noticed in the pause counts as gone', async t => {
  const { ledger, ask, leave } = scene([[duplicate('a'), duplicate('b')]])
  const { known } = await settleDuplicates<Bought>(ledger, ask, async () => { leave('b') })
  t.same(known.duplicates.map(({ id, open }) => [id, open]), [['a', true], ['b', false]])
})

t.test('callers are asked about twice, with one pause, however many rounds there are', async t => {
  const { ledger, ask, asked } = scene([[duplicate('a')], [duplicate('b')], [duplicate('c')]])
  let pauses = 0
  const { known } = await settleDuplicates<Bought>(ledger, ask, async () => { pauses += 1 })
  t.equal(pauses, 1)
  t.same(asked, [['connection of a'], ['connection of a'], ['connection of b'], ['connection of c']], 'what is named later is asked about late enough')
  t.same(known.duplicates.map(({ id }) => id), ['a', 'b', 'c'])
})

t.test('with one that is certainly gone there is nothing to wait for; nor where none is named', async t => {
  for (const rounds of [[[duplicate('a'), duplicate('b')]], [[]], []]) {
    const { ledger, ask, leave } = scene(rounds)
    leave('b')
    await settleDuplicates<Bought>(ledger, ask, async () => { t.fail('there was a pause') })
  }
  t.pass()
})

t.test('when the one that was gone was given to another caller, those that are there are asked about again after all', async t => {
  const { ledger, ask, leave, asked } = scene([[duplicate('a'), duplicate('b')], [duplicate('c')]])
  leave('b')
  const { known } = await settleDuplicates<Bought>(ledger, ask, async () => { leave('a') })
  t.same(asked[2], ['connection of a', 'connection of b', 'connection of c'])
  t.same(known.duplicates.map(({ id, open }) => [id, open]), [['a', false], ['b', false], ['c', true]])
})

t.test('a dry run does not wait', async t => {
  const { ledger, ask, asked } = scene([[duplicate('a')]])
  await settleDuplicates<Bought>(ledger, ask)
  t.equal(asked.length, 1)
})
