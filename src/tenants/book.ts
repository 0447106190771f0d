// Who may use the gateway and how much: the tenants file, checked and with every default filled in.

import { hash } from 'node:crypto'
import { resolve } from 'node:path'
import { parseDateTime } from '../date-time.ts'
import { fieldNamesOf, type Model, type ModelInput } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { checkRule, highestPrice, type HighestPrice } from '../models/price-bound.ts'
import { MAX_PRICE, parsePriceRule, ruleText, scaledRule, type PriceRule } from '../models/price-rule.ts'
import { formatUsd, parseUsd, type MicroUsd } from '../money.ts'
import { pointerTo } from '../schema.ts'
import { readTenantsFile, type BudgetEntry, type KeyEntry, type Scalar, type TenantEntry, type TenantsFile } from './file.ts'
import { isOrigin } from './origins.ts'
import { isHere, parseWebhookHost, parseWebhookSecrets, WEBHOOK_HOST_RULE, type WebhookRights } from './webhooks.ts'

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
  /** Equal requests without seed and key, at the same time or soon after one another: each buys its own picture, or all are given one. */
  readonly twins: 'buy' | 'join'
  /** Browser origins that may use its tokens, as `Origin` headers spell them. */
  readonly origins: readonly string[]
  /** Where it may be told of what has ended. */
  readonly webhooks: WebhookRights
  /** Endpoint ids it may ask for, `owner/*` for all of an owner; `null`: every model on offer. */
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
  /** Names that OpenAI's clients may say in the place of endpoint ids. */
  readonly aliases: ReadonlyMap<string, string>
  /** The price rule of a model: the file's, else the model's own. */
  readonly ruleOf: (model: Model) => PriceRule
  /** A name for the price rule of a model and its revision. Two processes have the same name exactly when they reserve and book the same. */
  readonly priceRuleOf: (model: Model) => string
  readonly find: (keyId: string) => TenantKey | undefined
  /** The keys whose ids have this mark, which is nearly always one. */
  readonly findMarked: (mark: string) => readonly TenantKey[]
  /** What is sound but worth a line at start. */
  readonly warnings: readonly string[]
  /** Names this version of the file: the start of its text's SHA-256. */
  readonly version: string
}

/** A short name of a key's id, for a token that the key gives out: five letters, digits, `-` and `_`. */
export function markOf (keyId: string): string {
  return hash('sha256', keyId, 'base64url').slice(0, 5)
}

/** A secret that stands in the documentation: that of `fg_demo_sandbox`, also in `docker/tenants.json`. Everybody has that key. */
const PUBLISHED_SECRET = 'sandbox'

const PUBLISHED_DIGEST = hash('sha256', PUBLISHED_SECRET)

/** What webhooks of a tenant that has that key are signed with, where it names no secrets of its own. It stands in the documentation, too. */
export const PUBLISHED_WEBHOOK_SECRET = `whsec_${Buffer.from('falgate-sandbox-everybody-knows').toString('base64')}`

interface TenantsOptions {
  /** What is on offer: other models are faults in the file. */
  readonly models: ModelBook
  /** The keys of the file spend money, so none may be made with a published secret. */
  readonly isReal?: boolean
  /** Where paths in the file begin; the working directory by default. */
  readonly folder?: string
}

/** Checks a tenants file. All faults are named at once, by JSON pointer and without values. */
export function parseTenants (text: string, options: TenantsOptions): { readonly ok: true, readonly book: TenantBook } | { readonly ok: false, readonly faults: readonly string[] } {
  const read = readTenantsFile(text)
  if (!read.ok) return read
  const faults = faultsOf(read.file, options)
  return faults.length === 0 ? { ok: true, book: bookOf(read.file, options.models, versionOf(text), options.folder ?? '') } : { ok: false, faults }
}

/** The faults that a tenants file has whichever models are on offer, told as those of `parseTenants`. */
export function faultsBesideModels (text: string, { isReal }: Pick<TenantsOptions, 'isReal'>): readonly string[] {
  const read = readTenantsFile(text)
  return read.ok ? faultsOf(read.file, { models: null, ...isReal === undefined ? {} : { isReal } }) : read.faults
}

/** Names a version of a tenants file. */
export function versionOf (text: string): string {
  return hash('sha256', text).slice(0, 16)
}

/** The id of the key that everybody has. */
export const DEMO_KEY_ID = 'demo'

/** The key of the demo tenant, as callers send it. */
export const DEMO_KEY = 'fg_demo_sandbox'

