// The tenants file is checked as a whole, and every default is filled in.

import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { builtInModels as models } from '../src/models/built-in.ts'
import type { Model, ModelInput } from '../src/models/model.ts'
import { createModels } from '../src/models/models.ts'
import { dearestOf, demoTenants, highestPriceOf, parseTenants, refusalOf, refusalOfValues, type Tenant, type TenantBook } from '../src/tenants/book.ts'
import type { TenantEntry, TenantsFile } from '../src/tenants/file.ts'
import { pages } from './support/pages.ts'
import { projectDir } from './support/paths.ts'
import { poster } from './support/poster.ts'

const defaultModel = models.default
const sha256 = hash('sha256', 'a secret')
const minimal: TenantEntry = { id: 'studio', keys: [{ id: 'k1', sha256 }] }

function bookOf (file: TenantsFile, offered = models): TenantBook {
  const read = parseTenants(JSON.stringify(file), { models: offered })
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.book
}

function tenantOf (entry: Partial<TenantEntry>): Tenant {
  const tenant = bookOf({ tenants: [{ ...minimal, ...entry }] }).tenants.get('studio')
  if (tenant === undefined) throw new Error('the tenant is not in its book')
  return tenant
}

function permits (tenant: Tenant, model: Model, input: ModelInput): string | null {
  return refusalOf(tenant, model) ?? refusalOfValues(tenant, model, input)
}

function faultsOf (file: unknown): readonly string[] {
  const read = parseTenants(typeof file === 'string' ? file : JSON.stringify(file), { models })
  return read.ok ? [] : read.faults
}

t.test('a tenant with an id and keys has every documented default', async t => {
  t.same(tenantOf({}), {
    id: 'studio',
    rateLimit: { max: 60, windowSeconds: 60 },
    callLimit: { max: 6000, windowSeconds: 60 },
    maxInFlight: 4,
    maxQueued: 100,
    weight: 1,
    budget: null,
    cacheGroup: 'tenant:studio',
    twins: 'buy',
    origins: [],
    webhooks: { hosts: [], secrets: null },
    models: null,
    allow: new Map()
  })
})

t.test('everything the design shows can be said', async t => {
  const book = bookOf({
    prices: { [defaultModel.endpointId]: 0.08 },
    budget: { usd: 500, per: 'month' },
    tenants: [{
      ...minimal,
      keys: [{ id: 'k1', sha256: sha256.toUpperCase(), expires: '2027-06-30T00:00:00Z' }],
      rateLimit: { max: 1, windowSeconds: 2 },
      callLimit: { max: 3, windowSeconds: 4 },
      maxInFlight: 5,
      maxQueued: 0,
      weight: 7,
      budget: { usd: 0.5, per: 'day' },
      cacheGroup: 'acme',
      twins: 'join',
      origins: ['https://studio.example', 'http://localhost:3000'],
      webhooks: ['hooks.example', '*.hooks.example', 'relay.example:8443'],
      webhookSecretFile: '/etc/falgate/studio-hooks',
      models: [defaultModel.endpointId],
      allow: { resolution: ['1K'] }
    }]
  })
  const tenant = book.tenants.get('studio')
  t.same(tenant, {
    id: 'studio',
    rateLimit: { max: 1, windowSeconds: 2 },
    callLimit: { max: 3, windowSeconds: 4 },
    maxInFlight: 5,
    maxQueued: 0,
    weight: 7,
    budget: { limit: 500_000, per: 'day' },
    cacheGroup: 'group:acme',
    twins: 'join',
    origins: ['https://studio.example', 'http://localhost:3000'],
    webhooks: {
      hosts: [{ name: 'hooks.example', port: '', isBelow: false }, { name: 'hooks.example', port: '', isBelow: true }, { name: 'relay.example', port: '8443', isBelow: false }],
      secrets: { kind: 'file', file: '/etc/falgate/studio-hooks' }
    },
    models: [defaultModel.endpointId],
    allow: new Map([['resolution', ['1K']]])
  })
  t.same(book.companyBudget, { limit: 500_000_000, per: 'month' })
  t.equal(dearestOf(defaultModel, book.ruleOf(defaultModel)), 80_000)
  t.same(book.find('k1'), { id: 'k1', tenant, digest: Buffer.from(sha256, 'hex'), expiresAtMs: Date.UTC(2027, 5, 30) })
  t.equal(book.find('k2'), undefined)
  t.same(book.warnings, [])
})

