// The documentation and validation of `POST /generate`.

import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import type { Model } from '../models/model.ts'
import { nameOf } from './operation-ids.ts'
import { problemResponses } from './problem-schema.ts'

const headers = {
  'X-Request-Id': 'The request\'s own, or a new one. In every log line about it.',
  'Falgate-Generation': 'The generation\'s id; absent on a hit that somebody else bought.',
  'Cache-Status': 'RFC 9211: `hit`, or `fwd` with `detail=bought`, `joined`, `replayed` or `adopted`; `hit` with `detail=failed-before` or `unknown-before` for an end that answers for 15 minutes.',
  'Falgate-Cost-Usd': 'What this call cost.',
  'Falgate-Saved-Usd': 'What it would have cost without the gateway.',
  Age: 'Seconds since a stored result was made, or a generation failed that answers again.',
  RateLimit: 'What is left of the limits (draft-ietf-httpapi-ratelimit-headers-11).',
  'RateLimit-Policy': 'The limits.'
} as const

/** What callers may say in headers. Documented here, checked in `generate-headers.ts`, where every fault has its own sentence. */
export const requestHeaders = [
  { name: 'Idempotency-Key', description: 'Up to 255 visible characters. The same key with the same body costs nothing for 24 hours.' },
  { name: 'Prefer', description: '`respond-async` does not wait, `wait=n` waits n seconds at most (RFC 7240); not done by then is a 202.' },
  { name: 'Falgate-Cache', description: '`refresh` buys afresh and stores, `bypass` neither reads nor stores, `only` answers from what is stored or 504.' },
  { name: 'X-Request-Id', description: 'Kept when it matches `[\\w.-]{1,128}`.' }
] as const

/** `isDefault`: the short route, which stands for the first model. */
export function generateSchema (model: Model, isDefault: boolean): FastifySchema {
  return {
    operationId: isDefault ? 'generate' : `generate_${nameOf(model.endpointId)}`,
    summary: isDefault ? `Make a picture with ${model.title}` : `Make a picture with ${model.endpointId}`,
    description: `${model.description} Answers with the model's output, unchanged; everything else is in headers. The same request with a seed is bought once.`,
    tags: ['pictures'],
    security: [{ key: [] }],
    body: model.input,
    response: {
      200: Type.Unsafe<unknown>({ description: 'The model\'s output, byte for byte.', headers: headerSchemas(), content: { 'application/json': { schema: model.output } } }),
      202: Type.Unsafe<unknown>({
        description: 'Asked for with `Prefer` and not done yet.',
        headers: { ...headerSchemas(), Location: { type: 'string', description: 'Where to collect it.' } },
        content: { 'application/json': { schema: Type.Ref('Generation') } }
      }),
      ...problemResponses('buying')
    }
  }
}

function headerSchemas (): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, description]) => [name, { type: 'string', description }]))
}
