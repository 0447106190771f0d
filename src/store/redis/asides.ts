// Outputs that are too long for a row: written to Redis and read from it piece by piece, so that no call is long.

import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { rowFields, type Large } from '../../generation/generation.ts'
import type { Caller } from './caller.ts'
import type { Connection } from './connection.ts'

export interface Asides {
  /** Lays an output aside. Resolves to false when there is no room for it. */
  readonly put: (id: string, large: Large, output: string) => Promise<boolean>
  /** The output of this row, or null when none lies aside for it. Those who ask at one time share one reading. */
  readonly read: (id: string) => Promise<string | null>
}

/** The characters of one piece: 256 KiB of a picture as text. */
const PIECE_CHARACTERS = 262_144

/** Pieces that are read at one go. */
const PIECES_AT_ONCE = 4

export function createAsides ({ caller, connection }: { readonly caller: Caller, readonly connection: Connection }): Asides {
  const reading = new Map<string, Promise<string | null>>()

  async function readNow (id: string): Promise<string | null> {
    const found = await caller.call('aside', { id })
    if (found === null) return null
    const hash = createHash('sha256')
    const pieces: string[] = []
    for (let from = 0; from < found.pieces; from += PIECES_AT_ONCE) {
      const names = Array.from({ length: Math.min(PIECES_AT_ONCE, found.pieces - from) }, (_, n) => String(from + n))
      for (const piece of await connection.run(async client => await client.hmget(found.key, ...names))) {
        if (piece === null) return null // its hour ended meanwhile
        hash.update(piece)
        pieces.push(piece)
      }
    }
    // Its process ended while it laid the output aside; another one fetches it again.
    return hash.digest('hex') === found.sha256 ? pieces.join('') : null
  }

  return {
    async put (id, large, output) {
      const text = rowFields.large.write(large)
      let piece = 0
      for (const part of piecesOf(output)) {
        const { outcome } = await caller.call('putAside', { id, large: text, piece: String(piece++) }, part)
        if (outcome === 'full') return false
      }
      return true
    },
    async read (id) {
      let read = reading.get(id)
      if (read === undefined) {
        read = readNow(id).finally(() => { reading.delete(id) })
        reading.set(id, read)
      }
      return await read
    }
  }
}

/** In hex. Between the pieces other work has its turn: for the longest output it would wait for a good part of a second. */
export async function sha256Of (output: string): Promise<string> {
  const hash = createHash('sha256')
  for (const piece of piecesOf(output)) {
    hash.update(piece)
    await setImmediate()
  }
  return hash.digest('hex')
}

/** Cut between characters: half of a pair would be lost on the way. */
export function * piecesOf (output: string): Generator<string> {
  for (let from = 0, to = 0; from < output.length; from = to) {
    to = Math.min(output.length, from + PIECE_CHARACTERS)
    if (to < output.length && isFirstOfPair(output.charCodeAt(to - 1))) to -= 1
    yield output.slice(from, to)
  }
}

function isFirstOfPair (code: number): boolean {
  return code >= 0xD800 && code <= 0xDBFF
}
