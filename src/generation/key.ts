// What makes two requests the same: canonical input, and the digests that the ledger uses as names.

import { hash } from 'node:crypto'
import { modelOf } from '../models/catalogue.ts'
import type { Model } from '../models/model.ts'
import { ledgerConstants } from './ports.ts'
import type { Row, Terms } from './row.ts'

/**
 * JSON with sorted keys and no spaces. `seed` at the top is written with these digits, so that seeds beyond 2^53 stay what they were.
 */
export function canonicalJson (value: Readonly<Record<string, unknown>>, seed: string | null): string {
  let fields = ''
  for (const key of Object.keys(value).sort()) {
    const text = key === 'seed' && seed !== null ? seed : encode(value[key])
    fields += `${fields === '' ? '' : ','}${JSON.stringify(key)}:${text}`
  }
  return `{${fields}}`
}

function encode (value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(encode).join(',')}]`
  if (typeof value === 'object' && value !== null) return canonicalJson({ ...value }, null)
  return JSON.stringify(value)
}

/** The cache name: tenants of one cache group that ask one model for one seeded input mean the same picture. */
export function resultName (cacheGroup: string, model: Model, canonicalInput: string): string {
  return digest('result', cacheGroup, model.endpointId, String(model.schemaVersion), canonicalInput)
}

/** The cache name that the answer's seed gives to an input that asked for none. */
export function learnedName (cacheGroup: string, model: Model, canonicalInput: string, seed: string): string {
  const input: Record<string, unknown> = { ...JSON.parse(canonicalInput), seed: 0 }
  return resultName(cacheGroup, model, canonicalJson(input, seed))
}

/** What an ended row is found under: a success that is stored and had no name of its own has the one that its answer's seed gave it. */
export function termsAtEnd (row: Row, terms: Terms): Terms {
  const model = modelOf(row.model)
  if (row.phase !== 'succeeded' || !row.stored || terms.cacheName !== null || row.cacheGroup === null || row.seed === null || row.input === null || model === undefined) return terms
  return { ...terms, learnedName: learnedName(row.cacheGroup, model, row.input, row.seed) }
}

/** The name of an `Idempotency-Key`: the same key of another tenant or token is another key. Of a list the first one has the key's own, the others their places. */
export function idempotencyName (tenant: string, subject: string, key: string, place = 0): string {
  return digest('idempotency', tenant, subject, key, ...placeIn(place))
}

/** What a key stands for: the request as it was sent, before defaults. */
export function fingerprint (model: Model, canonicalAsSent: string): string {
  return digest('fingerprint', model.endpointId, canonicalAsSent)
}

/** What makes two unseeded requests of one caller twins. Those of one list are none: each but the first has its place in its name. */
export function twinName (tenant: string, subject: string, model: Model, canonicalInput: string, place = 0): string {
  return digest('twin', tenant, subject, model.endpointId, canonicalInput, ...placeIn(place))
}

function placeIn (place: number): readonly string[] {
  return place === 0 ? [] : [String(place)]
}

/** What is left of an input that its row does not keep, or null where every row keeps it. */
export function inputSha256 (canonicalInput: string): string | null {
  return Buffer.byteLength(canonicalInput) > ledgerConstants.maxUnspentInputBytes ? hash('sha256', canonicalInput) : null
}

/** Parts are encoded before they are joined, so that no two lists of parts give one text. */
function digest (...parts: readonly string[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url')
}
