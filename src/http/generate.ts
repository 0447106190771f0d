// `POST /generate`: one route for each model, and the short one for the first of them.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { canonicalJson } from '../generation/key.ts'
import type { Ledger } from '../generation/ports.ts'
import type { Presence } from '../generation/presence.ts'
import type { Answer, Call, Request } from '../generation/request.ts'
import type { Metrics } from '../metrics.ts'
import { defaultModel, models } from '../models/catalogue.ts'
import type { Model, ModelInput } from '../models/model.ts'
import { permits } from '../tenants.ts'
import { sendAnswer } from './answer.ts'
import { wishesOf } from './generate-headers.ts'
import { generateSchema } from './generate-schema.ts'
import { callerOf } from './request-facts.ts'

export interface GenerateTools {
  readonly request: Request
  readonly ledger: Ledger
  readonly presence: Presence
  readonly metrics: Metrics
  readonly waitMs: number
  readonly newId: () => string
  readonly describePrompt: (prompt: string) => Readonly<Record<string, unknown>>
  readonly onDeliveryTrouble: (error: unknown) => void
}

export function generateRoutes (scope: FastifyInstance, tools: GenerateTools): void {
  for (const model of models) {
    const handler = generate(model, tools)
    if (model === defaultModel) scope.post<{ Body: ModelInput }>('/generate', { schema: generateSchema(model, true) }, handler)
    scope.post<{ Body: ModelInput }>(`/generate/${model.endpointId}`, { schema: generateSchema(model, false) }, handler)
  }
}

function generate (model: Model, tools: GenerateTools) {
  const defaults = defaultsOf(model)

  return async (request: FastifyRequest<{ Body: ModelInput }>, reply: FastifyReply): Promise<FastifyReply> => {
    // Set before anything can fail: every answer says what the cache had to do with it.
    reply.header('cache-status', 'falgate; fwd=miss')
    const { tenant, subject } = callerOf(request)
    const { seed } = request.facts
    const input = { ...defaults, ...request.body }
    if (typeof input['prompt'] === 'string') request.facts.prompt = tools.describePrompt(input['prompt'])
    if (seed.kind === 'inexact') throw seedFault()
    const forbidden = permits(tenant, model, input)
    if (forbidden !== null) throw new Problem('not-allowed', { detail: forbidden })
    const wishes = wishesOf(request.headers, tools.waitMs)

    const digits = seed.kind === 'digits' ? seed.digits : null
    const caller = attend(reply, tools.presence)
    const call: Call = {
      id: tools.newId(),
      tenant,
      subject,
      model,
      input: canonicalJson(input, digits),
      inputAsSent: canonicalJson(request.body, digits),
      seed: digits,
      ...wishes,
      connection: caller.connection,
      gone: caller.gone
    }
    try {
      const answer = await tools.request(call)
      count(answer, tenant.id, tools.metrics)
      rememberDelivery(reply, answer, call, tools)
      return sendAnswer(request, reply, answer, wishes)
    } finally {
      caller.leave()
    }
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

/** Watches the caller's socket. `request.signal` would not do: it fires as soon as the body has been read. */
function attend (reply: FastifyReply, presence: Presence): Pick<Call, 'connection' | 'gone'> & { readonly leave: () => void } {
  const { raw } = reply
  const isOpen = (): boolean => !raw.destroyed && !raw.closed
  const { connection, close } = presence.arrive(isOpen)
  const controller = new AbortController()
  const onClose = (): void => { controller.abort() }
  raw.once('close', onClose)
  if (!isOpen()) controller.abort()
  // The connection counts as there until the answer is out, so it is forgotten only when the socket is done with it.
  return { connection, gone: controller.signal, leave: () => { if (raw.closed) close(); else raw.once('close', close) } }
}

/**
 * The generation is delivered when its result, its final error or an asked-for id went out on an open socket.
 * An answer that could not be written leaves it adoptable.
 */
function rememberDelivery (reply: FastifyReply, answer: Answer, call: Call, tools: GenerateTools): void {
  if (answer.source === 'hit' || answer.kind === 'caller-gone') return
  const id = answer.kind === 'picture' ? answer.generationId : answer.row.id
  if (id === null || (answer.kind === 'under-way' && !call.async)) return
  reply.raw.once('close', () => {
    const told = reply.raw.writableFinished
      ? tools.ledger.seen(id, call.waitMs > 0 ? call.connection : null)
      : tools.ledger.left(id, call.connection)
    told.catch(tools.onDeliveryTrouble)
  })
}

function count (answer: Answer, tenant: string, metrics: Metrics): void {
  if (answer.kind !== 'picture') return
  metrics.answered(tenant, answer.source)
  if (answer.source !== 'bought') metrics.saved(tenant, answer.source, answer.saved)
}
