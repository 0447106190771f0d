// Names that lead to rows. Most of them lead to the row that has them in its own fields, and most rows are packed: of such a name only a number is kept with the id, the
// rest of it stands in the row. It is a name like any other again as soon as somebody asks for its row (`RowTable`).

import type { Hidden } from '../../generation/generation.ts'
import type { Entry } from './entry.ts'
import { createExpiringMap, type ExpiringMap } from './expiring-map.ts'
import { hashOf } from './hash.ts'

/** What a name leads to. The fingerprint belongs to idempotency names. */
export interface Name { readonly id: string, readonly fingerprint: string | null }

/** What names a row has itself, and the letters of them. An idempotency name lasts as long as the row is keyed, the others until they are taken away. */
const kinds = [['c', 'cacheName'], ['l', 'learnedName'], ['r', 'reuseName'], ['k', 'idempotencyName']] as const satisfies readonly (readonly [letter: string, field: keyof Hidden])[]

type Kind = typeof kinds[number]

interface NameTableOptions {
  readonly now: () => number
  /** Is told of every name that is set or deleted. */
  readonly note: (name: string) => void
  /** A row that may be packed, to be read only. */
  readonly look: (id: string) => Entry | undefined
  /** Has the row's names be like any others. */
  readonly loosen: (id: string) => void
}

export class NameTable implements ExpiringMap<Name> {
  readonly #names: ExpiringMap<Name>
  /** A number of the name and its kind → the id of the packed row that has it. Of two names with one number only one is here. */
  readonly #folded = new Map<number, string>()
  readonly #options: NameTableOptions
  /** What was folded since a checkpoint began. */
  #since: string[] | null = null

  constructor (options: NameTableOptions) {
    this.#options = options
    this.#names = createExpiringMap(options.now)
  }

  get (name: string): Name | undefined {
    const found = this.#names.get(name)
    if (found !== undefined) return found
    this.#unfoldName(name)
    return this.#names.get(name)
  }

  set (name: string, value: Name, endMs: number): void {
    this.#unfoldName(name)
    this.#names.set(name, value, endMs)
    this.#options.note(name)
  }

  delete (name: string): boolean {
    this.#unfoldName(name)
    const was = this.#names.delete(name)
    if (was) this.#options.note(name)
    return was
  }

  purge (max: number): void {
    this.#names.purge(max)
  }

  whole (name: string): { readonly value: Name, readonly endMs: number } | undefined {
    const found = this.#names.whole(name)
    if (found !== undefined) return found
    const hash = hashOf(name)
    for (const [index, kind] of kinds.entries()) {
      const folded = this.#lookAt(slotOf(hash, index), kind)
      if (folded?.name === name) return folded
    }
    return undefined
  }

  * entries (): Generator<[name: string, value: Name]> {
    yield * this.#names.entries()
    for (const slot of this.#folded.keys()) {
      const kind = kinds[slot % kinds.length]
      const folded = kind === undefined ? null : this.#lookAt(slot, kind)
      if (folded !== null) yield [folded.name, folded.value]
    }
  }

