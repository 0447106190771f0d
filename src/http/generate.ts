// `POST /generate`: one route for each model, and the short one for the first of them.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { canonicalJson } from '../generation/key.ts'
import type { Ledger } from '../generation/ports.ts'
import type { Presence } from '../generation/presence.ts'
import type { Answer, Ask, Call, Requests } from '../generation/request.ts'
import type { Metrics } from '../metrics.ts'
import { defaultModel, models } from '../models/catalogue.ts'
import type { Model, ModelInput } from '../models/model.ts'
import { permits } from '../tenants.ts'
import { missed, sendAnswer, type Addresses } from './answer.ts'
import type { CallerConnection } from './connection.ts'
import { wishesOf } from './generate-headers.ts'
import { generateSchema } from './generate-schema.ts'
import { callerOf } from './request-facts.ts'

export interface GenerateTools {
  readonly requests: Requests
  readonly ledger: Ledger
  readonly presence: Presence
  readonly metrics: Metrics
  readonly waitMs: number
  readonly addresses: Addresses
  readonly describePrompt: (prompt: string) => Readonly<Record<string, unknown>>
  readonly onTrouble: (doing: string, error: unknown) => void
}

export function generateRoutes (scope: FastifyInstance, tools: GenerateTools): void {
  for (const model of models) {
    const handler = generate(model, tools)
    const config = { saysCacheStatus: true }
    if (model === defaultModel) scope.post<{ Body: ModelInput }>('/generate', { config, schema: generateSchema(model, true) }, handler)
    scope.post<{ Body: ModelInput }>(`/generate/${model.endpointId}`, { config, schema: generateSchema(model, false) }, handler)
  }
}

function generate (model: Model, tools: GenerateTools) {
  const defaults = defaultsOf(model)

  return async (request: FastifyRequest<{ Body: ModelInput }>, reply: FastifyReply): Promise<FastifyReply> => {
    const { tenant, subject } = callerOf(request)
    const { seed } = request.facts
    const input = { ...defaults, ...request.body }
    if (typeof input['prompt'] === 'string') request.facts.prompt = tools.describePrompt(input['prompt'])
    if (seed.kind === 'inexact') throw seedFault()
    const forbidden = permits(tenant, model, input)
    if (forbidden !== null) throw new Problem('not-allowed', { detail: forbidden })
    const wishes = wishesOf(request.headers, tools.waitMs)
    reply.header('cache-status', missed(wishes.mode))

    const digits = seed.kind === 'digits' ? seed.digits : null
    const ask: Ask = {
      tenant,
      subject,
      model,
      input: canonicalJson(input, digits),
      seed: digits,
      mode: wishes.mode,
      idempotency: wishes.idempotencyKey === null ? null : { key: wishes.idempotencyKey, sent: canonicalJson(request.body, digits) }
    }
    const answer = tools.requests.fromMemory(ask) ?? await attended(ask, wishes, request.facts.connection, tools)
    count(answer, tenant.id, tools.metrics)
    return sendAnswer(request, reply, answer, wishes, tools.addresses)
  }
}

/** The defaults that a model's schema states. */
function defaultsOf (model: Model): ModelInput {
  const defaults: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(model.input.properties)) {
    if (schema.default !== undefined) defaults[name] = schema.default
  }
  return defaults
}

function seedFault (): Problem {
  return new Problem('invalid-input', {
    detail: 'See `errors` for each field.',
    errors: [{ path: '/seed', message: 'must be a whole number; beyond 2^53 in plain digits', code: 'inexact_integer' }]
  })
}

/** Asks the core while somebody waits. The caller counts as there until its request is over, because an answer that could not be written leaves its generation adoptable. */
async function attended (ask: Ask, patience: Pick<Call, 'waitMs' | 'async'>, caller: CallerConnection, tools: GenerateTools): Promise<Answer> {
  const gone = new AbortController()
  const { connection, close } = tools.presence.arrive(caller.isOpen)
  caller.onceOver(close)
  const unwatch = caller.onceOver(() => { gone.abort() })
  if (!caller.isOpen()) { close(); gone.abort() }
  const { waitMs, async } = patience
  const call: Call = { ...ask, waitMs, async, connection, gone: gone.signal }
  try {
    const answer = await tools.requests.request(call)
    if (answer.kind === 'caller-gone') tools.metrics.undelivered(call.tenant.id)
    rememberDelivery(caller, answer, call, tools)
    return answer
  } finally {
    unwatch()
  }
}

/** The generation is delivered when its result, its final error or an asked-for id went out on an open socket. */
function rememberDelivery (caller: CallerConnection, answer: Answer, call: Call, tools: GenerateTools): void {
  if (answer.kind === 'caller-gone' || answer.source === 'hit') return
  const id = answer.kind === 'picture' ? answer.generationId : answer.row.id
  if (id === null || (answer.kind === 'under-way' && !call.async)) return
  caller.onceOver(isDelivered => {
    if (!isDelivered) tools.metrics.undelivered(call.tenant.id)
    // Who asked for the id only takes no time from a generation by leaving; a twin's replica is asked, and says that nobody is there.
    if (!isDelivered && call.waitMs === 0) return
    // Whoever has the id can collect, also one that replayed or joined and is not written there.
    const told = isDelivered ? tools.ledger.seen(id, call.waitMs > 0 ? call.connection : null) : tools.ledger.left(id, call.connection)
    told.catch((error: unknown) => { tools.onTrouble('noting a delivery', error) })
  })
}

function count (answer: Answer, tenant: string, metrics: Metrics): void {
  if (answer.kind !== 'picture') return
  metrics.answered(tenant, answer.source)
  if (answer.source !== 'bought') metrics.saved(tenant, answer.source, answer.saved)
}
