// The documentation and validation of `POST /generate`.

import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import type { Model } from '../models/model.ts'
import { headersAt } from './headers.ts'
import type { ModelComponents } from './model-schemas.ts'
import { nameOf } from './operation-ids.ts'
import { problemResponses } from './problem-schema.ts'

/** `isDefault`: the short route, which stands for the default model. */
export function generateSchema ({ model, components: { input, output } }: { readonly model: Model, readonly components: ModelComponents }, isDefault: boolean): FastifySchema {
  return {
    operationId: isDefault ? 'generate' : `generate_${nameOf(model.endpointId)}`,
    summary: isDefault ? `Make a picture with ${model.title}` : `Make a picture with ${model.endpointId}`,
    description: `${model.description} Answers with the model's output, unchanged; everything else is in headers. The same request with a seed is bought once.`,
    tags: ['pictures'],
    security: [{ key: [] }],
    body: Type.Ref(input),
    response: responses(output === null ? AnyObject : Type.Ref(output))
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

/** A parameter that is not known is refused: one that is misspelt would buy of another model. */
export const ModelQuery = Type.Object({ model: Type.Optional(Type.String({ description: 'The endpoint id; left out, the default model.' })) }, { additionalProperties: false })

/** `POST /generations`. */
export const createGenerationSchema: FastifySchema = {
  operationId: 'create_generation',
  summary: 'Ask for a picture, and get its generation at once',
  description: [
    'The same call as `POST /generate` with the same body, for all models: what is stored, joined, replayed, reserved and refused is the same. It is always answered with 202 and the generation as it then is, also where that has ended; so one schema fits every success.',
    'The body is the model\'s input; `GET /models/{endpoint id}` tells its fields, and the document below it has this operation with them. `GET /generations/{id}` collects.',
    '`Falgate-Dry-Run: 1` works here as well, and is the one call that is answered with 200 and a `DryRun`.'
  ].join('\n\n'),
  tags: ['generations'],
  security: [{ key: [] }],
  querystring: ModelQuery,
  body: AnyObject,
  response: {
    202: Type.Unsafe<unknown>({ description: 'The generation.', headers: headersAt(202, { alsoCommon: true }), content: { 'application/json': { schema: Type.Ref('Generation') } } }),
    ...problemResponses('buying', 'bad-query')
  }
}

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