  /** The row is packed from now on: its own names are kept with it. */
  fold (entry: Entry): void {
    for (const [index, kind] of kinds.entries()) {
      const own = ownOf(entry, kind)
      if (own === null) continue
      const found = this.#names.whole(own.name)
      if (found === undefined || found.value.id !== own.value.id || found.value.fingerprint !== own.value.fingerprint || found.endMs !== own.endMs) continue
      const slot = slotOf(hashOf(own.name), index)
      if (this.#folded.has(slot)) continue
      this.#folded.set(slot, entry.row.id)
      this.#names.delete(own.name)
      this.#since?.push(own.name)
    }
  }

  /** It is not packed any more. */
  unfold (entry: Entry): void {
    for (const [index, kind] of kinds.entries()) {
      const own = ownOf(entry, kind)
      if (own === null) continue
      const slot = slotOf(hashOf(own.name), index)
      if (this.#folded.get(slot) !== entry.row.id) continue
      this.#folded.delete(slot)
      // What was said of a name later than of its row is what holds.
      if (own.endMs > this.#options.now() && this.#names.whole(own.name) === undefined) this.#names.set(own.name, own.value, own.endMs)
    }
  }

  /** The letters of those of its own names that are kept with this row. */
  foldedOf (entry: Entry): string {
    let letters = ''
    for (const [index, kind] of kinds.entries()) {
      const own = ownOf(entry, kind)
      if (own !== null && this.#folded.get(slotOf(hashOf(own.name), index)) === entry.row.id) letters += kind[0]
    }
    return letters
  }

  /** The names that this row has itself, each with its letter; whether they lead to it is another matter. */
  * ownOf (entry: Entry): Generator<Own & { readonly letter: string }> {
    for (const kind of kinds) {
      const own = ownOf(entry, kind)
      if (own !== null) yield { ...own, letter: kind[0] }
    }
  }

  /** Puts the names with these letters of a row back; `isPacked`: as {@link fold} leaves them. Nobody is told. */
  putBack (entry: Entry, letters: string, isPacked: boolean): void {
    for (let index = 0; index < kinds.length; index += 1) {
      const kind = kinds[index]
      const name = kind === undefined || !letters.includes(kind[0]) ? null : nameIn(entry.hidden, kind[1])
      if (kind === undefined || name === null) continue
      const slot = slotOf(hashOf(name), index)
      if (isPacked && !this.#folded.has(slot)) {
        this.#folded.set(slot, entry.row.id)
        continue
      }
      const own = ownOf(entry, kind)
      if (own !== null) this.#names.set(own.name, own.value, own.endMs)
    }
  }

  /** The names that are not kept with rows, and after them those that came to be since {@link noteFolded}. */
  * unfolded (): Generator<string> {
    for (const [name] of this.#names.entries()) yield name
    yield * this.#since ?? []
  }

  /** From now on, or (`false`) no more, {@link unfolded} has names that are folded meanwhile, too: one of them may stand in nothing that was written so far. */
  noteFolded (isOn: boolean): void {
    this.#since = isOn ? [] : null
  }

  #unfoldName (name: string): void {
    if (this.#folded.size === 0) return
    const hash = hashOf(name)
    for (let index = 0; index < kinds.length; index += 1) {
      const id = this.#folded.get(slotOf(hash, index))
      if (id !== undefined) this.#options.loosen(id)
    }
  }

  /** The name that is folded there, while it has not ended. */
  #lookAt (slot: number, kind: Kind): Own | null {
    const id = this.#folded.get(slot)
    const entry = id === undefined ? undefined : this.#options.look(id)
    const own = entry === undefined ? null : ownOf(entry, kind)
    return own !== null && own.endMs > this.#options.now() ? own : null
  }
}

/** What reads a field by a name that it is told asks V8 anew each time. */
function nameIn (hidden: Hidden, field: Kind[1]): string | null {
  switch (field) {
    case 'cacheName': return hidden.cacheName
    case 'learnedName': return hidden.learnedName
    case 'reuseName': return hidden.reuseName
    case 'idempotencyName': return hidden.idempotencyName
  }
}

/** A name as it would be if it leads to the row that has it. */
export interface Own { readonly name: string, readonly value: Name, readonly endMs: number }

function ownOf ({ row, hidden }: Entry, [, field]: Kind): Own | null {
  const name = nameIn(hidden, field)
  if (name === null) return null
  const isKey = field === 'idempotencyName'
  return { name, value: { id: row.id, fingerprint: isKey ? hidden.fingerprint : null }, endMs: isKey ? hidden.keyedUntilMs : Infinity }
}

function slotOf (hash: number, kind: number): number {
  return hash * kinds.length + kind
}
