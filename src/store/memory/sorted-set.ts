// A set of texts ordered by a number each, then by the text: the shape of a Redis sorted set, so that both stores tell one story.

import { createRanking, type Ranked, type Ranking } from './ranking.ts'

/** Members with their scores, lowest score first; equal scores are ordered by member. */
export interface SortedSet extends Pick<Ranking, 'size' | 'first' | 'countBelow' | 'entries'> {
  readonly set: (member: string, score: number) => void
  readonly delete: (member: string) => boolean
  /** The member's score, or undefined when it is not in the set. */
  readonly score: (member: string) => number | undefined
  /** At most `count` members with scores below `below`, highest first. */
  readonly last: (count: number, below: number) => string[]
}

/** A ranking that knows the score of each of its members. */
export function createSortedSet (): SortedSet {
  const scores = new Map<string, number>()
  const { add, delete: remove, last, ...ranking } = createRanking()
  return {
    ...ranking,
    set (member, score) {
      const before = scores.get(member)
      if (before === score) return
      if (before !== undefined) remove(member, before)
      scores.set(member, score)
      add(member, score)
    },
    delete (member) {
      const score = scores.get(member)
      if (score === undefined) return false
      scores.delete(member)
      return remove(member, score)
    },
    score: member => scores.get(member),
    last: (count, below) => last(count, below).map(([member]: Ranked) => member)
  }
}
