// `/tokens`: a tenant's backend gives a page a token in place of its key, looks at those that are alive, and ends them.

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Problem, type FieldFault } from '../errors.ts'
import type { Token } from '../generation/accounts.ts'
import type { Ledger } from '../generation/ledger.ts'
import { newId } from '../ids.ts'
import { faultsOf } from '../models/faults.ts'
import type { ModelBook } from '../models/models.ts'
import { formatUsd, parseUsd, type MicroUsd } from '../money.ts'
import { createValidator, pointerTo } from '../schema.ts'
import { mayUse, type Tenant } from '../tenants/book.ts'
import { isOrigin, matchesOrigin } from '../tenants/origins.ts'
import { createSecret, readTerms, type TokenTerms } from '../tenants/tokens.ts'
import { problemResponses } from './problem-schema.ts'
import { callerOf, tenantOf } from './request-facts.ts'

/** Seconds that a token lasts, where nobody says. */
const DEFAULT_SECONDS = 600

/** Tokens a page, where nobody says how many. */
const DEFAULT_LIMIT = 20

/** Faults of one wish that are told. */
const MAX_FAULTS = 20

/** Stands for no limit of money: only the files are counted. */
const UNLIMITED: MicroUsd = Number.MAX_SAFE_INTEGER

const Scalar = Type.Union([Type.String({ maxLength: 1000 }), Type.Number(), Type.Boolean()])
// Texts, and no set of known ones: generated clients in Java do not compile with an array of those.
const Cache = Type.Array(Type.Unsafe<'refresh' | 'bypass'>({ type: 'string', pattern: '^(?:refresh|bypass)$' }), { maxItems: 2, description: '`refresh`, `bypass`: modes of `Falgate-Cache` that pay for what is stored, and that it may name. None by default.' })

export const TokenWishSchema = Type.Object({
  pictures: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'How many files may be bought with it. `num_images: 4` counts four: as many as it can be while it is made, and as many as there are after that.' }),
  expires_in: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400, default: DEFAULT_SECONDS, description: 'Seconds.' })),
  usd: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000, description: 'Dollars that may be spent with it. Without, only the files are counted.' })),
  origins: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 20, description: 'Origins whose pages may use it, out of the tenant\'s. All of these by default.' })),
  models: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 100, description: 'Endpoint ids, out of the tenant\'s models. All of these by default.' })),
  allow: Type.Optional(Type.Record(Type.String({ minLength: 1, maxLength: 64 }), Type.Array(Scalar, { minItems: 1, maxItems: 100 }), { maxProperties: 20, description: 'Parameters that are limited to some values, as in the tenants file.' })),
  cache: Type.Optional(Cache),
  subject: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: '^[^\\u0000-\\u001f\\u007f]+$', description: 'Whom it is for, as a text for the gateway\'s logs.' }))
}, { additionalProperties: false, title: 'TokenWish' })

const nullable = (schema: object, description: string) => Type.Unsafe<unknown>({ anyOf: [schema, { type: 'null' }], description })

const shown = {
  id: Type.String(),
  subject: nullable({ type: 'string' }, 'Whom it is for.'),
  key_id: Type.String({ description: 'The key that asked for it; it ends with that.' }),
  expires_at: Type.String({ format: 'date-time' }),
  origins: Type.Array(Type.String(), { description: 'Empty: the tenant lists none.' }),
  models: nullable({ type: 'array', items: { type: 'string' } }, '`null`: all that the tenant may use.'),
  allow: Type.Object({}, { additionalProperties: true }),
  cache: Type.Array(Type.String()),
  pictures: Type.Integer({ description: 'Files that it was given.' }),
  pictures_left: Type.Integer({ description: 'Files that are neither bought nor being made.' }),
  usd: nullable({ type: 'number' }, 'Dollars that it was given. `null`: only the files are counted.'),
  usd_left: nullable({ type: 'number' }, 'Dollars that are neither spent nor held. Less than nothing when a picture cost more than was held for it.')
}