/** The book of the sandbox without a file: one tenant, whose key is always `fg_demo_sandbox`. */
export function demoTenants (models: ModelBook): TenantBook {
  const text = JSON.stringify({
    tenants: [{ id: 'demo', keys: [{ id: DEMO_KEY_ID, sha256: PUBLISHED_DIGEST }], budget: { usd: 1000, per: 'day' }, webhooks: ['127.0.0.1:9000', 'localhost:9000'] }]
  } satisfies TenantsFile)
  const read = parseTenants(text, { models })
  if (!read.ok) throw new Error('the demo tenant is faulty')
  return read.book
}

/** May the tenant use this model? */
export function mayUse ({ models }: Pick<Tenant, 'models'>, endpointId: string): boolean {
  return models === null || models.some(pattern => pattern === endpointId || (pattern.endsWith('/*') && endpointId.startsWith(pattern.slice(0, -1))))
}

/** Why the tenant may not use this model, in a sentence; `null`: it may. */
export function refusalOf (tenant: Tenant, { endpointId }: Pick<Model, 'endpointId'>): string | null {
  return mayUse(tenant, endpointId) ? null : 'This tenant may not use this model.'
}

/** Why the tenant may not ask a model for what `input` says, in a sentence; `null`: it may. `input` has its defaults filled in as far as the model has any. */
export function refusalOfValues (tenant: Tenant, model: Model, input: ModelInput): string | null {
  if (tenant.allow.size === 0) return null
  const names = fieldNamesOf(model)
  for (const [parameter, values] of tenant.allow) {
    if (!names.includes(parameter)) continue
    if (values.length === 0) return `No value of ${parameter} is left that may be set here.`
    if (!values.some(value => value === input[parameter])) {
      return `This tenant may set ${parameter} only to ${values.map(value => JSON.stringify(value)).join(', ')}.`
    }
  }
  return null
}

// ------------------------------------------------------------------------------------------------ beyond the schema

/** What a schema cannot say: names that are taken twice, models and values that do not exist, dates, money. Without models nothing is said that depends on them. */
function faultsOf (file: TenantsFile, { models, isReal = false }: Omit<TenantsOptions, 'models'> & { readonly models: ModelBook | null }): readonly string[] {
  const faults: string[] = []
  const tenantIds = new Set<string>()
  const keyIds = new Set<string>()

  for (const [endpointId, price] of Object.entries(file.prices ?? {})) {
    const at = `/prices/${pointerTo(endpointId)}`
    const model = models === null ? null : models.find(endpointId)
    if (model === undefined) faults.push(`${at}: is not a model on offer`)
    else {
      const stated = model === null ? readPrice(price) : statedRule(model, price)
      faults.push(...stated.ok ? [] : stated.faults.map(fault => at + fault))
    }
  }
  checkBudget(file.budget, '/budget')
  for (const [name, endpointId] of Object.entries(file.aliases ?? {})) {
    const at = `/aliases/${pointerTo(name)}`
    if (!ALIAS.test(name)) faults.push(`${at}: expected a name of 1 to 128 visible characters without spaces`)
    if (models?.find(name) !== undefined) faults.push(`${at}: is the endpoint id of a model on offer, and means that one`)
    if (models !== null && models.find(endpointId) === undefined) faults.push(`${at}: is not a model on offer`)
  }
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
      if (!isOrigin(origin)) faults.push(`${at}/origins/${index}: expected an origin such as https://studio.example, https://*.studio.example or app://bundle, as browsers send it: without a path, in small letters`)
    })
    tenant.webhooks?.forEach((text, index) => {
      const host = parseWebhookHost(text)
      if (host === null) faults.push(`${at}/webhooks/${index}: expected ${WEBHOOK_HOST_RULE}`)
      else if (isReal && isHere(host)) faults.push(`${at}/webhooks/${index}: this machine may be called in a trial with the sandbox alone; name a host that everybody can reach`)
    })
    if (models === null) return
    tenant.models?.forEach((pattern, index) => {
      // A whole owner may be allowed before any of its models is there.
      if (!OWNER.test(pattern) && models.find(pattern) === undefined) faults.push(`${at}/models/${index}: is not a model on offer`)
    })
    checkAllow(tenant, models, `${at}/allow`)
  }

  function checkKey (key: KeyEntry, at: string): void {
    if (keyIds.has(key.id)) faults.push(`${at}/id: another key has the same id`)
    keyIds.add(key.id)
    if (isReal && key.sha256.toLowerCase() === PUBLISHED_DIGEST) faults.push(`${at}/sha256: this secret is published with falgate, so with a real fal key everybody could spend with it; make one of your own with falgate key <tenant>`)
    if (key.expires !== undefined && parseDateTime(key.expires) === null) faults.push(`${at}/expires: expected a date and time such as 2027-06-30T00:00:00Z`)
  }

  function checkAllow (tenant: TenantEntry, { all }: ModelBook, at: string): void {
    const offered = all.filter(({ endpointId }) => mayUse({ models: tenant.models ?? null }, endpointId))
    for (const [parameter, values] of Object.entries(tenant.allow ?? {})) {
      const having = offered.filter(model => fieldNamesOf(model).includes(parameter))
      if (having.length === 0) faults.push(`${at}/${pointerTo(parameter)}: none of the tenant's models has this parameter`)
      else {
        values.forEach((value, index) => {
          if (!having.some(model => canBe(model, parameter, value))) faults.push(`${at}/${pointerTo(parameter)}/${index}: the parameter cannot have this value`)
        })
      }
    }
  }
}

