// Files of an output that are stored here: where their addresses stand in it is noted when a generation ends, and an answer has links of ours in their place.

import type { Readable } from 'node:stream'
import type { Bases } from './bases.ts'
import { integerOf, textOf } from './fields.ts'

/**
 * One address in an output: where it begins and how long it is, in bytes of its UTF-8, between the quotes of its JSON text. `file`: the name of the stored file that
 * is sent in its place; `null`: it is not stored yet, and the address is sent as it is.
 */
export interface Place { readonly at: number, readonly bytes: number, readonly file: string | null }

/** The places of an output, in its order. What is not among them stays what it is. */
export type Media = readonly Place[]

/** How a place without a file is written. */
const NOT_YET = '-'

/** As `<at>,<bytes>,<file> …`. */
export const media = {
  kind: 'text',
  read: (kept: string | undefined): Media => textOf(kept).split(' ').map(text => {
    const [at, bytes, file] = text.split(',')
    return { at: integerOf(at), bytes: integerOf(bytes), file: file === NOT_YET ? null : textOf(file) }
  }),
  write: (value: Media): string => value.map(({ at, bytes, file }) => `${at},${bytes},${file ?? NOT_YET}`).join(' ')
} as const

/** Is there a file that is not stored yet? */
export function hasMissing (media: Media | null): boolean {
  return media?.some(({ file }) => file === null) === true
}

/** What becomes of one address: its file is stored under a name; it may be later; or never, since it is not to be had any more or none that is fetched. */
export type Kept = { readonly kind: 'kept', readonly file: string } | { readonly kind: 'later' | 'never' }

/** Stores the file of an address. Never rejects. What is not stored when the signal fires is tried later. */
export type KeepFile = (address: string, signal: AbortSignal) => Promise<Kept>

/** A file of an output, read. `why` is a word for logs, and holds nothing of the address. */
export type ReadOutcome = { readonly kind: 'read', readonly bytes: Buffer } | { readonly kind: 'unread', readonly why: string }

/** Reads the file of an address as files are stored: from the hosts that are allowed, bounded in bytes and time. Never rejects. */
export type ReadFile = (address: string, signal: AbortSignal) => Promise<ReadOutcome>

/** How a stored file is named to what reads files, in the place of an address. */
const STORED = 'falgate-file:'

export function storedAddress (file: string): string {
  return STORED + file
}

/** The name of the stored file that such a name means; `null`: it is an address. */
export function storedFileAt (address: string): string | null {
  return address.startsWith(STORED) ? address.slice(STORED.length) : null
}

/** Where these addresses stand in an output, however they are escaped there; each is a place without a file. */
export function placesOf (output: string, addresses: readonly string[]): Media {
  const wanted = new Set(addresses)
  const places: Place[] = []
  let bytes = 0
  let seen = 0
  for (const { from, text } of textsOf(output)) {
    if (!wanted.has(unescaped(text))) continue
    bytes += Buffer.byteLength(output.slice(seen, from + 1))
    seen = from + 1
    places.push({ at: bytes, bytes: Buffer.byteLength(text) - 2, file: null })
  }
  return places
}

/** The texts of a JSON document with their quotes, also those that are longer than a regular expression goes through. */
function * textsOf (json: string): Generator<{ readonly from: number, readonly text: string }> {
  for (let from = json.indexOf('"'); from !== -1;) {
    let end = json.indexOf('"', from + 1)
    while (end !== -1 && isEscaped(json, end)) end = json.indexOf('"', end + 1)
    if (end === -1) return
    yield { from, text: json.slice(from, end + 1) }
    from = json.indexOf('"', end + 1)
  }
}

/** Behind an odd number of backslashes? */
function isEscaped (json: string, at: number): boolean {
  let first = at
  while (json[first - 1] === '\\') first -= 1
  return (at - first) % 2 === 1
}