t.test('the price of a model is its own unless the file says otherwise', async t => {
  t.equal(bookOf({ tenants: [minimal] }).ruleOf(defaultModel), defaultModel.rule)
  const priced = (price: number | object) => bookOf({ prices: { [poster.endpointId]: price }, tenants: [minimal] }, createModels([poster]))
  t.same(highestPriceOf(priced(0.100001), poster, { copies: 1 }), { ok: true, price: 50_001, unitPrice: 50_001, how: '0.050001 per image × 1 (copies)' }, 'dollars are those of the dearest call')
  t.match(highestPriceOf(priced({ usd: 0.2, per: 'call' }), poster, { copies: 1 }), { ok: true, price: 200_000 }, 'or it is a rule')
})

t.test('a price may be so high that sums of it stay exact, and no higher', async t => {
  const at = (usd: number) => parseTenants(JSON.stringify({ prices: { [defaultModel.endpointId]: usd }, tenants: [minimal] }), { models })
  t.match(at(1000), { ok: true })
  t.match(at(1000.000001), { ok: false, faults: [/more than 0 and at most 1000, or a price rule$/] })
})

t.test('a secret that is published with falgate opens the sandbox only', async t => {
  const digests = [hash('sha256', 'sandbox'), hash('sha256', 'sandbox').toUpperCase()]
  for (const sha256 of digests) {
    const file = JSON.stringify({ tenants: [minimal, { id: 'another', keys: [{ id: 'k2', sha256 }] }] })
    t.match(parseTenants(file, { models }), { ok: true })
    t.match(parseTenants(file, { models, isReal: true }), { ok: false, faults: [/^\/tenants\/1\/keys\/0\/sha256: .*published.*make one of your own with falgate key/] })
  }
  t.match(parseTenants(JSON.stringify({ tenants: [minimal] }), { models, isReal: true }), { ok: true })
})

t.test('no secret is published that would open a gateway with a real key', async t => {
  const texts = ['README.md', '.env.example', 'docker-compose.yml', 'docker/tenants.json', 'openapi/openapi.json', 'src/cli/banner.ts', 'src/http/pages/docs.ts']
    .map(file => readFileSync(join(projectDir, file), 'utf8'))
  const published = [...texts, ...pages.map(({ text }) => text)].flatMap(text => [
    ...[...text.matchAll(/\bfg_[A-Za-z0-9-]+[_:]([\w-]+)/g)].map(([, secret = '']) => hash('sha256', secret)),
    ...[...text.matchAll(/\b[0-9a-f]{64}\b/gi)].map(([digest]) => digest)
  ])
  t.ok(published.length >= texts.length - 1, 'they were found')
  for (const sha256 of new Set(published)) t.match(parseTenants(JSON.stringify({ tenants: [{ id: 'studio', keys: [{ id: 'k1', sha256 }] }] }), { models, isReal: true }), { ok: false })
})

t.test('the price rule of a model is named alike wherever the price is the same, and otherwise wherever it differs', async t => {
  const ruleAt = (usd?: number): string => bookOf({ ...(usd === undefined ? {} : { prices: { [defaultModel.endpointId]: usd } }), tenants: [minimal] }).priceRuleOf(defaultModel)
  t.equal(ruleAt(0.06), ruleAt(), 'said or not')
  t.equal(ruleAt(), hash('sha256', JSON.stringify(['price rule', defaultModel.endpointId, 60_000, 0]), 'base64url'), 'as versions before call it, so that these go on buying beside this one')
  t.not(ruleAt(0.07), ruleAt())
  const revised = bookOf({ pricesRevision: 1, tenants: [minimal] })
  t.not(revised.priceRuleOf(defaultModel), ruleAt(), 'a revision is another rule at the same price')
  t.equal(bookOf({ pricesRevision: 0, tenants: [minimal] }).priceRuleOf(defaultModel), ruleAt())
})

