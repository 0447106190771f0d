// What a caller asked for, read from an authenticated request whose body fits the model: the same for all doors that make pictures.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { isSeedReadable, MAX_SEED_DIGITS } from '../fal-wire/exact-seed.ts'
import { canonicalJson, resultName, reuseName } from '../generation/key.ts'
import type { CallOptions } from '../generation/request/call.ts'
import type { PromptFacts } from '../logger.ts'
import type { Model, ModelInput } from '../models/model.ts'
import { permits } from '../tenants/book.ts'
import { callerOf } from './request-facts.ts'

/** The part of a call that stands beside its body; each door reads it in its own way, before the body is looked at. */
export type HeaderOptions = Omit<CallOptions, 'tenant' | 'subject' | 'model' | 'body' | 'input' | 'seed' | 'cacheName'>

/** Reads calls of this model. What the tenant may not ask for, and a seed that cannot be kept, is thrown. */
export function optionsReader (model: Model, describePrompt: (prompt: string) => PromptFacts): (request: FastifyRequest, body: ModelInput, headers: HeaderOptions) => CallOptions {
  const fields = Object.entries(model.input.properties)
    .map(([name, schema]): readonly [string, unknown] => [name, schema.default])
    .sort(([one], [other]) => one < other ? -1 : 1)
  const hasSeed = Object.hasOwn(model.input.properties, 'seed')

  return (request, body, headers) => {
    const { tenant, subject } = callerOf(request)
    const { mode, idempotencyKey, waitMs, async, preferenceApplied, priority, startWithinMs, needsId } = headers
    const values = withDefaults(body, fields)
    if (typeof values['prompt'] === 'string') request.facts.prompt = describePrompt(values['prompt'])
    // A seed that the model does not take says nothing: with it, different pictures would have one name.
    const seed = hasSeed ? seedOf(request) : null
    const forbidden = permits(tenant, model, values)
    if (forbidden !== null) throw new Problem('not-allowed', { detail: forbidden })
    const input = canonicalJson(values, seed)
    if (mode === 'reuse' && seed !== null) throw new Problem('bad-header', { detail: 'Falgate-Cache: reuse takes a picture of any seed, so the body may not name one.' })
    const cacheName = nameOf(seed, mode, tenant.cacheGroup, model, input)
    // Written out, as in generate-headers.ts.
    return { tenant, subject, model, body, input, seed, cacheName, mode, idempotencyKey, waitMs, async, preferenceApplied, priority, startWithinMs, needsId }
  }
}

/** What a stored result is looked for under, if any. */
function nameOf (seed: string | null, mode: CallOptions['mode'], cacheGroup: string, model: Model, input: string): string | null {
  if (mode === 'bypass') return null
  if (seed !== null) return resultName(cacheGroup, model, input)
  return mode === 'reuse' || mode === 'only' ? reuseName(cacheGroup, model, input) : null
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

function seedOf ({ facts: { seed } }: FastifyRequest): string | null {
  if (seed.kind === 'inexact') throw seedFault('must be a whole number; beyond 2^53 in plain digits', 'inexact_integer')
  if (seed.kind === 'digits' && !isSeedReadable(seed.digits)) throw seedFault(`must have at most ${MAX_SEED_DIGITS} digits`, 'int_parsing_size')
  return seed.kind === 'digits' ? seed.digits : null
}

function seedFault (message: string, code: string): Problem {
  return new Problem('invalid-input', { detail: 'See `errors` for each field.', errors: [{ path: '/seed', message, code }] })
}
