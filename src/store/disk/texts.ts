// The long texts of rows: each is written once, and once its row has ended only its place is kept in memory. Whoever is shown the row is given the text.

import { isFinal } from '../memory/books.ts'
import type { Entry } from '../memory/entry.ts'
import { putTexts } from '../memory/rows.ts'
import type { State } from '../memory/state.ts'
import { placeIn, referTo, type Place } from '../memory/texts.ts'
import { textRecord } from './records.ts'

/** What has texts: a row its input and its output, what lies aside only one. The names are those in records. */
type Kind = 'i' | 'o' | 'a'

/** By which a record of a text names what has it. */
export function ownerOf (kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/** Texts that go to disk with a batch, and whose they are. */
export interface FreshTexts {
  readonly texts: string[]
  readonly owners: { readonly kind: Kind, readonly key: string, readonly text: string }[]
  readonly records: string[]
}

export interface Texts {
  /** Adds those texts of a row that are not on disk. */
  readonly ofRow: (fresh: FreshTexts, entry: Entry) => void
  /** The same for what lies aside. */
  readonly ofAside: (fresh: FreshTexts, name: string) => void
  /** They are on disk now, at these places. */
  readonly wrote: (fresh: FreshTexts, places: readonly Place[]) => void
  /** Every text that something leads to, with a way to say where it lies from now on. */
  readonly placesOfRow: (entry: Entry) => readonly Kept[]
  readonly placesOfAside: (name: string) => readonly Kept[]
  /** A record said that it lies there; last one first is what counts. */
  readonly found: (owner: string, place: Place) => void
  /** What a row had before its later record came: its texts lie there still, unless a record says otherwise. */
  readonly had: (entry: Entry) => void
  /** What stands in a row for this text of it. Throws when it is missing. */
  readonly referenceOf: (kind: 'i' | 'o', id: string) => string
  /** Everything is found: what lies aside has its place again, and of these rows, which have not ended, the input is read, or is what `read` has in its place. */
  readonly putBack: (open: readonly Entry[], read: (place: Place, id: string) => Promise<string | null>) => Promise<void>
  readonly forget: (id: string) => void
}

/** A text on disk, and which of a row's it is. */
export interface Kept {
  readonly owner: string
  readonly name: 'input' | 'output'
  readonly place: Place
  readonly moveTo: (place: Place) => void
}

export function createTexts (state: State): Texts {
  /** Inputs of rows that have not ended: they are in memory, since they are sent, and on disk. */
  const open = new Map<string, Place>()
  const found = new Map<string, Place>()
  const before = new Map<string, string>()

  function add (fresh: FreshTexts, kind: Kind, key: string, text: string | null): void {
    if (text === null || placeIn(text) !== null) return
    fresh.records.push(textRecord(ownerOf(kind, key), fresh.texts.length))
    fresh.texts.push(text)
    fresh.owners.push({ kind, key, text })
  }

  function wrote (kind: Kind, key: string, text: string, place: Place): void {
    if (kind === 'a') {
      const aside = state.asides.get(key)
      if (aside?.output === text) aside.output = referTo(place)
      return
    }
    const entry = state.rows.get(key)
    if (entry === undefined) return
    if (kind === 'o') {
      if (entry.row.output === text) putTexts(entry, { output: referTo(place) })
    } else if (entry.row.input === text) {
      open.set(key, place)
    }
    letGo(entry)
  }

  /** Its row has ended and its input is on disk: nobody sends it any more. */
  function letGo (entry: Entry): void {
    const { row } = entry
    const place = open.get(row.id)
    if (place === undefined || !isFinal(row)) return
    if (row.input !== null && placeIn(row.input) === null) putTexts(entry, { input: referTo(place) })
    open.delete(row.id)
  }

  function keptOf (kind: Kind, key: string, text: string | null, moveTo: (place: Place, from: string) => void): Kept[] {
    const place = text === null ? null : placeIn(text)
    return text === null || place === null ? [] : [{ owner: ownerOf(kind, key), name: kind === 'i' ? 'input' : 'output', place, moveTo: to => { moveTo(to, text) } }]
  }

  return {
    ofRow: (fresh, entry) => {
      letGo(entry)
      const { id, input, output } = entry.row
      if (!open.has(id)) add(fresh, 'i', id, input)
      add(fresh, 'o', id, output)
    },
    ofAside: (fresh, name) => { add(fresh, 'a', name, state.asides.get(name)?.output ?? null) },
    wrote: ({ owners }, places) => {
      for (const [index, { kind, key, text }] of owners.entries()) {
        const place = places[index]
        if (place !== undefined) wrote(kind, key, text, place)
      }
    },
    placesOfRow: ({ row: { id, input, output } }) => {
      const place = open.get(id)
      return [
        ...place === undefined
          ? keptOf('i', id, input, (to, from) => { move(id, 'input', from, to) })
          : [{ owner: ownerOf('i', id), name: 'input' as const, place, moveTo: (to: Place) => { moveOpen(id, place, to) } }],
        ...keptOf('o', id, output, (to, from) => { move(id, 'output', from, to) })
      ]
    },
    placesOfAside: name => {
      const aside = state.asides.get(name)
      return aside === undefined ? [] : keptOf('a', name, aside.output, to => { aside.output = referTo(to) })
    },
    found: (owner, place) => { found.set(owner, place) },
    had: ({ row: { id, input, output } }) => {
      if (input !== null) before.set(ownerOf('i', id), input)
      if (output !== null) before.set(ownerOf('o', id), output)
    },
    referenceOf,
    putBack: async (rows, read) => {
      for (const entry of rows) {
        const { id, input } = entry.row
        const place = input === null ? null : placeIn(input)
        if (place === null) continue
        const text = await read(place, id)
        if (text !== null) open.set(id, place)
        putTexts(entry, { input: text })
      }
      for (const [name, aside] of state.asides) aside.output = referenceOf('a', name)
      found.clear()
      before.clear()
    },
    forget: id => { open.delete(id) }
  }

  function move (id: string, name: 'input' | 'output', from: string, to: Place): void {
    const entry = state.rows.get(id)
    if (entry !== undefined && entry.row[name] === from) putTexts(entry, { [name]: referTo(to) })
  }

  /** The row may have ended meanwhile. */
  function moveOpen (id: string, from: Place, to: Place): void {
    if (open.has(id)) open.set(id, to)
    else move(id, 'input', referTo(from), to)
  }

  function referenceOf (kind: Kind, key: string): string {
    const owner = ownerOf(kind, key)
    const place = found.get(owner)
    const reference = place === undefined ? before.get(owner) : referTo(place)
    if (reference === undefined) throw new Error(`A text of ${key} is missing.`)
    return reference
  }
}

/**
 * The same result with texts in the place of their places, which may be read from disk. Reading begins at once. Rows stand in results by themselves, in lists, or as
 * `row`, `rows` or `got`.
 */
export function withTexts<Result> (result: Result, read: (place: Place) => Promise<string>): Promise<Result> | Result {
  const filled = fill(result, read)
  return filled === null ? result : filled as Promise<Result> // the same shape, with other texts in it
}

const HOLDERS = ['row', 'rows', 'got', 'input', 'output'] as const

/** `null`: there is nothing to read in it. */
function fill (value: unknown, read: (place: Place) => Promise<string>): Promise<unknown> | null {
  if (typeof value === 'string') {
    const place = placeIn(value)
    return place === null ? null : read(place)
  }
  if (Array.isArray(value)) {
    const filled = value.map(one => fill(one, read))
    return filled.every(one => one === null) ? null : Promise.all(filled.map((one, index) => one ?? value[index]))
  }
  if (typeof value !== 'object' || value === null) return null
  const parts = HOLDERS.flatMap(name => {
    const part = fill(Reflect.get(value, name), read)
    return part === null ? [] : [part.then(text => [name, text] as const)]
  })
  return parts.length === 0 ? null : Promise.all(parts).then(filled => ({ ...value, ...Object.fromEntries(filled) }))
}
