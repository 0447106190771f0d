// Browser tokens: what a tenant's backend may give to a page in place of its key, and what a token narrows its tenant's rights to.

import { hash } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import { newSecret } from '../ids.ts'
import { guardOf } from '../schema.ts'
import { mayUse, type Tenant } from './book.ts'
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

/** A new secret for the token with this id: the text to hand over, once, and the hash that is kept. */
export function createSecret (id: string): { readonly token: string, readonly secretSha256: string } {
  const secret = newSecret()
  return { token: `fgt_${id}_${secret}`, secretSha256: hash('sha256', secret) }
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
