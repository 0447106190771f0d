// Members in the order of a number each, then of their texts, for whoever knows the number of each by other means: nothing else is kept of them.

export type Ranked = readonly [member: string, score: number]

/** Lowest score first; equal scores are ordered by member. */
export interface Ranking {
  readonly size: () => number
  /** Adds one that is not there yet. */
  readonly add: (member: string, score: number) => void
  /** Was it there, with this score? */
  readonly delete: (member: string, score: number) => boolean
  readonly has: (member: string, score: number) => boolean
  /** At most `count` members with scores up to `highest`, lowest first. A snapshot: members may come and go while it is walked. */
  readonly first: (count: number, highest?: number) => string[]
  /** At most `count` of them with scores below `below`, highest first. */
  readonly last: (count: number, below: number) => Ranked[]
  /** How many members have a score below this one. */
  readonly countBelow: (score: number) => number
  readonly entries: () => Ranked[]
}

/** The places of both belong together. Numbers that stand together take half the room. */
interface Chunk { readonly members: string[], readonly scores: number[] }

/** An insertion moves at most this many. */
const CHUNK_LENGTH = 512

/**
 * Sorted runs of bounded length, found by binary search: a hundred thousand rows wait for the end of their retention,
 * and one long array would be moved by each change of any of them.
 */
export function createRanking (): Ranking {
  /** No run is empty. */
  const chunks: Chunk[] = []
  let size = 0

  /** The first run that does not end before this place; the number of runs when all do. */
  function chunkAt (score: number, member: string): number {
    return search(chunks.length, index => {
      const chunk = chunks[index]
      return chunk !== undefined && isBefore(chunk, chunk.members.length - 1, score, member)
    })
  }

  /** Where it stands; `null` when it is not there. */
  function find (member: string, score: number): { readonly at: number, readonly chunk: Chunk, readonly place: number } | null {
    const at = chunkAt(score, member)
    const chunk = chunks[at]
    if (chunk === undefined) return null
    const place = placeIn(chunk, score, member)
    return chunk.members[place] === member && chunk.scores[place] === score ? { at, chunk, place } : null
  }

  return {
    size: () => size,
    add (member, score) {
      size += 1
      const at = chunkAt(score, member)
      const chunk = chunks[at] ?? chunks.at(-1)
      // What comes last mostly stays so: runs are full, not half empty.
      if (chunk === undefined || (at === chunks.length && chunk.members.length >= CHUNK_LENGTH)) {
        chunks.push({ members: [member], scores: [score] })
        return
      }
      const place = placeIn(chunk, score, member)
      chunk.members.splice(place, 0, member)
      chunk.scores.splice(place, 0, score)
      if (chunk.members.length > CHUNK_LENGTH) chunks.splice(at + 1, 0, { members: chunk.members.splice(CHUNK_LENGTH / 2), scores: chunk.scores.splice(CHUNK_LENGTH / 2) })
    },
    delete (member, score) {
      const found = find(member, score)
      if (found === null) return false
      const { at, chunk, place } = found
      size -= 1
      chunk.members.splice(place, 1)
      chunk.scores.splice(place, 1)
      if (chunk.members.length === 0) chunks.splice(at, 1)
      return true
    },
    has: (member, score) => find(member, score) !== null,
    first (count, highest = Infinity) {
      const found: string[] = []
      for (const { members, scores } of chunks) {
        for (const [place, member] of members.entries()) {
          if (found.length >= count || (scores[place] ?? Infinity) > highest) return found
          found.push(member)
        }
      }
      return found
    },
    last (count, below) {
      const found: Ranked[] = []
      for (let at = Math.min(chunkAt(below, ''), chunks.length - 1); at >= 0; at -= 1) {
        const { members = [], scores = [] } = chunks[at] ?? {}
        for (let place = members.length - 1; place >= 0; place -= 1) {
          if (found.length >= count) return found
          const [member = '', score = 0] = [members[place], scores[place]]
          if (score < below) found.push([member, score])
        }
      }
      return found
    },
    countBelow (score) {
      const at = chunkAt(score, '')
      const chunk = chunks[at]
      return chunks.slice(0, at).reduce((sum, { members }) => sum + members.length, 0) + (chunk === undefined ? 0 : placeIn(chunk, score, ''))
    },
    entries: () => chunks.flatMap(({ members, scores }) => members.map((member, place) => [member, scores[place] ?? 0] as const))
  }
}

function placeIn (chunk: Chunk, score: number, member: string): number {
  return search(chunk.members.length, index => isBefore(chunk, index, score, member))
}

function isBefore ({ members, scores }: Chunk, place: number, score: number, member: string): boolean {
  const own = scores[place] ?? Infinity
  return own < score || (own === score && (members[place] ?? '') < member)
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
