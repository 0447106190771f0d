// `GET /models`: what the caller's tenant may use, and of each model all that is known: fields, prices, and an OpenAPI document of its own.

import { hash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { modelClosed, Problem } from '../errors.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { fieldsOf } from '../models/price-bound.ts'
import { ruleJson, type PriceRule } from '../models/price-rule.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import { dearestOf, highestPriceOf, mayUse, refusalOf, type TenantBook } from '../tenants/book.ts'
import type { Addresses } from './answer.ts'
import { askedModel, type ByModel } from './asked-model.ts'
import type { PrefixOf } from './forwarded-prefix.ts'
import { documentBelow, modelDocument } from './model-document.ts'
import { problemResponses } from './problem-schema.ts'
import { callerOf } from './request-facts.ts'

const Usd = (description: string) => Type.Unsafe<number | null>({ anyOf: [{ type: 'number', minimum: 0 }, { type: 'null' }], description })

const listed = {
  id: Type.String({ description: 'The endpoint id.' }),
  title: Type.String(),
  category: Type.Union([Type.String(), Type.Null()], { description: 'fal\'s word for what it does.' }),
  deprecated: Type.Boolean({ description: 'fal says that it will go.' }),
  default: Type.Boolean({ description: '`POST /generate` means it.' }),
  price_usd: Usd('What a plain call costs at most: that of the example. `null`: it cannot be told.'),
  seed: Type.Unsafe<string>({ type: 'string', enum: ['in-and-out', 'in', 'out', 'none'], description: 'Whether it takes a seed, and whether its answer names one. Calls with a seed are stored and bought once.' }),
  href: Type.String({ description: 'Where the rest is told.' })
}

export const ModelListSchema = Type.Object({ models: Type.Array(Type.Object(listed)) }, { title: 'ModelList' })

export const ModelSchema = Type.Object({
  ...listed,
  description: Type.String(),
  takes_files: Type.Boolean({ description: 'Bodies of up to 6 MiB are read, with files as `data:` addresses.' }),
  cache_version: Type.Integer({ description: 'Raised by operators when what is stored is not to be served any more.' }),
  highest_price_usd: Usd('The highest price of any call. `null`: it grows with the input, without a bound.'),
  price: Type.Object({}, { additionalProperties: true, description: 'The price rule.' }),
  input: Type.Object({}, { additionalProperties: true, description: 'The JSON schema of the input (draft 2020-12).' }),
  output: Type.Unsafe<unknown>({ anyOf: [{ type: 'object', additionalProperties: true }, { type: 'null' }], description: 'The JSON schema of the answer. `null`: it is not typed.' }),
  example: Type.Object({}, { additionalProperties: true, description: 'An input to try it with.' }),
  openapi: Type.String({ description: 'Where its OpenAPI document is.' })
}, { title: 'Model' })

export interface ModelsDeps {
  readonly models: () => ModelBook
  readonly tenants: () => TenantBook
  readonly addresses: Pick<Addresses, 'model'>
  readonly prefixOf: PrefixOf
}

const DOCUMENT = '/openapi.json'

export function modelRoutes (scope: FastifyInstance, { models, tenants, addresses, prefixOf }: ModelsDeps): void {
  const documented = { tags: ['models'], security: [{ key: [] }] }
  const hrefIn = (request: FastifyRequest): HrefOf => endpointId => addresses.model(request, endpointId)

  scope.get('/models', {
    schema: {
      ...documented,
      operationId: 'list_models',
      summary: 'The models that this key may use',
      response: { 200: Type.Unsafe<unknown>({ description: 'In the order in which they are offered.', content: { 'application/json': { schema: Type.Ref('ModelList') } } }), ...problemResponses('calling') }
    }
  }, async (request, reply) => {
    const { tenant } = callerOf(request)
    const book = models()
    const lines: object[] = []
    for (const model of book.all) {
      if (!model.isOpen || !mayUse(tenant, model.endpointId)) continue
      // What reads a model's example may have to be compiled first, and there may be hundreds: others get a turn in between.
      if (!plainPrices.has(model)) await setImmediate()
      lines.push(lineOf(model, book, tenants(), hrefIn(request)))
    }
    return sendTagged(request, reply, JSON.stringify({ models: lines }))
  })

  scope.get<ByModel>('/models/*', {
    schema: {
      ...documented,
      operationId: 'get_model',
      summary: 'One model: its fields, its price rule, an example',
      description: `Below it, at \`${DOCUMENT}\`, is an OpenAPI document of this model alone, for clients to be generated from.`,
      response: { 200: Type.Unsafe<unknown>({ description: 'What is known of it.', content: { 'application/json': { schema: Type.Ref('Model') } } }), ...problemResponses('calling', 'model-unknown', 'not-allowed', 'model-closed') }
    }
  }, async (request, reply) => {
    const path = request.params['*']
    const isDocument = path.endsWith(DOCUMENT)
    const book = models()
    const model = askedModel(request, isDocument ? path.slice(0, -DOCUMENT.length) : path, book)
    const refusal = refusalOf(callerOf(request).tenant, model)
    if (refusal !== null) throw new Problem('not-allowed', { detail: refusal })
    if (!model.isOpen) throw modelClosed()
    return sendTagged(request, reply, JSON.stringify(isDocument ? modelDocument(model, documentBelow(prefixOf(request), scope.swagger())) : viewOf(model, book, tenants(), hrefIn(request))))
  })
}

/** Where the rest of a model is told. */
type HrefOf = (endpointId: string) => string

function lineOf (model: Model, book: ModelBook, tenants: TenantBook, hrefOf: HrefOf) {
  const { endpointId, title, category, isDeprecated, seed } = model
  return { id: endpointId, title, category, deprecated: isDeprecated, default: model === book.default, price_usd: usdOf(plainPriceOf(model, tenants)), seed, href: hrefOf(endpointId) }
}

function viewOf (model: Model, book: ModelBook, tenants: TenantBook, hrefOf: HrefOf) {
  const { description, takesFiles, cacheVersion, input, output, example, endpointId } = model
  const rule = tenants.ruleOf(model)
  return {
    ...lineOf(model, book, tenants, hrefOf),
    description,
    takes_files: takesFiles,
    cache_version: cacheVersion,
    highest_price_usd: usdOf(dearestOf(model, rule)),
    price: ruleJson(rule),
    input,
    output,
    example,
    openapi: hrefOf(endpointId) + DOCUMENT
  }
}

/** By model, and the rule that it was told by. */
const plainPrices = new WeakMap<Model, { readonly rule: PriceRule, readonly price: MicroUsd | null }>()

/** What the example costs at most. */
function plainPriceOf (model: Model, tenants: TenantBook): MicroUsd | null {
  const rule = tenants.ruleOf(model)
  const known = plainPrices.get(model)
  if (known?.rule === rule) return known.price
  const price = exampleCost(model, tenants)
  plainPrices.set(model, { rule, price })
  return price
}

function exampleCost (model: Model, tenants: TenantBook): MicroUsd | null {
  const reading = model.readInput(model.example, { unknownFields: 'refuse', sentDefaults: fieldsOf(tenants.ruleOf(model)) })
  const highest = highestPriceOf(tenants, model, reading.ok ? reading.sent : model.example)
  return highest.ok ? highest.price : null
}

function usdOf (price: MicroUsd | null): number | null {
  return price === null ? null : Number(formatUsd(price))
}

/** Sends JSON under a strong entity tag, or 304 to a caller that has it. */
function sendTagged (request: FastifyRequest, reply: FastifyReply, text: string): FastifyReply {
  const etag = `"${hash('sha256', text, 'base64url')}"`
  reply.header('etag', etag).header('cache-control', 'private, no-cache')
  const known = request.headers['if-none-match']
  if (known?.split(',').some(one => one.trim() === etag || one.trim() === '*') === true) return reply.code(304).send()
  return reply.type('application/json').send(text)
}