/** May a field of the model have this value, whatever else is missing? */
function canBe (model: Model, field: string, value: Scalar): boolean {
  const reading = model.readInput({ ...model.example, [field]: value }, { unknownFields: 'refuse', sentDefaults: [] })
  return reading.ok || !reading.faults.some(({ path }) => path === `/${pointerTo(field)}`)
}

/** A name that stands in bodies, headers and addresses. */
const ALIAS = /^[\x21-\x7e]{1,128}$/

/** `fal-ai/*`: all models of an owner. */
const OWNER = /^[A-Za-z0-9_][A-Za-z0-9._-]*\/\*$/

type StatedRule = { readonly ok: true, readonly rule: PriceRule } | { readonly ok: false, readonly faults: readonly string[] }

type ReadPrice =
  | { readonly ok: true, readonly dollars: MicroUsd }
  | { readonly ok: true, readonly rule: PriceRule }
  | { readonly ok: false, readonly faults: readonly string[] }

/** A price of the tenants file, for whichever model: a rule as in a model's file, or dollars for the dearest call. Faults go on from a JSON pointer. */
function readPrice (price: unknown): ReadPrice {
  if (typeof price !== 'number') {
    const parsed = parsePriceRule(price)
    return parsed.ok ? parsed : { ok: false, faults: parsed.faults.map(asTail) }
  }
  const dollars = parseUsd(price)
  // No budget would stop calls that are free. Above the most, sums of ten times the price would come near to where numbers are not exact.
  if (dollars === null || dollars === 0 || dollars > MAX_PRICE) return { ok: false, faults: [`: expected dollars for one call, more than 0 and at most ${formatUsd(MAX_PRICE)}, or a price rule`] }
  return { ok: true, dollars }
}

/** The rule that the tenants file states for a model; dollars scale the model's own. */
function statedRule (model: Model, price: unknown): StatedRule {
  const read = readPrice(price)
  if (!read.ok) return read
  if ('dollars' in read) return { ok: true, rule: scaledRule(model.rule, read.dollars, dearestOf(model, model.rule)) }
  const faults = checkRule(read.rule, model)
  return faults.length === 0 ? read : { ok: false, faults: faults.map(asTail) }
}

function asTail (fault: string): string {
  return fault.startsWith('/') ? fault : `: ${fault}`
}

/** What a rule says, for its name. One that knows a single price is told by that, however it is written: versions before there were rules call it the same. */
function termsOf (model: Model, rule: PriceRule): MicroUsd | string {
  const { unitPrice, times, plus, max } = rule
  const isOnePrice = unitPrice !== null && times.size === 0 && plus.size === 0 && max === null && dearestOf(model, rule) === unitPrice
  return isOnePrice ? unitPrice : ruleText(rule)
}

/** What a call that leaves everything open costs at most; `null`: it cannot be told. */
export function dearestOf (model: Model, rule: PriceRule): MicroUsd | null {
  const highest = highestPrice(rule, {}, model)
  return highest.ok ? highest.price : null
}

/** The most that a call may cost under the rule in force. */
export function highestPriceOf (book: Pick<TenantBook, 'ruleOf'>, model: Model, sent: ModelInput): HighestPrice {
  return highestPrice(book.ruleOf(model), sent, model)
}

// ------------------------------------------------------------------------------------------------ the book

