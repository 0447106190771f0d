// `Falgate-Dry-Run: 1`: what a call would get, told in place of making it. All doors that buy answer the same JSON.

import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem, problems, type FieldFault } from '../errors.ts'
import type { Token } from '../generation/accounts.ts'
import type { Ledger } from '../generation/ledger.ts'
import { outlooks, type Foresight } from '../generation/request/foresight.ts'
import type { Requests } from '../generation/request/request.ts'
import type { Model, ReadOptions } from '../models/model.ts'
import { formatUsd } from '../money.ts'
import type { Tenant } from '../tenants/book.ts'
import { sayIgnored } from './answer.ts'
import { callOptionsOf, type CallReading, type HeaderOptions } from './call-options.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { CodeSchema, FieldFaultSchema } from './problem-schema.ts'
import { callerOf } from './request-facts.ts'
import { remainderOf } from './tokens.ts'

export interface DryRunDeps extends CallReading { readonly requests: Pick<Requests, 'foresee'>, readonly ledger: Pick<Ledger, 'token'> }

const nullable = (schema: object, description: string) => Type.Unsafe<unknown>({ anyOf: [schema, { type: 'null' }], description })

export const DryRunSchema = Type.Object({
  dry_run: Type.Literal(true),
  model: Type.String({ description: 'The endpoint id.' }),
  valid: Type.Boolean({ description: 'Does the body fit the model?' }),
  errors: Type.Array(FieldFaultSchema, { description: 'What is wrong with the body, as in a 422.' }),
  would: Type.Unsafe<string>({ type: 'string', enum: [...outlooks], description: '`buy`; get what is stored (`hit`); wait for what others buy (`join`); get what its `Idempotency-Key` stands for (`replay`), or what an earlier caller has left (`reattach`); or be refused (`refuse`).' }),
  problem: nullable(Type.Object({
    code: CodeSchema,
    title: Type.String(),
    status: Type.Integer({ minimum: 100, maximum: 599 }),
    detail: Type.Union([Type.String(), Type.Null()])
  }), 'What the call would be answered with in place of a picture, where that is known already.'),
  price: nullable(Type.Object({
    highest_usd: Type.Number({ minimum: 0, description: 'What is reserved for it, if it is bought. The bill is often less.' }),
    how: Type.String({ description: 'How that comes from the model\'s price rule.' })
  }), 'Null when the body does not fit, or nobody can tell.'),
  budget: nullable(Type.Object({
    left_usd: Type.Number({ minimum: 0, description: 'What can still be reserved, before this call.' }),
    per: Type.Unsafe<string>({ type: 'string', enum: ['day', 'month'] })
  }), 'The tenant\'s. Null without one.'),
  token: nullable(Type.Object({
    pictures_left: Type.Integer({ description: 'Files that are neither bought nor being made.' }),
    usd_left: nullable({ type: 'number' }, 'Dollars that are neither spent nor held. Null: only the files are counted.')
  }), 'What is left in the browser token that asks, before this call. Null for a key.'),
  rate_limit: nullable(Type.Object({
    left: Type.Integer({ minimum: 0, description: 'Purchases that are left in this window, before this one.' }),
    window_seconds: Type.Integer()
  }), 'Of purchases, on all replicas together.'),
  queue: nullable(Type.Object({
    position: Type.Integer({ minimum: 0, description: 'How many of the tenant\'s requests would go before it.' }),
    in_flight: Type.Integer({ minimum: 0, description: 'How many of them are at the model.' })
  }), 'Where it would wait, if it is bought.')
}, { title: 'DryRun', description: 'The answer to a call with `Falgate-Dry-Run: 1`.' })

/** Does the caller only want to know? Then every answer to it says so, errors too. Throws `bad-header`. */
export function isDryRun (request: FastifyRequest, reply: FastifyReply): boolean {
  const said = request.headers[requestHeaders.dryRun]
  if (said === undefined) return false
  if (said !== '1') throw new Problem('bad-header', { detail: 'Falgate-Dry-Run is 1, or left out.' })
  request.facts.isDryRun = true
  reply.header(answerHeaders.dryRun, '1')
  reply.header(answerHeaders.cacheStatus, 'falgate; detail=dry-run')
  return true
}

/** Tells what would become of the call. What keeps it from being understood at all is thrown, as ever. */
export async function answerDryRun (request: FastifyRequest, reply: FastifyReply, model: Model, headers: HeaderOptions, unknownFields: ReadOptions['unknownFields'], deps: DryRunDeps): Promise<FastifyReply> {
  const { tenant, token } = callerOf(request)
  // What the tenant has left is not for holders of its tokens.
  const shown = token === null ? tenant : { budget: null }
  let body: string
  try {
    const foresight = await deps.requests.foresee(callOptionsOf(request, model, headers, unknownFields, deps))
    body = dryRunJson(model, shown, foresight, token === null ? null : await deps.ledger.token(token.id), [])
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'invalid-input') throw error
    body = dryRunJson(model, shown, { would: 'refuse', problem: error, price: null, standing: null }, null, error.facts.errors ?? [])
  }
  sayIgnored(request, reply)
  return reply.code(200).type('application/json').send(body)
}

/** As text, in which dollars are written from micro-dollars. */
function dryRunJson ({ endpointId }: Model, { budget }: Pick<Tenant, 'budget'>, { would, problem, price, standing }: Foresight, token: Token | null, errors: readonly FieldFault[]): string {
  return objectJson({
    dry_run: 'true',
    model: JSON.stringify(endpointId),
    valid: String(errors.length === 0),
    errors: JSON.stringify(errors),
    would: JSON.stringify(would),
    problem: problem === null ? 'null' : JSON.stringify({ code: problem.code, title: problems[problem.code].title, status: problem.status, detail: problem.facts.detail ?? null }),
    price: price === null ? 'null' : objectJson({ highest_usd: formatUsd(price.price), how: JSON.stringify(price.how) }),
    budget: budget === null || standing?.left == null ? 'null' : objectJson({ left_usd: formatUsd(standing.left), per: JSON.stringify(budget.per) }),
    token: token === null ? 'null' : JSON.stringify(remainderOf(token)),
    rate_limit: standing === null ? 'null' : JSON.stringify({ left: Math.max(0, standing.rate.max - standing.rate.used), window_seconds: standing.rate.windowSeconds }),
    queue: standing === null ? 'null' : JSON.stringify({ position: standing.position, in_flight: standing.running })
  })
}

function objectJson (fields: Readonly<Record<string, string>>): string {
  return `{${Object.entries(fields).map(([name, json]) => `"${name}":${json}`).join(',')}}`
}
