// Who may use the gateway and how much: the tenants file, checked and with every default filled in.

import { hash } from 'node:crypto'
import type { TSchema } from '@sinclair/typebox'
import type { Model, ModelInput } from '../models/model.ts'
import type { Models } from '../models/models.ts'
import { formatUsd, parseUsd, type MicroUsd } from '../money.ts'
import { guardOf, pointerTo } from '../schema.ts'
import { readTenantsFile, type BudgetEntry, type KeyEntry, type Scalar, type TenantEntry, type TenantsFile } from './file.ts'

/** At most `max` in each window. */
export interface Limit { readonly max: number, readonly windowSeconds: number }

/** Money for each UTC day or month. */
export interface BudgetLimit { readonly limit: MicroUsd, readonly per: 'day' | 'month' }

/** A team: what it may ask for, how much of it, and with whom it shares results. */
export interface Tenant {
  readonly id: string
  /** Purchases, on all replicas together. */
  readonly rateLimit: Limit
  /** Calls of every kind, per process. */
  readonly callLimit: Limit
  readonly maxInFlight: number
  readonly maxQueued: number
  /** Share of the slots at fal, in proportion to the other tenants' weights. */
  readonly weight: number
  readonly budget: BudgetLimit | null
  /** Tenants with the same value share results. A tenant alone has a value that no named group can have. */
  readonly cacheGroup: string
  /** Browser origins that may use its tokens, as `Origin` headers spell them. */
  readonly origins: readonly string[]
  /** Endpoint ids it may ask for; `null`: every model on offer. */
  readonly models: readonly string[] | null
  /** Parameters that are limited to some values. */
  readonly allow: ReadonlyMap<string, readonly Scalar[]>
}

/** A tenant's key, as the gateway knows it: never the secret. */
export interface TenantKey {
  readonly id: string
  readonly tenant: Tenant
  /** SHA-256 of the secret: 32 bytes. */
  readonly digest: Buffer
  readonly expiresAtMs: number | null
}

/** Everything that one version of the tenants file says. Immutable: a new file makes a new book. */
export interface TenantBook {
  readonly tenants: ReadonlyMap<string, Tenant>
  readonly companyBudget: BudgetLimit | null
  /** The highest price of one call of a model on offer: the file's, else the model's own. */
  readonly priceOf: (endpointId: string) => MicroUsd
  /** The price of one of the units that fal bills for such a call. */
  readonly unitPriceOf: (endpointId: string) => MicroUsd
  /** A name for the prices of a model and their revision. Two processes have the same name exactly when they reserve and book the same. */
  readonly priceRuleOf: (endpointId: string) => string
  readonly find: (keyId: string) => TenantKey | undefined
  /** What is sound but worth a line at start. */
  readonly warnings: readonly string[]
  /** Names this version of the file: the start of its text's SHA-256. */
  readonly version: string
}

/** A secret that stands in the documentation: that of `fg_demo_sandbox`, also in `docker/tenants.json`. Everybody has that key. */
const PUBLISHED_SECRET = 'sandbox'

const PUBLISHED_DIGEST = hash('sha256', PUBLISHED_SECRET)

interface TenantsOptions {
  /** What is on offer: other models are faults in the file. */
  readonly models: Models
  /** The keys of the file spend money, so none may be made with a published secret. */
  readonly isReal?: boolean
}

/** Checks a tenants file. All faults are named at once, by JSON pointer and without values. */
export function parseTenants (text: string, options: TenantsOptions): { readonly ok: true, readonly book: TenantBook } | { readonly ok: false, readonly faults: readonly string[] } {
  const read = readTenantsFile(text)
  if (!read.ok) return read
  const faults = faultsOf(read.file, options)
  return faults.length === 0 ? { ok: true, book: bookOf(read.file, options.models, versionOf(text)) } : { ok: false, faults }
}

/** Names a version of a tenants file. */
export function versionOf (text: string): string {
  return hash('sha256', text).slice(0, 16)
}

/** The book of the sandbox without a file: one tenant, whose key is always `fg_demo_sandbox`. */
export function demoTenants (models: Models): TenantBook {
  const text = JSON.stringify({
    tenants: [{ id: 'demo', keys: [{ id: 'demo', sha256: PUBLISHED_DIGEST }], budget: { usd: 1000, per: 'day' } }]
  } satisfies TenantsFile)
  const read = parseTenants(text, { models })
  if (!read.ok) throw new Error('the demo tenant is faulty')
  return read.book
}