/** The address at each place. */
export function addressesIn (output: string, media: Media): readonly string[] {
  const bytes = Buffer.from(output)
  return media.map(place => unescaped(`"${bytes.toString('utf8', place.at, place.at + place.bytes)}"`))
}

/** Stores what is missing, all at once. Gives the places as they are now: what can never be stored is none any more. */
export async function keepMissing (output: string, media: Media, keep: KeepFile, signal: AbortSignal): Promise<Media> {
  const addresses = addressesIn(output, media)
  const places = await Promise.all(media.map(async (place, n): Promise<readonly Place[]> => {
    if (place.file !== null) return [place]
    const kept = await keep(addresses[n] ?? '', signal)
    return kept.kind === 'kept' ? [{ ...place, file: kept.file }] : kept.kind === 'later' ? [place] : []
  }))
  return places.flat()
}

/** An output with what is noted of it. */
export interface Noted { readonly output: string, readonly media: Media, readonly bases: Bases | null }

/** Takes out of an output the files that are stored and stood inside it (`data:`): what lies elsewhere is not held twice. What stands behind them moves. */
export function withoutInner ({ output, media, bases }: Noted): Noted {
  const bytes = Buffer.from(output)
  const inner = media.filter(({ at, bytes: length, file }) => file !== null && length >= DATA.length && bytes.toString('latin1', at, at + DATA.length) === DATA)
  if (inner.length === 0) return { output, media, bases }
  const movedTo = (at: number): number => at - inner.reduce((sum, place) => place.at < at ? sum + place.bytes : sum, 0)
  const ends = [0, ...inner.map(place => place.at + place.bytes)]
  const parts = ends.map((from, n) => bytes.subarray(from, inner[n]?.at))
  return {
    output: Buffer.concat(parts).toString(),
    media: media.map(place => ({ ...place, at: movedTo(place.at), bytes: inner.includes(place) ? 0 : place.bytes })),
    bases: bases === null ? null : { ...bases, at: bases.at.map(movedTo) }
  }
}

const DATA = 'data:'

/** The text that stands between the quotes of its JSON. */
function unescaped (quoted: string): string {
  const value: unknown = JSON.parse(quoted)
  return textOf(value)
}

/** A part of a file, as a caller asks for it: from one byte to another (`null`: to its end), or as many of the last ones. Bytes count from 0. */
export type ByteRange =
  | { readonly kind: 'from', readonly first: number, readonly last: number | null }
  | { readonly kind: 'last', readonly bytes: number }

/** A stored file, or the part of it that was asked for: `content` has the bytes `first` to `last` of `bytes` in all. Who is given a stream reads or destroys it. */
export interface OpenedFile {
  readonly kind: 'opened'
  readonly bytes: number
  readonly first: number
  readonly last: number
  readonly content: Readable | Buffer
}

export type Opened = OpenedFile | { readonly kind: 'missing' } | { readonly kind: 'out-of-range', readonly bytes: number }

/** Signed paths of stored files: who has one may fetch that file until its time is over, and nobody else may. */
export interface MediaLinks {
  /** Path and query below the base of the gateway: the same text for a full hour, so that answers with it are. */
  readonly pathOf: (file: string) => string
  /** Changes when those paths do. */
  readonly period: () => number
  /** What an address with this name, time and signature allows now, and for how long. */
  readonly judge: (file: string, until: string | undefined, signature: string | undefined) => { readonly kind: 'allowed', readonly forMs: number } | { readonly kind: 'expired' } | { readonly kind: 'forged' }
}

/** The stored files as a door serves them. */
export interface StoredFiles {
  readonly links: MediaLinks
  /** `null`: the whole file. Rejects when nobody can tell whether it is there. */
  readonly open: (file: string, range: ByteRange | null) => Promise<Opened>
  /** How long a file is; `null`: it is not there. */
  readonly bytesOf: (file: string) => Promise<number | null>
  /** What it is served as. `isShown`: browsers show it in the page's place; everything else is saved. */
  readonly kindOf: (file: string) => { readonly type: string, readonly isShown: boolean }
}
