// What makes two requests the same: canonical input, and the digests that the ledger uses as names.

import { hash } from 'node:crypto'
import { exactNumbers, type ExactNumbers } from '../fal-wire/exact-numbers.ts'
import { takesSeed, type Model, type ModelInput } from '../models/model.ts'
import type { Generation, Terms } from './generation.ts'
import { ledgerConstants } from './ledger-constants.ts'

/**
 * JSON with sorted keys and no spaces. `seed` at the top is written with these digits, so that seeds beyond 2^53 stay what they were, and so are `numbers` in
 * their places.
 */
export function canonicalJson (value: Readonly<Record<string, unknown>>, seed: string | null, numbers: ExactNumbers | null = null): string {
  let fields = ''
  for (const key of Object.keys(value).sort()) {
    const text = key === 'seed' && seed !== null ? seed : encode(value[key], numbers?.get(key))
    fields += `${fields === '' ? '' : ','}${JSON.stringify(key)}:${text}`
  }
  return `{${fields}}`
}

function encode (value: unknown, exact: string | ExactNumbers | undefined): string {
  if (typeof exact === 'string') return typeof value === 'number' ? exact : encode(value, undefined)
  if (Array.isArray(value)) return `[${value.map((item, index) => encode(item, exact?.get(index))).join(',')}]`
  if (typeof value === 'object' && value !== null) return canonicalJson({ ...value }, null, exact)
  return JSON.stringify(value)
}

/** What of a model stands in names: which endpoint, and what its fields mean. */
export type NamedModel = Pick<Model, 'endpointId' | 'cacheVersion'>

/** The `cacheVersion` of the model with this endpoint id; `undefined` when nobody can ask it for a seed, because it takes none or is not on offer any more. */
export type CacheVersionOf = (endpointId: string) => number | undefined

/** The cache name: tenants of one cache group that ask one model for one seeded input mean the same picture. */
export function resultName (cacheGroup: string, model: NamedModel, canonicalInput: string): string {
  return digest('result', cacheGroup, model.endpointId, String(model.cacheVersion), canonicalInput)
}

/** The cache name of `Falgate-Cache: reuse`: tenants of one cache group that ask one model for one input mean any picture of it, whatever its seed. */
export function reuseName (cacheGroup: string, model: NamedModel & Pick<Model, 'seed'>, sent: ModelInput, numbers: ExactNumbers | null = null): string {
  const { seed, ...rest } = sent
  // What is called a seed and is none of the model's is a part of the input.
  return digest('reuse', cacheGroup, model.endpointId, String(model.cacheVersion), canonicalJson(takesSeed(model) ? rest : sent, null, numbers))
}

/**
 * The cache name that a row's input gets from the seed of its answer. `null`: the answer named none, or nothing is stored of this row, or nobody can ask
 * for its model any more. Nothing is guessed.
 */
export function learnedName ({ model, cacheGroup, input }: Pick<Generation, 'model' | 'cacheGroup' | 'input'>, seed: string | null, cacheVersionOf: CacheVersionOf): string | null {
  const cacheVersion = cacheVersionOf(model)
  if (seed === null || cacheGroup === null || input === null || cacheVersion === undefined) return null
  const seeded: Record<string, unknown> = { ...JSON.parse(input), seed: 0 }
  return resultName(cacheGroup, { endpointId: model, cacheVersion }, canonicalJson(seeded, seed, exactNumbers(input)))
}

/** What an ended row is found under: a success that is stored and was asked for without a seed has the name that its answer's seed gave it. */
export function termsAtEnd (row: Pick<Generation, 'phase' | 'stored' | 'seed' | 'model' | 'cacheGroup' | 'input'>, terms: Terms, cacheVersionOf: CacheVersionOf): Terms {
  const isSeeded = terms.cacheName !== null && terms.cacheName !== terms.reuseName
  if (row.phase !== 'succeeded' || !row.stored || isSeeded) return terms
  const learned = learnedName(row, row.seed, cacheVersionOf)
  return learned === null ? terms : { ...terms, learnedName: learned }
}

/** The name of an `Idempotency-Key`: the same key of another tenant or token is another key. Of a list the first one has the key's own, the others their index in it. */
export function idempotencyName (tenant: string, subject: string, key: string, index = 0): string {
  return digest('idempotency', tenant, subject, key, ...indexIn(index))
}

/** What a key stands for: the request as it was sent, before defaults, and how many of it were asked for together. */
export function fingerprint (model: Pick<NamedModel, 'endpointId'>, canonicalAsSent: string, of = 1): string {
  return digest('fingerprint', model.endpointId, canonicalAsSent, ...(of === 1 ? [] : [String(of)]))
}

/** What makes two unseeded requests of one caller duplicates. Those of one list are none: each but the first has its index in its name. */
export function duplicateName (tenant: string, subject: string, model: Pick<NamedModel, 'endpointId'>, canonicalInput: string, index = 0): string {
  return digest('duplicate', tenant, subject, model.endpointId, canonicalInput, ...indexIn(index))
}

function indexIn (index: number): readonly string[] {
  return index === 0 ? [] : [String(index)]
}

/** What is left of an input that its row does not keep, or null where every row keeps it. */
export function inputSha256 (canonicalInput: string): string | null {
  return Buffer.byteLength(canonicalInput) > ledgerConstants.maxUnspentInputBytes ? hash('sha256', canonicalInput) : null
}

/** Parts are encoded before they are joined, so that no two lists of parts give one text. */
function digest (...parts: readonly string[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url')
}
