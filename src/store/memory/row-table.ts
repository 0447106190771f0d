// The rows by id, as a map has them. Those that have ended and were not looked at for a while are packed.

import type { Entry } from './entry.ts'
import { PackedRow } from './packed-row.ts'

/** So many ended rows are as they are handed out, by default: those that were looked at or ended last. */
const LOOSE_ROWS = 256

export class RowTable {
  readonly #rows = new Map<string, Entry | PackedRow>()
  /** Ended rows that are not packed, in the order of their coming; with what they were unpacked from, which still holds as long as neither half was replaced. */
  readonly #loose = new Map<string, Entry & { readonly packed: PackedRow } | null>()

  readonly #mostLoose: number
  readonly #onPacked: (entry: Entry) => void
  readonly #onLoosened: (entry: Entry) => void

  /** `onPacked` and `onLoosened` are told of each row that is packed from now on, or no more, before anybody sees it. */
  constructor (mostLoose = LOOSE_ROWS, { onPacked, onLoosened }: { readonly onPacked: (entry: Entry) => void, readonly onLoosened: (entry: Entry) => void }) {
    this.#mostLoose = mostLoose
    this.#onPacked = onPacked
    this.#onLoosened = onLoosened
  }

  get size (): number {
    return this.#rows.size
  }

  has (id: string): boolean {
    return this.#rows.has(id)
  }

  isPacked (id: string): boolean {
    return this.packedAt(id) !== null
  }

  packedAt (id: string): PackedRow | null {
    const kept = this.#rows.get(id)
    return kept instanceof PackedRow ? kept : null
  }

  /** The same entry for whoever asks until {@link tidy}. */
  get (id: string): Entry | undefined {
    const kept = this.#rows.get(id)
    if (!(kept instanceof PackedRow)) return kept
    const entry = kept.unpack(id)
    this.#rows.set(id, entry)
    this.#loose.set(id, { ...entry, packed: kept })
    this.#onLoosened(entry)
    return entry
  }

  /** To be read only: a change of it may be lost. */
  look (id: string): Entry | undefined {
    const kept = this.#rows.get(id)
    return kept instanceof PackedRow ? kept.unpack(id) : kept
  }

  /** As {@link look}, for one moment: see {@link PackedRow.glance}. */
  glance (id: string): Entry | undefined {
    const kept = this.#rows.get(id)
    return kept instanceof PackedRow ? kept.glance(id) : kept
  }

  /** Writes an entry that is new or was got, or says that one that is there may have ended. */
  set (id: string, entry: Entry): void {
    this.#rows.set(id, entry)
    if (hasEnded(entry) && !this.#loose.has(id)) this.#loose.set(id, null)
  }

  /** Writes a new one that is packed already; nobody is told. */
  put (id: string, packed: PackedRow): void {
    this.#rows.set(id, packed)
  }

  delete (id: string): boolean {
    this.get(id)
    this.#loose.delete(id)
    return this.#rows.delete(id)
  }

  keys (): IterableIterator<string> {
    return this.#rows.keys()
  }

  /** To be read only, as with {@link look}. */
  * values (): IterableIterator<Entry> {
    for (const [id, kept] of this.#rows) yield kept instanceof PackedRow ? kept.unpack(id) : kept
  }

  /** All that have not ended, and some that have. */
  * unended (): IterableIterator<Entry> {
    for (const kept of this.#rows.values()) if (!(kept instanceof PackedRow)) yield kept
  }

  /** Packs what came before the latest. To be called while nobody holds an entry that is still to be changed: between operations. */
  tidy (): void {
    if (this.#loose.size <= this.#mostLoose) return
    for (const [id, before] of this.#loose) {
      if (this.#loose.size <= this.#mostLoose) return
      this.#loose.delete(id)
      const entry = this.#rows.get(id)
      if (entry === undefined || entry instanceof PackedRow || !hasEnded(entry)) continue
      const isSame = before?.row === entry.row && before.hidden === entry.hidden
      const packed = isSame ? before.packed : PackedRow.of(entry)
      if (packed === null) continue
      this.#rows.set(id, packed)
      this.#onPacked(entry)
    }
  }
}

/** For good: an `unknown` has no time of its end. */
function hasEnded ({ row }: Entry): boolean {
  return row.finishedAtMs !== null
}