t.test('a tenant alone never shares results with a group, whatever the names', async t => {
  const book = bookOf({ tenants: [{ ...minimal, id: 'a' }, { ...minimal, id: 'b', keys: [], cacheGroup: 'a' }] })
  t.not(book.tenants.get('a')?.cacheGroup, book.tenants.get('b')?.cacheGroup)
})

t.test('a file with a byte order mark, as some editors write it, is read', async t => {
  t.match(parseTenants('\ufeff' + JSON.stringify({ tenants: [minimal] }), { models }), { ok: true })
})

t.test('a key that has expired is a warning', async t => {
  const keys = [{ id: 'old', sha256, expires: '2025-06-30T00:00:00Z' }, { id: 'new', sha256, expires: '9999-06-30T00:00:00+02:00' }]
  t.same(bookOf({ tenants: [{ id: 'studio', budget: { usd: 1, per: 'day' }, keys }] }).warnings, ['key old of tenant studio has expired (2025-06-30T00:00:00Z)'])
})

t.test('what is sound but risky is a warning', async t => {
  t.same(bookOf({ prices: { [defaultModel.endpointId]: 0.01 }, tenants: [{ id: 'a', keys: [] }] }).warnings, [
    'tenant a has no budget',
    'tenant a has no key',
    `the price of ${defaultModel.endpointId} is below the known 0.06 USD`
  ])
})

t.test('all faults of form are told at once, by place and without values', async t => {
  const secret = 'SeCrEt!'
  t.same(faultsOf({
    budget: { usd: secret, per: secret },
    prices: { 'a/b': secret },
    tenants: [
      { keys: [{ id: secret, sha256: secret, expires: 5 }, {}], extra: secret },
      { id: secret, keys: secret, rateLimit: { max: 0 }, weight: 1.5, maxQueued: -1, origins: [5], allow: { resolution: [] } },
      secret
    ]
  }), [
    '/prices/a~1b: expected dollars for one call, more than 0 and at most 1000, or a price rule',
    '/budget/usd: expected dollars, as a plain number',
    '/budget/per: expected day or month',
    '/tenants/0/id: is missing',
    '/tenants/0/extra: is not a known field',
    '/tenants/0/keys/0/id: expected an id of 1 to 64 letters, digits and hyphens',
    '/tenants/0/keys/0/sha256: expected the SHA-256 of the secret in 64 hexadecimal digits',
    '/tenants/0/keys/0/expires: expected a date and time such as 2027-06-30T00:00:00Z',
    '/tenants/0/keys/1/id: is missing',
    '/tenants/0/keys/1/sha256: is missing',
    '/tenants/1/id: expected an id of 1 to 64 letters, digits, dots, underscores and hyphens',
    '/tenants/1/keys: expected a list of keys',
    '/tenants/1/rateLimit/windowSeconds: is missing',
    '/tenants/1/rateLimit/max: expected a whole number from 1 to 1000000',
    '/tenants/1/maxQueued: expected a whole number from 0 to 100000',
    '/tenants/1/weight: expected a whole number from 1 to 1000',
    '/tenants/1/origins/0: expected an origin such as https://studio.example',
    '/tenants/1/allow/resolution: expected a list of at least one value',
    '/tenants/2: expected an object with id and keys'
  ])
})