export const TokenSchema = Type.Object(shown, { title: 'Token' })
export const TokenGivenSchema = Type.Object({ token: Type.String({ description: 'The token, `fgt_<id>_<secret>`. It is told this once.' }), ...shown }, { title: 'TokenGiven' })
export const TokenListSchema = Type.Object({ tokens: Type.Array(Type.Object(shown)), next_cursor: nullable({ type: 'string' }, 'For the next page; `null`: this is the last.') }, { title: 'TokenList' })

const Page = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_LIMIT, description: 'Tokens a page, at most.' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: '`next_cursor` of the page before.' }))
}, { additionalProperties: false })

const Id = Type.Object({ id: Type.String({ description: 'A token\'s id.' }) })

export interface TokensDeps {
  readonly ledger: Ledger
  readonly models: () => ModelBook
}

export function tokenRoutes (scope: FastifyInstance, { ledger, models }: TokensDeps): void {
  const documented = { tags: ['tokens'], security: [{ key: [] }] }
  const check = createValidator({ allErrors: true }).compile<Static<typeof TokenWishSchema>>(TokenWishSchema)

  scope.post('/tokens', {
    schema: {
      ...documented,
      operationId: 'create_token',
      summary: 'Give a page a token in place of the key',
      description: 'For backends: what is bought with the token counts against it and against the tenant. It sees only its own generations.',
      body: Type.Ref('TokenWish'),
      response: {
        201: Type.Unsafe<unknown>({ description: 'The token.', content: { 'application/json': { schema: Type.Ref('TokenGiven') } } }),
        ...problemResponses('changing', 'malformed-json', 'not-json', 'bad-token-wish', 'not-allowed', 'too-many-tokens')
      }
    }
  }, async (request, reply) => {
    const { tenant, keyId } = tenantOf(request)
    const { body } = request
    if (!check(body)) throw refusalOf(faultsOf(check.errors ?? []))
    const money = body.usd === undefined ? null : parseUsd(body.usd)
    const faults = faultsBeyondSchema(body, tenant, models())
    if (body.usd !== undefined && money === null) faults.push({ path: '/usd', message: 'must be dollars, as a plain number', code: 'bad_number' })
    if (faults.length > 0) throw refusalOf(faults)
    const { pictures, expires_in: seconds = DEFAULT_SECONDS, origins = tenant.origins, allow = {}, cache = [] } = body
    const id = newId()
    const { token: secret, secretSha256 } = createSecret(id)
    const terms: TokenTerms = { keyId, label: body.subject ?? null, models: body.models ?? null, allow, cache, pictures, money }
    const token: Token = {
      id, tenant: tenant.id, subject: id, secretSha256, origins, terms: JSON.stringify(terms), expiresAtMs: ledger.now() + seconds * 1000, revoked: false, picturesLeft: pictures, moneyLeft: money ?? UNLIMITED
    }
    const { outcome } = await ledger.mint(token)
    if (outcome === 'full') throw new Problem('too-many-tokens')
    return reply.code(201).type('application/json').send(JSON.stringify({ token: secret, ...viewOf(token) }))
  })

  scope.get<{ Querystring: Static<typeof Page> }>('/tokens', {
    schema: {
      ...documented,
      operationId: 'list_tokens',
      summary: 'The tenant\'s live tokens, the first to end first',
      querystring: Page,
      response: {
        200: Type.Unsafe<unknown>({ description: 'A page.', content: { 'application/json': { schema: Type.Ref('TokenList') } } }),
        ...problemResponses('reading', 'bad-query', 'not-allowed')
      }
    }
  }, async (request, reply) => {
    const { limit = DEFAULT_LIMIT, cursor = null } = request.query
    const { tokens, isMore, isCursorUnknown } = await ledger.tokens(tenantOf(request).tenant.id, { limit, after: cursor })
    if (isCursorUnknown) throw new Problem('bad-query', { detail: 'No live token has the id in `cursor`. Begin again without a cursor.' })
    return reply.type('application/json').send(JSON.stringify({ tokens: tokens.map(viewOf), next_cursor: isMore ? tokens.at(-1)?.id ?? null : null }))
  })

  scope.get('/tokens/self', {
    schema: {
      ...documented,
      operationId: 'get_own_token',
      summary: 'What is left in the token that asks',
      response: {
        200: Type.Unsafe<unknown>({ description: 'The token.', content: { 'application/json': { schema: Type.Ref('Token') } } }),
        ...problemResponses('reading', 'no-such-token')
      }
    }
  }, async (request, reply) => {
    const { token } = callerOf(request)
    const known = token === null ? null : await ledger.token(token.id)
    if (known === null) throw new Problem('no-such-token', { detail: 'This is for browser tokens, and it was a key that asked.' })
    return reply.type('application/json').send(JSON.stringify(viewOf(known)))
  })

  scope.delete<{ Params: Static<typeof Id> }>('/tokens/:id', {
    schema: {
      ...documented,
      operationId: 'revoke_token',
      summary: 'End a token',
      description: 'Within a second no replica takes it any more, and its open event streams end. What is being made for it is still made.',
      params: Id,
      response: {
        204: Type.Unsafe<unknown>({ description: 'It has ended, now or before.', type: 'null' }),
        ...problemResponses('changing', 'not-allowed', 'no-such-token')
      }
    }
  }, async (request, reply) => {
    if (!await ledger.revoke(request.params.id, tenantOf(request).tenant.id)) throw new Problem('no-such-token')
    return reply.code(204).send()
  })
}

