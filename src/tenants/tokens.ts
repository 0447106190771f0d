// Browser tokens: what a tenant's backend may give to a page in place of its key, and what a token narrows its tenant's rights to.

import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { newSecret } from '../ids.ts'
import { guardOf } from '../schema.ts'
import { markOf, mayUse, type Tenant, type TenantBook, type TenantKey } from './book.ts'
import { Scalar } from './file.ts'
import { credentialOf } from './keys.ts'

const TOKEN = /^fgt_([A-Za-z0-9-]{1,64})[_:]([\x21-\x7e]{1,256})$/

/** What a token's holder may, beside what the ledger counts. Kept as JSON text. */
const TokenTerms = Type.Object({
  /** The key that asked for it: it ends with that. */
  keyId: Type.String(),
  /** Free text for logs. */
  label: Type.Union([Type.String(), Type.Null()]),
  /** Endpoint ids; `null`: all of the tenant's. */
  models: Type.Union([Type.Array(Type.String()), Type.Null()]),
  allow: Type.Record(Type.String(), Type.Array(Scalar)),
  /** Which of the modes that pay again it may name. */
  cache: Type.Array(Type.Union([Type.Literal('refresh'), Type.Literal('bypass')])),
  /** What it was given: files, and micro-dollars (`null`: only the files are counted). */
  pictures: Type.Integer(),
  money: Type.Union([Type.Integer(), Type.Null()])
})

export type TokenTerms = Static<typeof TokenTerms>

const isTerms = guardOf(TokenTerms)

/** Reads the terms of a token as the ledger keeps them. Throws when they are none. */
export function readTerms (text: string): TokenTerms {
  const terms: unknown = JSON.parse(text)
  if (!isTerms(terms)) throw new Error('the terms of a token cannot be read')
  return terms
}

/** Id and secret of a token (`fgt_<id>_<secret>` or `fgt_<id>:<secret>`) in an `Authorization` header, or `null`. */
export function tokenIn (authorization: string | undefined): { readonly id: string, readonly secret: string } | null {
  const [, id, secret] = TOKEN.exec(credentialOf(authorization) ?? '') ?? []
  return id === undefined || secret === undefined ? null : { id, secret }
}

/** Does this text have the form of a token? */
export function looksLikeToken (text: string): boolean {
  return TOKEN.test(text)
}

/**
 * The characters of a secret, one after another: the mark of the key that gave the token out, chance (162 bits), and a seal, which takes that key's hash to make.
 * By the seal a replica tells a token or ticket that was made up from one that it has not met yet, without asking the ledger. Whether the secret is right is another
 * question, which the hash that the ledger keeps answers.
 */
const MARK_CHARACTERS = markOf('').length
const CHANCE_CHARACTERS = 27
const SEAL_CHARACTERS = 11

/** A new secret for what has this id and is given out by this key: 43 letters, digits, `-` and `_`. */
export function sealedSecret (id: string, key: TenantKey): string {
  const open = markOf(key.id) + newSecret().slice(0, CHANCE_CHARACTERS)
  return open + sealOf(key, id, open)
}

/** A new secret for the token with this id, which this key gives out: the text to hand over, once, and the hash that is kept. */
export function createSecret (id: string, key: TenantKey): { readonly token: string, readonly secretSha256: string } {
  const secret = sealedSecret(id, key)
  return { token: `fgt_${id}_${secret}`, secretSha256: hash('sha256', secret) }
}

/** Did a key of this book give out this secret for what has this id? What was given out by a key that is there no more, or has another secret by now, counts as made up. */
export function isSealed (book: Pick<TenantBook, 'findMarked'>, id: string, secret: string): boolean {
  const [open, seal] = [secret.slice(0, -SEAL_CHARACTERS), Buffer.from(secret.slice(-SEAL_CHARACTERS))]
  if (open.length !== MARK_CHARACTERS + CHANCE_CHARACTERS) return false
  return book.findMarked(open.slice(0, MARK_CHARACTERS)).some(key => timingSafeEqual(Buffer.from(sealOf(key, id, open)), seal))
}

function sealOf ({ digest }: TenantKey, id: string, open: string): string {
  return createHmac('sha256', digest).update(`token ${id} ${open}`).digest('base64url').slice(0, SEAL_CHARACTERS)
}

/** The tenant as the holder of a token meets it: never more than the tenant itself may, whatever was changed since. */
export function narrowed (tenant: Tenant, { models, allow }: Pick<TokenTerms, 'models' | 'allow'>): Tenant {
  const both = new Map(tenant.allow)
  for (const [parameter, values] of Object.entries(allow)) {
    const listed = tenant.allow.get(parameter)
    both.set(parameter, listed === undefined ? values : values.filter(value => listed.includes(value)))
  }
  return { ...tenant, allow: both, models: models === null ? tenant.models : models.filter(id => mayUse(tenant, id)) }
}
