// What changed: a store that outlives its process writes down which entries of which table an operation changed. Only what does not follow from something else is a table.

/** The tables, each under the name that a journal knows it by. The rest of the state follows from them, or ends with the process. */
export const tables = ['rows', 'logs', 'aliases', 'names', 'ends', 'passed', 'tenants', 'books', 'tokens', 'tickets', 'asides', 'breakers', 'prices', 'overruns', 'outbox', 'granted', 'lowered', 'kept', 'journal'] as const

export type Table = typeof tables[number]

/** Is told that this entry was written or deleted. */
export type Note = (table: Table, key: string) => void

/** A map that tells of each change. Values that are edited in place are told of by who edits them. */
export class NotedMap<Value> extends Map<string, Value> {
  readonly #note: (key: string) => void

  constructor (note: (key: string) => void) {
    super()
    this.#note = note
  }

  override set (key: string, value: Value): this {
    super.set(key, value)
    this.#note(key)
    return this
  }

  override delete (key: string): boolean {
    const was = super.delete(key)
    if (was) this.#note(key)
    return was
  }
}