/** What a schema cannot say: a token gives no more than its tenant has. */
function faultsBeyondSchema ({ origins = [], models: ids = [], allow = {} }: Static<typeof TokenWishSchema>, tenant: Tenant, models: ModelBook): FieldFault[] {
  const faults: FieldFault[] = []
  origins.forEach((origin, index) => {
    const isListed = isOrigin(origin) && tenant.origins.some(listed => listed === origin || matchesOrigin(listed, origin))
    if (!isListed) faults.push({ path: `/origins/${index}`, message: 'must be one of the tenant\'s origins', code: 'not_allowed' })
  })
  ids.forEach((id, index) => {
    if (models.find(id) === undefined || !mayUse(tenant, id)) faults.push({ path: `/models/${index}`, message: 'must be one of the tenant\'s models', code: 'not_allowed' })
  })
  for (const [parameter, values] of Object.entries(allow)) {
    const listed = tenant.allow.get(parameter)
    values.forEach((value, index) => {
      if (listed?.includes(value) === false) faults.push({ path: `/allow/${pointerTo(parameter)}/${index}`, message: 'must be a value that the tenant may set', code: 'not_allowed' })
    })
  }
  return faults
}

/** Of the faults the first are told. The words for unknown fields are those of models, and this is none. */
function refusalOf (faults: readonly FieldFault[]): Problem {
  const errors = faults.slice(0, MAX_FAULTS).map(fault => fault.code === 'unknown_field' ? { ...fault, message: 'is not a field of a wish for a token' } : fault)
  return new Problem('bad-token-wish', { detail: 'See `errors` for each field.', errors })
}

function viewOf (token: Token): Static<typeof TokenSchema> {
  const { keyId, label, models, allow, cache, pictures, money } = readTerms(token.terms)
  return {
    id: token.id,
    subject: label,
    key_id: keyId,
    expires_at: new Date(token.expiresAtMs).toISOString(),
    origins: [...token.origins],
    models,
    allow,
    cache,
    pictures,
    pictures_left: token.picturesLeft,
    usd: usdOf(money),
    usd_left: leftUsdOf(token, money)
  }
}

/** What is left in a token. */
export function remainderOf (token: Token): Pick<Static<typeof TokenSchema>, 'pictures_left' | 'usd_left'> {
  return { pictures_left: token.picturesLeft, usd_left: leftUsdOf(token, readTerms(token.terms).money) }
}

function leftUsdOf ({ moneyLeft }: Token, money: MicroUsd | null): number | null {
  return usdOf(money === null ? null : moneyLeft)
}

function usdOf (money: MicroUsd | null): number | null {
  return money === null ? null : Number(formatUsd(money))
}