/** May the tenant ask a model for this? `input` has its defaults filled in. `null`, or the sentence to refuse with. */
export function permits (tenant: Tenant, model: Model, input: ModelInput): string | null {
  if (tenant.models !== null && !tenant.models.includes(model.endpointId)) return 'This tenant may not use this model.'
  for (const [parameter, values] of tenant.allow) {
    if (!Object.hasOwn(model.input.properties, parameter)) continue
    if (!values.some(value => value === input[parameter])) {
      return `This tenant may set ${parameter} only to ${values.map(value => JSON.stringify(value)).join(', ')}.`
    }
  }
  return null
}

// ------------------------------------------------------------------------------------------------ beyond the schema

const MAX_PRICE = 1_000_000_000

/** What a schema cannot say: names that are taken twice, models and values that do not exist, dates, money. */
function faultsOf (file: TenantsFile, { models, isReal = false }: TenantsOptions): readonly string[] {
  const faults: string[] = []
  const tenantIds = new Set<string>()
  const keyIds = new Set<string>()

  for (const [endpointId, price] of Object.entries(file.prices ?? {})) {
    if (models.find(endpointId) === undefined) faults.push(`/prices/${pointerTo(endpointId)}: is not a model on offer`)
    const micro = parseUsd(price)
    // No budget would stop calls that are free. Above the most, sums of ten times the price would come near to where numbers are not exact.
    if (micro === null || micro === 0 || micro > MAX_PRICE) faults.push(`/prices/${pointerTo(endpointId)}: expected dollars for one call, more than 0 and at most ${formatUsd(MAX_PRICE)}`)
  }
  checkBudget(file.budget, '/budget')
  file.tenants.forEach((tenant, index) => { checkTenant(tenant, `/tenants/${index}`) })
  return faults

  function checkBudget (budget: BudgetEntry | undefined, at: string): void {
    if (budget !== undefined && parseUsd(budget.usd) === null) faults.push(`${at}/usd: expected dollars, as a plain number`)
  }

  function checkTenant (tenant: TenantEntry, at: string): void {
    if (tenantIds.has(tenant.id)) faults.push(`${at}/id: another tenant has the same id`)
    tenantIds.add(tenant.id)
    tenant.keys.forEach((key, index) => { checkKey(key, `${at}/keys/${index}`) })
    checkBudget(tenant.budget, `${at}/budget`)
    tenant.origins?.forEach((origin, index) => {
      if (!isOrigin(origin)) faults.push(`${at}/origins/${index}: expected an origin such as https://studio.example, without a path`)
    })
    tenant.models?.forEach((endpointId, index) => {
      if (models.find(endpointId) === undefined) faults.push(`${at}/models/${index}: is not a model on offer`)
    })
    checkAllow(tenant, `${at}/allow`)
  }

  function checkKey (key: KeyEntry, at: string): void {
    if (keyIds.has(key.id)) faults.push(`${at}/id: another key has the same id`)
    keyIds.add(key.id)
    if (isReal && key.sha256.toLowerCase() === PUBLISHED_DIGEST) faults.push(`${at}/sha256: this secret is published with falgate, so with a real fal key everybody could spend with it; make one of your own with falgate key <tenant>`)
    if (key.expires !== undefined && timeOf(key.expires) === null) faults.push(`${at}/expires: expected a date and time such as 2027-06-30T00:00:00Z`)
  }

  function checkAllow (tenant: TenantEntry, at: string): void {
    const offered = models.all.filter(model => tenant.models?.includes(model.endpointId) ?? true)
    for (const [parameter, values] of Object.entries(tenant.allow ?? {})) {
      const schemas = offered.flatMap(model => Object.hasOwn(model.input.properties, parameter) ? [model.input.properties[parameter]] : [])
      if (schemas.length === 0) faults.push(`${at}/${pointerTo(parameter)}: none of the tenant's models has this parameter`)
      else {
        values.forEach((value, index) => {
          if (!schemas.some(schema => canBe(schema, value))) faults.push(`${at}/${pointerTo(parameter)}/${index}: the parameter cannot have this value`)
        })
      }
    }
  }
}

