// Keys: who sent a request, and new ones.

import { hash, randomInt, timingSafeEqual } from 'node:crypto'
import { newSecret } from '../ids.ts'
import type { Tenant, TenantBook } from './book.ts'

/** Who sent a request, and with which key; the id is the only part of a key that may be logged. */
export interface Identity { readonly tenant: Tenant, readonly keyId: string }

/** Why nobody was found: no header, none that carries a key, a key that is none of this gateway's by its form, one that is not known, one of yesterday. */
export type Unidentified = 'key-missing' | 'no-credential' | 'no-key' | 'key-unknown' | 'key-expired'

/** `Bearer` is what HTTP knows, `Key` is what fal's own clients send. */
const CREDENTIAL = /^(?:bearer|key) +(\S+) *$/i
/** With a colon a key has the form of fal's own, which some of its clients insist on, or put together from an id and a secret. */
const KEY = /^fg_([A-Za-z0-9-]{1,64})[_:]([\x21-\x7e]{1,256})$/
const MAX_HEADER_CHARACTERS = 512

/** Stands in for the digest of a key that does not exist. No secret has it. */
const NO_DIGEST = Buffer.alloc(32)

/** What an `Authorization` header carries after `Bearer` or `Key`, or `null`. */
export function credentialOf (authorization: string | undefined): string | null {
  if (authorization === undefined || authorization.length > MAX_HEADER_CHARACTERS) return null
  return CREDENTIAL.exec(authorization)?.[1] ?? null
}

/** The id that an `Authorization` header names as that of its key, or `null`. Anybody may name one: nothing is proved by it. */
export function namedKeyId (authorization: string | undefined): string | null {
  const credential = credentialOf(authorization)
  return credential === null ? null : KEY.exec(credential)?.[1] ?? null
}

/**
 * Finds the tenant of a key (`fg_<key id>:<secret>` or `fg_<key id>_<secret>`) in an `Authorization` header. An unknown id takes as long as a wrong secret,
 * and only the right secret learns that its key has expired.
 */
export function identify (book: TenantBook, authorization: string | undefined, nowMs: number): Identity | Unidentified {
  if (authorization === undefined || authorization === '') return 'key-missing'
  const credential = credentialOf(authorization)
  if (credential === null) return 'no-credential'
  const [, keyId, secret] = KEY.exec(credential) ?? []
  if (keyId === undefined || secret === undefined) return 'no-key'
  const key = book.find(keyId)
  const isRight = timingSafeEqual(hash('sha256', secret, 'buffer'), key?.digest ?? NO_DIGEST)
  if (key === undefined || !isRight) return 'key-unknown'
  if (key.expiresAtMs !== null && nowMs >= key.expiresAtMs) return 'key-expired'
  return { tenant: key.tenant, keyId }
}

/** Is this still a key of this tenant? For what a key began, and which has to end with it. */
export function isInForce (book: TenantBook, keyId: string, tenantId: string, nowMs: number): boolean {
  const key = book.find(keyId)
  return key !== undefined && key.tenant.id === tenantId && (key.expiresAtMs === null || nowMs < key.expiresAtMs)
}

/** Does this text have the form of a key? */
export function looksLikeKey (text: string): boolean {
  return KEY.test(text)
}

/** A new key: the text to hand over, once, and the line that goes into its tenant's `keys` in the tenants file. */
export function createKey (): { readonly key: string, readonly line: string } {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const id = Array.from({ length: 8 }, () => alphabet[randomInt(alphabet.length)]).join('')
  const secret = newSecret()
  return { key: `fg_${id}:${secret}`, line: JSON.stringify({ id, sha256: hash('sha256', secret) }) }
}
