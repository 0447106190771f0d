// `/tokens`: a tenant's backend gives a page a token in place of its key, looks at those that are alive, and ends them.

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Problem } from '../errors.ts'
import type { Token } from '../generation/accounts.ts'
import type { Ledger } from '../generation/ledger.ts'
import { newId } from '../ids.ts'
import type { ModelBook } from '../models/models.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import type { TenantBook } from '../tenants/book.ts'
import { createSecret, readTerms, type TokenTerms } from '../tenants/tokens.ts'
import { problemResponses } from './problem-schema.ts'
import { callerOf, tenantOf } from './request-facts.ts'
import { readWish } from './token-wish.ts'

/** Tokens a page, where nobody says how many. */
const DEFAULT_LIMIT = 20

/** Stands for no limit of money: only the files are counted. */
const UNLIMITED: MicroUsd = Number.MAX_SAFE_INTEGER

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
  readonly tenants: () => TenantBook
}

export function tokenRoutes (scope: FastifyInstance, { ledger, models, tenants }: TokensDeps): void {
  const documented = { tags: ['tokens'], security: [{ key: [] }] }

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
    const { pictures, seconds, money, origins, models: ids, allow, cache, label } = readWish(request.body, tenant, models())
    const key = tenants().find(keyId)
    if (key === undefined) throw new Problem('key-unknown') // taken out since the request began
    const id = newId()
    const { token: secret, secretSha256 } = createSecret(id, key)
    const terms: TokenTerms = { keyId, label, models: ids, allow, cache, pictures, money }
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
