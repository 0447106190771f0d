// Members in the order of a number each, then of their texts, for whoever knows the number of each by other means: nothing else is kept of them.

export type Ranked = readonly [member: string, score: number]

/** The places of both belong together. Numbers that stand together take half the room. */
interface Chunk { readonly members: string[], readonly scores: number[] }

/** An insertion moves at most this many. */
const CHUNK_LENGTH = 512

/**
 * Lowest score first; equal scores are ordered by member.
 *
 * Sorted runs of bounded length, found by binary search: a hundred thousand rows wait for the end of their retention,
 * and one long array would be moved by each change of any of them. Many are made and dropped, one for what a tenant has running, so that making one has to be cheap.
 */
export class Ranking {
  /** No run is empty. */
  readonly #chunks: Chunk[] = []
  #size = 0

  size (): number {
    return this.#size
  }

  /** Adds one that is not there yet. */
  add (member: string, score: number): void {
    this.#size += 1
    const chunks = this.#chunks
    const end = chunks[chunks.length - 1]
    const isLast = end === undefined || isBefore(end, end.members.length - 1, score, member)
    const at = isLast ? chunks.length : this.#chunkAt(score, member)
    const chunk = chunks[at] ?? end
    // What comes last mostly stays so: runs are full, not half empty.
    if (chunk === undefined || (at === chunks.length && chunk.members.length >= CHUNK_LENGTH)) {
      chunks.push({ members: [member], scores: [score] })
      return
    }
    if (at === chunks.length) {
      chunk.members.push(member)
      chunk.scores.push(score)
      return
    }
    const place = placeIn(chunk, score, member)
    chunk.members.splice(place, 0, member)
    chunk.scores.splice(place, 0, score)
    if (chunk.members.length > CHUNK_LENGTH) chunks.splice(at + 1, 0, { members: chunk.members.splice(CHUNK_LENGTH / 2), scores: chunk.scores.splice(CHUNK_LENGTH / 2) })
  }

  /** Was it there, with this score? */
  delete (member: string, score: number): boolean {
    const at = this.#chunkAt(score, member)
    const chunk = this.#chunks[at]
    if (chunk === undefined) return false
    const place = placeIn(chunk, score, member)
    if (chunk.members[place] !== member || chunk.scores[place] !== score) return false
    this.#size -= 1
    chunk.members.splice(place, 1)
    chunk.scores.splice(place, 1)
    if (chunk.members.length === 0) this.#chunks.splice(at, 1)
    return true
  }

  has (member: string, score: number): boolean {
    const chunk = this.#chunks[this.#chunkAt(score, member)]
    if (chunk === undefined) return false
    const place = placeIn(chunk, score, member)
    return chunk.members[place] === member && chunk.scores[place] === score
  }

  /** At most `count` members with scores up to `highest`, lowest first. A snapshot: members may come and go while it is walked. */
  first (count: number, highest = Infinity): string[] {
    const found: string[] = []
    for (const { members, scores } of this.#chunks) {
      for (const [place, member] of members.entries()) {
        if (found.length >= count || (scores[place] ?? Infinity) > highest) return found
        found.push(member)
      }
    }
    return found
  }

  /** At most `count` of them with scores below `below`, highest first. */
  last (count: number, below: number): Ranked[] {
    const found: Ranked[] = []
    for (let at = Math.min(this.#chunkAt(below, ''), this.#chunks.length - 1); at >= 0; at -= 1) {
      const { members = [], scores = [] } = this.#chunks[at] ?? {}
      for (let place = members.length - 1; place >= 0; place -= 1) {
        if (found.length >= count) return found
        const [member = '', score = 0] = [members[place], scores[place]]
        if (score < below) found.push([member, score])
      }
    }
    return found
  }

  /** How many members have a score below this one. */
  countBelow (score: number): number {
    const at = this.#chunkAt(score, '')
    const chunk = this.#chunks[at]
    return this.#chunks.slice(0, at).reduce((sum, { members }) => sum + members.length, 0) + (chunk === undefined ? 0 : placeIn(chunk, score, ''))
  }

  entries (): Ranked[] {
    return this.#chunks.flatMap(({ members, scores }) => members.map((member, place) => [member, scores[place] ?? 0] as const))
  }

  /** The first run that does not end before this place; the number of runs when all do. */
  #chunkAt (score: number, member: string): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = this.#chunks[middle]
      if (chunk !== undefined && isBefore(chunk, chunk.members.length - 1, score, member)) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The first place in a run that does not stand before this one. */
function placeIn (chunk: Chunk, score: number, member: string): number {
  let low = 0
  let high = chunk.members.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(chunk, middle, score, member)) low = middle + 1
    else high = middle
  }
  return low
}

function isBefore ({ members, scores }: Chunk, place: number, score: number, member: string): boolean {
  const own = scores[place] ?? Infinity
  return own < score || (own === score && (members[place] ?? '') < member)
}
