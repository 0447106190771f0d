// Keys: who sent a request, and new ones.

import { hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { Tenant, TenantBook } from './book.ts'

/** Who sent a request, and with which key; the id is the only part of a key that may be logged. */
export interface Identity { readonly tenant: Tenant, readonly keyId: string }

/** `Bearer` is what HTTP knows, `Key` is what fal's own clients send. */
const CREDENTIAL = /^(?:bearer|key) +(\S+) *$/i
const KEY = /^fg_([A-Za-z0-9-]{1,64})_([\x21-\x7e]{1,256})$/
const MAX_HEADER_CHARACTERS = 512

/** Stands in for the digest of a key that does not exist. No secret has it. */
const NO_DIGEST = Buffer.alloc(32)

/** What an `Authorization` header carries after `Bearer` or `Key`, or `null`. */
export function credentialOf (authorization: string | undefined): string | null {
  if (authorization === undefined || authorization.length > MAX_HEADER_CHARACTERS) return null
  return CREDENTIAL.exec(authorization)?.[1] ?? null
}

/**
 * Finds the tenant of a key (`fg_<key id>_<secret>`) in an `Authorization` header. An unknown id takes as long as a wrong secret,
 * and only the right secret learns that its key has expired.
 */
export function identify (book: TenantBook, authorization: string | undefined, nowMs: number): Identity | 'key-missing' | 'key-unknown' | 'key-expired' {
  if (authorization === undefined || authorization === '') return 'key-missing'
  const [, keyId, secret] = KEY.exec(credentialOf(authorization) ?? '') ?? []
  if (keyId === undefined || secret === undefined) return 'key-unknown'
  const key = book.find(keyId)
  const isRight = timingSafeEqual(hash('sha256', secret, 'buffer'), key?.digest ?? NO_DIGEST)
  if (key === undefined || !isRight) return 'key-unknown'
  if (key.expiresAtMs !== null && nowMs >= key.expiresAtMs) return 'key-expired'
  return { tenant: key.tenant, keyId }
}

/** A new key: the text to hand over, once, and the line that goes into its tenant's `keys` in the tenants file. */
export function createKey (): { readonly key: string, readonly line: string } {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const id = Array.from({ length: 8 }, () => alphabet[randomInt(alphabet.length)]).join('')
  const secret = randomBytes(32).toString('base64url')
  return { key: `fg_${id}_${secret}`, line: JSON.stringify({ id, sha256: hash('sha256', secret) }) }
}
