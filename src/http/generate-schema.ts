// The documentation and validation of `POST /generate`.

import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import type { Model } from '../models/model.ts'
import { headersAt } from './headers.ts'
import { nameOf } from './operation-ids.ts'
import { problemResponses } from './problem-schema.ts'

/** `isDefault`: the short route, which stands for the default model. */
export function generateSchema (model: Model, isDefault: boolean): FastifySchema {
  return {
    operationId: isDefault ? 'generate' : `generate_${nameOf(model.endpointId)}`,
    summary: isDefault ? `Make a picture with ${model.title}` : `Make a picture with ${model.endpointId}`,
    description: `${model.description} Answers with the model's output, unchanged; everything else is in headers. The same request with a seed is bought once.`,
    tags: ['pictures'],
    security: [{ key: [] }],
    body: model.input,
    response: responses(model.output ?? AnyObject)
  }
}

/** The same for a model that has a document of its own, `GET /models/{endpoint id}/openapi.json`. */
export function anyModelSchema (isDefault: boolean): FastifySchema {
  return {
    operationId: isDefault ? 'generate' : 'generate_with',
    summary: isDefault ? 'Make a picture with the default model' : 'Make what any model on offer makes',
    description: 'The body is the model\'s input; `GET /models/{endpoint id}` tells its fields. Answers with the model\'s output, unchanged; everything else is in headers. The same request with a seed is bought once.',
    tags: ['pictures'],
    security: [{ key: [] }],
    body: AnyObject,
    response: responses(AnyObject)
  }
}

const AnyObject = Type.Object({}, { additionalProperties: true })

function responses (output: object): Record<string, unknown> {
  return {
    200: Type.Unsafe<unknown>({ description: 'The model\'s output, byte for byte. With `Falgate-Dry-Run: 1` a `DryRun` in its place.', headers: headersAt(200, { alsoCommon: true }), content: { 'application/json': { schema: output } } }),
    202: Type.Unsafe<unknown>({
      description: 'Asked for with `Prefer` and not done yet.',
      headers: headersAt(202, { alsoCommon: true }),
      content: { 'application/json': { schema: Type.Ref('Generation') } }
    }),
    ...problemResponses('buying')
  }
}