t.test('all faults of content are told at once, by place and without values', async t => {
  t.same(faultsOf({
    prices: { 'other/model': 1, [defaultModel.endpointId]: 0 },
    budget: { usd: 1e-9, per: 'day' },
    tenants: [
      { id: 'a', keys: [{ id: 'k', sha256, expires: '2027-06-30' }, { id: 'k', sha256, expires: '2027-02-30T00:00:00Z' }], origins: ['https://a.example/', 'null', 'ftp://a.example'], models: ['other/model'] },
      { id: 'a', keys: [{ id: 'k', sha256 }], allow: { resolution: ['1K', '8K'], toString: [1], num_images: [2], prompt: ['a', ' ', 5] } }
    ]
  }), [
    '/prices/other~1model: is not a model on offer',
    `/prices/${defaultModel.endpointId.replaceAll('/', '~1')}: expected dollars for one call, more than 0 and at most 1000, or a price rule`,
    '/budget/usd: expected dollars, as a plain number',
    '/tenants/0/keys/0/expires: expected a date and time such as 2027-06-30T00:00:00Z',
    '/tenants/0/keys/1/id: another key has the same id',
    '/tenants/0/keys/1/expires: expected a date and time such as 2027-06-30T00:00:00Z',
    '/tenants/0/origins/0: expected an origin such as https://studio.example, https://*.studio.example or app://bundle, as browsers send it: without a path, in small letters',
    '/tenants/0/origins/1: expected an origin such as https://studio.example, https://*.studio.example or app://bundle, as browsers send it: without a path, in small letters',
    '/tenants/0/origins/2: expected an origin such as https://studio.example, https://*.studio.example or app://bundle, as browsers send it: without a path, in small letters',
    '/tenants/0/models/0: is not a model on offer',
    '/tenants/1/id: another tenant has the same id',
    '/tenants/1/keys/0/id: another key has the same id',
    '/tenants/1/allow/resolution/1: the parameter cannot have this value',
    '/tenants/1/allow/toString: none of the tenant\'s models has this parameter',
    '/tenants/1/allow/num_images/0: the parameter cannot have this value',
    '/tenants/1/allow/prompt/1: the parameter cannot have this value',
    '/tenants/1/allow/prompt/2: the parameter cannot have this value'
  ])
})

t.test('a file that is not JSON is a fault that quotes nothing of it', async t => {
  t.same(faultsOf('{"tenants": SeCrEt'), ['the file is not valid JSON: expected a value at line 1, column 13'])
  t.same(faultsOf('[]'), ['the file: expected an object with a list of tenants'])
  t.same(faultsOf({ tenants: [] }), ['/tenants: expected a list of at least one tenant'])
})

t.test('the company\'s account name cannot be a tenant\'s id', async t => {
  t.equal(faultsOf({ tenants: [{ ...minimal, id: '*' }] }).length, 1)
})

t.test('a tenant may ask for its models and its values only, and is told which', async t => {
  const input = { prompt: 'a', resolution: '2K', num_images: 1 }
  t.equal(permits(tenantOf({}), defaultModel, input), null)
  t.equal(permits(tenantOf({ models: [defaultModel.endpointId] }), defaultModel, input), null)
  t.equal(permits(tenantOf({ models: [] }), defaultModel, input), 'This tenant may not use this model.')
  t.equal(permits(tenantOf({ allow: { resolution: ['1K', '2K'] } }), defaultModel, input), null)
  t.equal(permits(tenantOf({ allow: { num_images: [1], resolution: ['1K'] } }), defaultModel, input), 'This tenant may set resolution only to "1K".')
  t.equal(permits(tenantOf({ allow: { negative_prompt: ['', 'text'] } }), defaultModel, { ...input, negative_prompt: 'frame' }), 'This tenant may set negative_prompt only to "", "text".')
  t.equal(permits(tenantOf({ allow: { seed: [1, 2] } }), defaultModel, input), 'This tenant may set seed only to 1, 2.', 'a seed left out is a random one')
})

t.test('the demo tenant exists without a file and has no warnings', async t => {
  t.same([...demoTenants(models).tenants.keys()], ['demo'])
  t.same(demoTenants(models).warnings, [])
})