function bookOf (file: TenantsFile, models: ModelBook, version: string, folder: string): TenantBook {
  const tenants = new Map<string, Tenant>()
  const keys = new Map<string, TenantKey>()
  const rules = new Map<string, PriceRule>()
  for (const [endpointId, price] of Object.entries(file.prices ?? {})) {
    const model = models.find(endpointId)
    const stated = model === undefined ? null : statedRule(model, price)
    if (stated?.ok === true) rules.set(endpointId, stated.rule)
  }
  /** Made when they are needed first; a model's own rule may change with its file. */
  const names = new Map<string, { readonly rule: PriceRule, readonly name: string }>()

  for (const entry of file.tenants) {
    const tenant = tenantOf(entry, folder)
    tenants.set(tenant.id, tenant)
    for (const key of entry.keys) {
      keys.set(key.id, { id: key.id, tenant, digest: Buffer.from(key.sha256, 'hex'), expiresAtMs: key.expires === undefined ? null : parseDateTime(key.expires) })
    }
  }

  const marked = new Map<string, readonly TenantKey[]>()
  for (const key of keys.values()) marked.set(markOf(key.id), [...marked.get(markOf(key.id)) ?? [], key])

  function ruleOf ({ endpointId, rule }: Model): PriceRule {
    return rules.get(endpointId) ?? rule
  }

  function priceRuleOf (model: Model): string {
    const rule = ruleOf(model)
    const known = names.get(model.endpointId)
    if (known?.rule === rule) return known.name
    const name = hash('sha256', JSON.stringify(['price rule', model.endpointId, termsOf(model, rule), file.pricesRevision ?? 0]), 'base64url')
    names.set(model.endpointId, { rule, name })
    return name
  }

  return {
    tenants,
    companyBudget: budgetOf(file.budget),
    aliases: new Map(Object.entries(file.aliases ?? {})),
    ruleOf,
    priceRuleOf,
    find: keyId => keys.get(keyId),
    findMarked: mark => marked.get(mark) ?? [],
    warnings: warningsOf(file, models, rules, Date.now()),
    version
  }
}

function tenantOf (entry: TenantEntry, folder: string): Tenant {
  return {
    id: entry.id,
    rateLimit: entry.rateLimit ?? { max: 60, windowSeconds: 60 },
    callLimit: entry.callLimit ?? { max: 6000, windowSeconds: 60 },
    maxInFlight: entry.maxInFlight ?? 4,
    maxQueued: entry.maxQueued ?? 100,
    weight: entry.weight ?? 1,
    budget: budgetOf(entry.budget),
    cacheGroup: entry.cacheGroup === undefined ? `tenant:${entry.id}` : `group:${entry.cacheGroup}`,
    twins: entry.twins ?? 'buy',
    origins: entry.origins ?? [],
    webhooks: { hosts: (entry.webhooks ?? []).map(parseWebhookHost).filter(host => host !== null), secrets: secretsOf(entry, folder) },
    models: entry.models ?? null,
    allow: new Map(Object.entries(entry.allow ?? {}))
  }
}

function secretsOf ({ webhookSecretFile, keys }: TenantEntry, folder: string): WebhookRights['secrets'] {
  if (webhookSecretFile !== undefined) return { kind: 'file', file: resolve(folder, webhookSecretFile) }
  const read = parseWebhookSecrets(PUBLISHED_WEBHOOK_SECRET)
  return read.ok && keys.some(({ sha256 }) => sha256.toLowerCase() === PUBLISHED_DIGEST) ? { kind: 'published', secrets: read.secrets } : null
}

function budgetOf (budget: BudgetEntry | undefined): BudgetLimit | null {
  return budget === undefined ? null : { limit: parseUsd(budget.usd) ?? 0, per: budget.per }
}

function warningsOf (file: TenantsFile, models: ModelBook, rules: ReadonlyMap<string, PriceRule>, nowMs: number): readonly string[] {
  const warnings: string[] = []
  for (const tenant of file.tenants) {
    if (tenant.budget === undefined) warnings.push(`tenant ${tenant.id} has no budget`)
    if (tenant.webhookSecretFile !== undefined && (tenant.webhooks ?? []).length === 0) warnings.push(`tenant ${tenant.id} has a webhookSecretFile, and no host in webhooks that it may call`)
    if (tenant.keys.length === 0) warnings.push(`tenant ${tenant.id} has no key`)
    for (const { id, expires } of tenant.keys) {
      if (expires !== undefined && (parseDateTime(expires) ?? nowMs) <= nowMs) warnings.push(`key ${id} of tenant ${tenant.id} has expired (${expires})`)
    }
  }
  for (const model of models.all) {
    const stated = rules.get(model.endpointId)
    const known = dearestOf(model, model.rule)
    const price = stated === undefined ? null : dearestOf(model, stated)
    // Reserving less than a call costs lets a budget be overrun.
    if (known !== null && price !== null && price < known) warnings.push(`the price of ${model.endpointId} is below the known ${formatUsd(known)} USD`)
  }
  return warnings
}
