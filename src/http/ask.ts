// From a validated input to the core and back, for all doors that make pictures: the ask, and the caller who waits for the answer.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { isSeedReadable, MAX_SEED_DIGITS, type ExactSeed } from '../fal-wire/exact-seed.ts'
import { canonicalJson } from '../generation/key.ts'
import type { Presence } from '../generation/presence.ts'
import type { Answer, Ask, Call, Requests } from '../generation/request.ts'
import type { PromptFacts } from '../logger.ts'
import type { Metrics } from '../metrics.ts'
import type { Model, ModelInput } from '../models/model.ts'
import { permits } from '../tenants.ts'
import type { CallerConnection } from './connection.ts'
import { rememberDelivery, type DeliveryTools } from './delivery.ts'
import { callerOf } from './request-facts.ts'

export interface AskTools extends DeliveryTools {
  readonly requests: Requests
  readonly presence: Presence
  readonly describePrompt: (prompt: string) => PromptFacts
}

/** How the caller wants to be served. */
export interface Manner extends Pick<Call, 'mode' | 'async' | 'waitMs' | 'priority' | 'startWithinMs' | 'needsId'> {
  readonly idempotencyKey: string | null
}

/** Asks the core for a picture of this model; `body` is the input as it was sent, checked by the model's schema. An answer out of this process' memory comes at once. */
export function askerOf (model: Model, tools: AskTools): (request: FastifyRequest, body: ModelInput, manner: Manner) => Answer | Promise<Answer> {
  const fields = Object.entries(model.input.properties)
    .map(([name, schema]): readonly [string, unknown] => [name, schema.default])
    .sort(([one], [other]) => one < other ? -1 : 1)
  const hasSeed = Object.hasOwn(model.input.properties, 'seed')

  return (request, body, manner) => {
    const { tenant, subject } = callerOf(request)
    // A seed that the model does not take says nothing: with it, different pictures would have one name.
    const seed: ExactSeed = hasSeed ? request.facts.seed : { kind: 'absent' }
    const input = withDefaults(body, fields)
    if (typeof input['prompt'] === 'string') request.facts.prompt = tools.describePrompt(input['prompt'])
    if (seed.kind === 'inexact') throw seedFault('must be a whole number; beyond 2^53 in plain digits', 'inexact_integer')
    if (seed.kind === 'digits' && !isSeedReadable(seed.digits)) throw seedFault(`must have at most ${MAX_SEED_DIGITS} digits`, 'int_parsing_size')
    const forbidden = permits(tenant, model, input)
    if (forbidden !== null) throw new Problem('not-allowed', { detail: forbidden })

    const { mode, idempotencyKey, needsId } = manner
    const digits = seed.kind === 'digits' ? seed.digits : null
    const ask: Ask = {
      tenant,
      subject,
      model,
      input: canonicalJson(input, digits),
      seed: digits,
      mode,
      idempotency: idempotencyKey === null ? null : { key: idempotencyKey, sent: canonicalJson(body, digits) },
      needsId
    }
    const kept = tools.requests.fromMemory(ask)
    if (kept === null) return attended(ask, manner, request.facts.connection, tools)
    count(kept, tenant.id, tools.metrics)
    return kept
  }
}

/** The input with the defaults of the model's schema; `fields` are all that it may have. */
function withDefaults (body: ModelInput, fields: ReadonlyArray<readonly [string, unknown]>): ModelInput {
  const input: Record<string, unknown> = {}
  for (const [name, byDefault] of fields) {
    const sent = body[name]
    const value = sent === undefined ? byDefault : sent
    if (value !== undefined) input[name] = value
  }
  return input
}

function seedFault (message: string, code: string): Problem {
  return new Problem('invalid-input', { detail: 'See `errors` for each field.', errors: [{ path: '/seed', message, code }] })
}

/** Asks the core while somebody waits. The caller counts as there until its request is over, because an answer that could not be written leaves its generation adoptable. */
async function attended (ask: Ask, { waitMs, async, priority, startWithinMs }: Manner, caller: CallerConnection, tools: AskTools): Promise<Answer> {
  const gone = new AbortController()
  const { connection, close } = tools.presence.arrive(() => caller.isOpen())
  caller.onceOver(close)
  const unwatch = caller.onceOver(() => { gone.abort() })
  if (!caller.isOpen()) { close(); gone.abort() }
  const call: Call = { waitMs, async, priority, startWithinMs, connection, gone: gone.signal, ...ask }
  try {
    const answer = await tools.requests.request(call)
    if (answer.kind === 'caller-gone') tools.metrics.undelivered(call.tenant.id)
    rememberDelivery(caller, answer, call, tools)
    count(answer, call.tenant.id, tools.metrics)
    return answer
  } finally {
    unwatch()
  }
}

function count (answer: Answer, tenant: string, metrics: Metrics): void {
  if (answer.kind !== 'picture') return
  metrics.answered(tenant, answer.source)
  if (answer.source !== 'bought') metrics.saved(tenant, answer.source, answer.saved)
}
