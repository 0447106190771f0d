// The sorted set answers like a plain array that is sorted again each time.

import fc from 'fast-check'
import t from 'tap'
import { SortedSet } from '../../src/store/memory/sorted-set.ts'

t.test('it keeps members in order of score, then name, whatever is added and taken away', async t => {
  const change = fc.record({ member: fc.nat(2000).map(String), score: fc.nat(300), add: fc.boolean() })
  fc.assert(fc.property(fc.array(change, { minLength: 0, maxLength: 3000, size: 'max' }), fc.nat(300), fc.nat(50), (changes, score, count) => {
    const set = new SortedSet()
    const model = new Map<string, number>()
    for (const { member, score, add } of changes) {
      if (add) {
        set.set(member, score)
        model.set(member, score)
      } else if (set.delete(member) !== model.delete(member)) {
        return false
      }
    }
    const sorted = [...model].sort(([one, a], [other, b]) => a - b || (one < other ? -1 : 1))
    const names = (entries: [string, number][]): string[] => entries.map(([member]) => member)
    const below = sorted.filter(([, own]) => own < score)
    return same(set.entries(), sorted) &&
      set.size() === sorted.length &&
      same(set.first(count), names(sorted.slice(0, count))) &&
      same(set.first(count, score), names(sorted.filter(([, own]) => own <= score).slice(0, count))) &&
      same(set.last(count, score), names(below.toReversed().slice(0, count))) &&
      same(set.last(count, Infinity), names(sorted.toReversed().slice(0, count))) &&
      set.countBelow(score) === below.length &&
      sorted.every(([member, own]) => set.score(member) === own)
  }), { numRuns: 100 })
  t.pass('100 histories of up to 3,000 changes')
})

function same (one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
