// The tenants file as it is written: one schema for type, check and documentation, and the sentences for what does not fit it.

import { Type, type Static } from '@sinclair/typebox'
import { readJsonFile } from '../json-file.ts'
import { guardOf, misfitsOf, type Misfit } from '../schema.ts'

// Every description completes "expected …", because that is what a fault says.

const Limit = Type.Object({
  max: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'a whole number from 1 to 1000000' }),
  windowSeconds: Type.Integer({ minimum: 1, maximum: 86_400, description: 'a whole number of seconds from 1 to 86400' })
}, { additionalProperties: false, description: 'an object with max and windowSeconds' })

const BudgetEntry = Type.Object({
  usd: Type.Number({ minimum: 0, description: 'dollars, as a plain number' }),
  per: Type.Union([Type.Literal('day'), Type.Literal('month')], { description: 'day or month' })
}, { additionalProperties: false, description: 'an object with usd and per' })

const KeyEntry = Type.Object({
  id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'an id of 1 to 64 letters, digits and hyphens' }),
  sha256: Type.String({ pattern: '^[0-9A-Fa-f]{64}$', description: 'the SHA-256 of the secret in 64 hexadecimal digits' }),
  expires: Type.Optional(Type.String({ description: 'a date and time such as 2027-06-30T00:00:00Z' }))
}, { additionalProperties: false, description: 'an object with id and sha256' })

/** What a parameter may be limited to. */
export const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()], { description: 'a text, a number, true or false' })

const TenantEntry = Type.Object({
  id: Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$', description: 'an id of 1 to 64 letters, digits, dots, underscores and hyphens' }),
  keys: Type.Array(KeyEntry, { description: 'a list of keys' }),
  rateLimit: Type.Optional(Limit),
  callLimit: Type.Optional(Limit),
  maxInFlight: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'a whole number from 1 to 10000' })),
  maxQueued: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000, description: 'a whole number from 0 to 100000' })),
  weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'a whole number from 1 to 1000' })),
  budget: Type.Optional(BudgetEntry),
  cacheGroup: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$', description: 'a name of 1 to 64 letters, digits, dots, underscores and hyphens' })),
  twins: Type.Optional(Type.Union([Type.Literal('buy'), Type.Literal('join')], { description: 'buy or join' })),
  origins: Type.Optional(Type.Array(Type.String({ maxLength: 300, description: 'an origin such as https://studio.example' }), { description: 'a list of origins' })),
  webhooks: Type.Optional(Type.Array(Type.String({ maxLength: 300, description: 'a host name such as hooks.example' }), { maxItems: 1000, description: 'a list of host names' })),
  webhookSecretFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: 'the path of a file' })),
  models: Type.Optional(Type.Array(Type.String({ description: 'the endpoint id of a model on offer' }), { description: 'a list of endpoint ids' })),
  allow: Type.Optional(Type.Record(Type.String(), Type.Array(Scalar, { minItems: 1, description: 'a list of at least one value' }), { description: 'an object of parameters and their allowed values' }))
}, { additionalProperties: false, description: 'an object with id and keys' })

/** The tenants file. `id` and `keys` of a tenant are required, everything else has a default. */
export const TenantsFile = Type.Object({
  prices: Type.Optional(Type.Record(Type.String(), Type.Union([Type.Number(), Type.Object({}, { additionalProperties: true })], { description: 'dollars for one call, more than 0 and at most 1000, or a price rule' }), { description: 'an object of endpoint ids and prices' })),
  pricesRevision: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: 'a whole number from 0 to 1000000000' })),
  budget: Type.Optional(BudgetEntry),
  aliases: Type.Optional(Type.Record(Type.String(), Type.String({ description: 'the endpoint id of a model on offer' }), { description: 'an object of names and endpoint ids' })),
  tenants: Type.Array(TenantEntry, { minItems: 1, description: 'a list of at least one tenant' })
}, { additionalProperties: false, description: 'an object with a list of tenants' })

export type TenantsFile = Static<typeof TenantsFile>
export type TenantEntry = Static<typeof TenantEntry>
export type KeyEntry = Static<typeof KeyEntry>
export type BudgetEntry = Static<typeof BudgetEntry>
export type Scalar = Static<typeof Scalar>

const isTenantsFile = guardOf(TenantsFile)

/** The content of a tenants file, or what is wrong with it: each fault with its JSON pointer, none with a value. */
export function readTenantsFile (text: string): { readonly ok: true, readonly file: TenantsFile } | { readonly ok: false, readonly faults: readonly string[] } {
  const read = readJsonFile(text)
  if (!read.ok) return { ok: false, faults: [read.fault] }
  const { content } = read
  if (isTenantsFile(content)) return { ok: true, file: content }
  // What breaks two rules at one place needs one line.
  const faults = new Map<string, string>()
  for (const misfit of misfitsOf(TenantsFile, content)) {
    if (!faults.has(misfit.path)) faults.set(misfit.path, `${misfit.path === '' ? 'the file' : misfit.path}: ${sentenceOf(misfit)}`)
  }
  return { ok: false, faults: [...faults.values()] }
}

function sentenceOf ({ kind, description }: Misfit): string {
  switch (kind) {
    case 'unknown': return 'is not a known field'
    case 'missing': return 'is missing'
    case 'wrong': return `expected ${description ?? 'something else'}`
  }
}
