// fal's request ids: each leads to the one generation that it stands for, as long as its row (rule 32). The id of a packed row stands in the row, so only a number of it
// is kept here, as `NameTable` does with names.

import type { Entry } from './entry.ts'
import { hashOf } from './hash.ts'

interface RequestTableOptions {
  /** A row that may be packed, to be read only, and only for the moment. */
  readonly glance: (id: string) => Entry | undefined
}

export class RequestTable {
  readonly #ids = new Map<string, string>()
  /** A number of the request id → the id of the packed row that has it. Of two with one number only one is here. */
  readonly #folded = new Map<number, string>()
  readonly #options: RequestTableOptions

  constructor (options: RequestTableOptions) {
    this.#options = options
  }

  /** The id of the row that it stands for. */
  get (requestId: string): string | undefined {
    const found = this.#ids.get(requestId)
    if (found !== undefined || this.#folded.size === 0) return found
    const id = this.#folded.get(hashOf(requestId))
    return id !== undefined && this.#options.glance(id)?.row.requestId === requestId ? id : undefined
  }

  /** Says for which row it stands, which is not packed. */
  set (requestId: string, id: string): void {
    this.#ids.set(requestId, id)
  }

  /** Says it of a packed row that has it. */
  putFolded (requestId: string, id: string): void {
    const number = hashOf(requestId)
    if (this.#folded.has(number)) this.#ids.set(requestId, id)
    else this.#folded.set(number, id)
  }

  delete (requestId: string): void {
    this.#ids.delete(requestId)
  }

  /** The row is packed from now on. */
  fold ({ row: { id, requestId } }: Entry): void {
    if (requestId !== null && this.#ids.get(requestId) === id && this.#ids.delete(requestId)) this.putFolded(requestId, id)
  }

  /** It is not packed any more. */
  unfold ({ row: { id, requestId } }: Entry): void {
    if (requestId === null) return
    const number = hashOf(requestId)
    if (this.#folded.get(number) !== id) return
    this.#folded.delete(number)
    this.#ids.set(requestId, id)
  }

  * entries (): Generator<[requestId: string, id: string]> {
    yield * this.#ids
    for (const id of this.#folded.values()) {
      const requestId = this.#options.glance(id)?.row.requestId ?? null
      if (requestId !== null) yield [requestId, id]
    }
  }

  clear (): void {
    this.#ids.clear()
    this.#folded.clear()
  }
}
