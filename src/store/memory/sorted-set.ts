// A set of texts ordered by a number each, then by the text: the shape of a Redis sorted set, so that both stores tell one story.

import { Ranking } from './ranking.ts'

/** Members with their scores, lowest score first; equal scores are ordered by member. */
export class SortedSet {
  readonly #scores = new Map<string, number>()
  readonly #ranking = new Ranking()

  size (): number {
    return this.#ranking.size()
  }

  set (member: string, score: number): void {
    const before = this.#scores.get(member)
    if (before === score) return
    if (before !== undefined) this.#ranking.delete(member, before)
    this.#scores.set(member, score)
    this.#ranking.add(member, score)
  }

  delete (member: string): boolean {
    const score = this.#scores.get(member)
    if (score === undefined) return false
    this.#scores.delete(member)
    return this.#ranking.delete(member, score)
  }

  /** The member's score, or undefined when it is not in the set. */
  score (member: string): number | undefined {
    return this.#scores.get(member)
  }

  /** See {@link Ranking.first}. */
  first (count: number, highest?: number): string[] {
    return this.#ranking.first(count, highest)
  }

  /** At most `count` members with scores below `below`, highest first. */
  last (count: number, below: number): string[] {
    return this.#ranking.last(count, below).map(([member]) => member)
  }

  /** How many members have a score below this one. */
  countBelow (score: number): number {
    return this.#ranking.countBelow(score)
  }

  entries (): ReturnType<Ranking['entries']> {
    return this.#ranking.entries()
  }
}
