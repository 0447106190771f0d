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
  readonly entries: () => Entry[]
}

type Entry = readonly [member: string, score: number]

/** An insertion moves at most this many entries. */
const CHUNK_LENGTH = 512

/**
 * Sorted runs of bounded length, found by binary search: a hundred thousand rows wait for the end of their retention,
 * and one long array would be moved by each change of any of them.
 */
export function createSortedSet (): SortedSet {
  const scores = new Map<string, number>()
  /** No run is empty. */
  const chunks: Entry[][] = []

  /** The first run that does not end before this place; the number of runs when all do. */
  function chunkAt (score: number, member: string): number {
    return search(chunks.length, index => isBefore(chunks[index]?.at(-1), score, member))
  }

  function remove (member: string): boolean {
    const score = scores.get(member)
    if (score === undefined) return false
    scores.delete(member)
    const at = chunkAt(score, member)
    const chunk = chunks[at] ?? []
    chunk.splice(placeIn(chunk, score, member), 1)
    if (chunk.length === 0) chunks.splice(at, 1)
    return true
  }

  function add (member: string, score: number): void {
    scores.set(member, score)
    const at = Math.min(chunkAt(score, member), Math.max(0, chunks.length - 1))
    const chunk = chunks[at]
    if (chunk === undefined) {
      chunks.push([[member, score]])
      return
    }
    chunk.splice(placeIn(chunk, score, member), 0, [member, score])
    if (chunk.length > CHUNK_LENGTH) chunks.splice(at + 1, 0, chunk.splice(CHUNK_LENGTH / 2))
  }

  return {
    size: () => scores.size,
    set (member, score) {
      if (scores.get(member) === score) return
      remove(member)
      add(member, score)
    },
    delete: remove,
    score: member => scores.get(member),
    first (count, highest = Infinity) {
      const members: string[] = []
      for (const chunk of chunks) {
        for (const [member, score] of chunk) {
          if (members.length >= count || score > highest) return members
          members.push(member)
        }
      }
      return members
    },
    last (count, below) {
      const members: string[] = []
      for (let at = Math.min(chunkAt(below, ''), chunks.length - 1); at >= 0; at -= 1) {
        for (const [member, score] of (chunks[at] ?? []).toReversed()) {
          if (members.length >= count) return members
          if (score < below) members.push(member)
        }
      }
      return members
    },
    countBelow (score) {
      const at = chunkAt(score, '')
      return chunks.slice(0, at).reduce((sum, chunk) => sum + chunk.length, 0) + placeIn(chunks[at] ?? [], score, '')
    },
    entries: () => chunks.flat()
  }
}

function placeIn (chunk: readonly Entry[], score: number, member: string): number {
  return search(chunk.length, index => isBefore(chunk[index], score, member))
}

function isBefore (entry: Entry | undefined, score: number, member: string): boolean {
  return entry !== undefined && (entry[1] < score || (entry[1] === score && entry[0] < member))
}

/** The first index that `isTooLow` does not hold for; it holds for all before and none after. */
function search (length: number, isTooLow: (index: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isTooLow(middle)) low = middle + 1
    else high = middle
  }
  return low
}