function canBe (schema: TSchema | undefined, value: Scalar): boolean {
  return schema !== undefined && guardOf(schema)(value)
}

function isOrigin (text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
}

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/** Milliseconds since 1970 of an RFC 3339 time, or `null`. The zone is required: a local one would differ between replicas. */
function timeOf (text: string): number | null {
  const time = DATE_TIME.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(time) ? null : time
}

// ------------------------------------------------------------------------------------------------ the book

function bookOf (file: TenantsFile, models: Models, version: string): TenantBook {
  const tenants = new Map<string, Tenant>()
  const keys = new Map<string, TenantKey>()
  const stated = file.prices ?? {}
  const prices = new Map(models.all.map(model => [model.endpointId, pricesOf(model, parseUsd(stated[model.endpointId] ?? NaN) ?? model.price)]))

  for (const entry of file.tenants) {
    const tenant = tenantOf(entry)
    tenants.set(tenant.id, tenant)
    for (const key of entry.keys) {
      keys.set(key.id, { id: key.id, tenant, digest: Buffer.from(key.sha256, 'hex'), expiresAtMs: key.expires === undefined ? null : timeOf(key.expires) })
    }
  }

  function knownPrices (endpointId: string): Prices {
    const known = prices.get(endpointId)
    if (known === undefined) throw new RangeError('no model on offer has this endpoint id')
    return known
  }

  function priceRuleOf (endpointId: string): string {
    const { price, unitPrice } = knownPrices(endpointId)
    return hash('sha256', JSON.stringify(['price rule', endpointId, price, file.pricesRevision ?? 0, ...(unitPrice === price ? [] : [unitPrice])]), 'base64url')
  }

  return {
    tenants,
    companyBudget: budgetOf(file.budget),
    priceOf: endpointId => knownPrices(endpointId).price,
    unitPriceOf: endpointId => knownPrices(endpointId).unitPrice,
    priceRuleOf,
    find: keyId => keys.get(keyId),
    warnings: warningsOf(file, models, prices),
    version
  }
}

/** What one call of a model costs at most, and one of its units. */
interface Prices { readonly price: MicroUsd, readonly unitPrice: MicroUsd }

/** The price of a unit is rounded up to whole micro-dollars, and the price of the call is that of all its units: they never cost more than what is reserved for it. */
function pricesOf ({ units }: Model, price: MicroUsd): Prices {
  const unitPrice = Math.ceil(price / units)
  return { price: unitPrice * units, unitPrice }
}

function tenantOf (entry: TenantEntry): Tenant {
  return {
    id: entry.id,
    rateLimit: entry.rateLimit ?? { max: 60, windowSeconds: 60 },
    callLimit: entry.callLimit ?? { max: 6000, windowSeconds: 60 },
    maxInFlight: entry.maxInFlight ?? 4,
    maxQueued: entry.maxQueued ?? 100,
    weight: entry.weight ?? 1,
    budget: budgetOf(entry.budget),
    cacheGroup: entry.cacheGroup === undefined ? `tenant:${entry.id}` : `group:${entry.cacheGroup}`,
    origins: entry.origins ?? [],
    models: entry.models ?? null,
    allow: new Map(Object.entries(entry.allow ?? {}))
  }
}

function budgetOf (budget: BudgetEntry | undefined): BudgetLimit | null {
  return budget === undefined ? null : { limit: parseUsd(budget.usd) ?? 0, per: budget.per }
}

function warningsOf (file: TenantsFile, models: Models, prices: ReadonlyMap<string, Prices>): readonly string[] {
  const warnings: string[] = []
  for (const tenant of file.tenants) {
    if (tenant.budget === undefined) warnings.push(`tenant ${tenant.id} has no budget`)
    if (tenant.keys.length === 0) warnings.push(`tenant ${tenant.id} has no key`)
  }
  for (const model of models.all) {
    // Reserving less than a call costs lets a budget be overrun.
    if ((prices.get(model.endpointId)?.price ?? model.price) < model.price) warnings.push(`the price of ${model.endpointId} is below the known ${formatUsd(model.price)} USD`)
  }
  return warnings
}
