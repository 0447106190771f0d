// The browser tokens of a walk: who may be drawn on, and whether each has left what its rows leave it.

import type { Token } from '../../src/generation/accounts.ts'
import type { Generation } from '../../src/generation/generation.ts'
import { ledgerConstants } from '../../src/generation/ledger-constants.ts'
import type { Ledger } from '../../src/generation/ledger.ts'

/** What a row takes from its token: held while it is open, spent when it has ended. */
interface Draw { readonly token: string, readonly isOpen: boolean, readonly pictures: number, readonly money: number }

export interface TokenWitness {
  /** A token was minted, for the first time or again. */
  readonly add: (token: Token) => void
  /** It was revoked. */
  readonly revoke: (token: Token, atMs: number) => void
  /** One of those minted so far. */
  readonly pick: (which: number) => Token | undefined
  /** Was a token forgotten between these moments, the later one included? */
  readonly forgottenBetween: (fromMs: number, toMs: number) => boolean
  /** Rejects when a token has not left what was minted without what its rows took, those that are forgotten by now included. `found`: every row that there is. */
  readonly compare: (ledger: Ledger, found: readonly Generation[]) => Promise<void>
}

export function createTokenWitness (): TokenWitness {
  const minted = new Map<string, Token>()
  const draws = new Map<string, Draw>()
  /** When each of them ends, by itself or because it was revoked. */
  const ends = new Map<string, number>()
  const revoked = new Set<string>()

  function follow (found: readonly Generation[]): void {
    const own = new Map(found.filter(({ id, purchase }) => id === purchase).map(row => [row.id, row]))
    // What is forgotten was paid for or not as it ended; an open row goes only where it gives way to another.
    for (const [id, { isOpen }] of draws) if (isOpen && !own.has(id)) draws.delete(id)
    for (const row of own.values()) {
      if (row.token !== null) draws.set(row.id, drawOf(row, row.token))
      else draws.delete(row.id)
    }
  }

  return {
    add: token => {
      if (minted.has(token.id)) return
      minted.set(token.id, token)
      ends.set(token.id, token.expiresAtMs)
    },
    revoke: ({ id }, atMs) => {
      if (!revoked.has(id)) ends.set(id, Math.min(atMs, ends.get(id) ?? atMs))
      revoked.add(id)
    },
    pick: which => [...minted.values()][which % Math.max(1, minted.size)],
    forgottenBetween: (fromMs, toMs) => [...ends.values()].some(endMs => {
      const forgottenAtMs = endMs + ledgerConstants.tokenKeptMs
      return fromMs < forgottenAtMs && forgottenAtMs <= toMs
    }),
    compare: async (ledger, found) => {
      follow(found)
      for (const { id, picturesLeft, moneyLeft } of minted.values()) {
        const left = await ledger.token(id)
        if (left === null) continue
        const taken = [...draws.values()].filter(({ token }) => token === id)
        const pictures = taken.reduce((sum, draw) => sum - draw.pictures, picturesLeft)
        const money = taken.reduce((sum, draw) => sum - draw.money, moneyLeft)
        if (left.picturesLeft !== pictures || left.moneyLeft !== money) throw new Error(`token ${id} has ${left.picturesLeft} pictures and ${left.moneyLeft} left, its rows leave ${pictures} and ${money}`)
      }
    }
  }
}

function drawOf ({ phase, cost, price, files }: Generation, token: string): Draw {
  const isOpen = phase !== 'succeeded' && phase !== 'failed' && phase !== 'cancelled'
  const money = isOpen ? price : cost ?? 0
  return { token, isOpen, money, pictures: money > 0 ? files : 0 }
}
