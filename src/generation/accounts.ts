// Money and rights of tenants and tokens, as the ledger tells them.

import type { MicroUsd } from '../money.ts'
import type { Account, Brief, Reader } from './generation.ts'

/** A browser token as the ledger keeps it; the secret's hash is checked by the door. */
export interface Token extends Reader {
  readonly id: string
  readonly secretSha256: string
  readonly origins: readonly string[]
  /** What else the door allows its holder, as text that only the door reads. */
  readonly terms: string
  readonly expiresAtMs: number
  readonly revoked: boolean
  readonly picturesLeft: number
  readonly moneyLeft: MicroUsd
}

/** A page of a tenant's tokens that have neither ended nor been revoked, the first to end first. */
export interface TokenPage {
  readonly tokens: readonly Token[]
  readonly isMore: boolean
  /** The cursor names none of them, or one that has ended meanwhile. */
  readonly isCursorUnknown: boolean
}

/** The right to open one event stream once, as the ledger keeps it until it is used. */
export interface Ticket extends Reader {
  /** SHA-256 of its text, which nobody keeps. */
  readonly sha256: string
  /** The id of the generation whose events are told. */
  readonly generation: string
  /** Who holds it, as text that only the door reads. */
  readonly terms: string
  readonly expiresAtMs: number
}

/** One line of the append-only journal, for finance. */
export interface JournalEntry {
  /** The line's place, to read on from. Lines of one millisecond have different ones. */
  readonly cursor: string
  readonly atMs: number
  readonly kind: 'purchase' | 'unknown' | 'correction' | 'double'
  readonly id: string
  readonly tenant: string
  readonly model: string
  readonly requestId: string | null
  readonly accounts: readonly Account[]
  /** What this line adds to what was spent; a correction may be negative. */
  readonly amount: MicroUsd
  readonly assumed: boolean
}

/** A row whose outcome is unknown, and since when. */
export interface OpenUnknown extends Brief { readonly sinceMs: number }

export interface Balance { readonly owner: string, readonly period: string, readonly held: MicroUsd, readonly spent: MicroUsd }
