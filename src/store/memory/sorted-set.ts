// A set of texts ordered by a number each, then by the text: the shape of a Redis sorted set, so that both stores tell one story.

/** Members with their scores, lowest score first; equal scores are ordered by member. */
export interface SortedSet {
  readonly size: () => number
  readonly set: (member: string, score: number) => void
  readonly delete: (member: string) => boolean
  /** The member's score, or undefined when it is not in the set. */
  readonly score: (member: string) => number | undefined
  /** At most `count` members with scores up to `highest`, lowest first. A snapshot: the set may be changed while it is walked. */
  readonly first: (count: number, highest?: number) => string[]
  /** At most `count` members with scores below `below`, highest first. */
  readonly last: (count: number, below: number) => string[]
  /** How many members have a score below this one. */
  readonly countBelow: (score: number) => number
  readonly entries: () => readonly (readonly [member: string, score: number])[]
}

/**
 * A sorted array with binary search: an insertion moves memory, which for a hundred thousand members takes some ten microseconds,
 * and everything else is a lookup.
 */
export function createSortedSet (): SortedSet {
  const scores = new Map<string, number>()
  const sorted: (readonly [member: string, score: number])[] = []

  /** The index of the first entry that is not before (`score`, `member`). */
  function indexOf (score: number, member: string): number {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = sorted[middle]
      if (entry !== undefined && (entry[1] < score || (entry[1] === score && entry[0] < member))) low = middle + 1
      else high = middle
    }
    return low
  }

  function remove (member: string): boolean {
    const score = scores.get(member)
    if (score === undefined) return false
    scores.delete(member)
    sorted.splice(indexOf(score, member), 1)
    return true
  }

  return {
    size: () => sorted.length,
    set (member, score) {
      if (scores.get(member) === score) return
      remove(member)
      scores.set(member, score)
      sorted.splice(indexOf(score, member), 0, [member, score])
    },
    delete: remove,
    score: member => scores.get(member),
    first (count, highest = Infinity) {
      const members: string[] = []
      for (const [member, score] of sorted) {
        if (members.length >= count || score > highest) break
        members.push(member)
      }
      return members
    },
    last (count, below) {
      const end = indexOf(below, '')
      return sorted.slice(Math.max(0, end - count), end).reverse().map(([member]) => member)
    },
    countBelow: score => indexOf(score, ''),
    entries: () => sorted
  }
}
