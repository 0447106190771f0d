// Documents as fal publishes them, dressed around schemas that a test writes: one queue with four paths. Faults are asked for by name.

/** A JSON schema, or a piece of a document. */
type Json = Readonly<Record<string, unknown>>

/** What can be wrong with a document, each by its own option; without one it is as fal's are. */
export interface FalDocumentOptions {
  /** The endpoint that the document is about. */
  readonly endpointId?: string
  readonly category?: string
  /** What the model does, as `x-fal-metadata` says it. */
  readonly about?: string
  /** Whether the call is marked as deprecated. */
  readonly isDeprecated?: boolean
  /** Further components, by name; the input's and the output's references lead to them. */
  readonly components?: Json
  /** The names of the components that hold the input and the output. */
  readonly inputName?: string
  readonly outputName?: string
  /** The schema at the POST body, in place of the reference to the input's component. */
  readonly body?: unknown
  /** The schema of the result, in place of the reference to the output's component. */
  readonly result?: unknown
  /** The endpoint that `x-fal-metadata` names; null: none. */
  readonly namedId?: string | null
  /** The endpoint that the paths are of. */
  readonly pathId?: string
  /** Leaves the POST body out. */
  readonly hasNoInput?: boolean
  /** Leaves the result's schema out. */
  readonly hasNoOutput?: boolean
}

/** The endpoint id of documents that ask for no other. */
export const DOCUMENT_ID = 'acme/painter/v1'

/** An input as small as any. */
export const plainInput: Json = {
  type: 'object',
  title: 'PainterInput',
  required: ['prompt'],
  properties: { prompt: { type: 'string', title: 'Prompt', description: 'What to paint.' } },
  'x-fal-order-properties': ['prompt']
}

/** An input of a prompt, which is required, and these fields. */
export function promptAnd (fields: Json): Json {
  return { type: 'object', required: ['prompt'], properties: { prompt: { type: 'string' }, ...fields } }
}

/** An output with pictures, as most are. */
export const plainOutput: Json = {
  type: 'object',
  title: 'PainterOutput',
  required: ['images'],
  properties: { images: { type: 'array', items: { type: 'object', required: ['url'], properties: { url: { type: 'string' } } } } }
}

/** What apps on Pydantic 2 say of a field that may be null. */
export function orNull (schema: Json): Json {
  return { anyOf: [schema, { type: 'null' }] }
}

/** Components that many documents have: a size in pixels, and a file in an answer. */
export const commonComponents: Readonly<Record<'ImageSize' | 'File', Json>> = {
  ImageSize: {
    type: 'object',
    title: 'ImageSize',
    properties: {
      width: { type: 'integer', title: 'Width', description: 'In pixels.', default: 512, exclusiveMinimum: 0, maximum: 14142 },
      height: { type: 'integer', title: 'Height', description: 'In pixels.', default: 512, exclusiveMinimum: 0, maximum: 14142 }
    },
    'x-fal-order-properties': ['width', 'height']
  },
  File: {
    type: 'object',
    title: 'File',
    required: ['url'],
    properties: { url: { type: 'string', title: 'Url' }, content_type: orNull({ type: 'string' }), file_size: orNull({ type: 'integer' }), file_data: { type: 'string', format: 'binary' } }
  }
}

/** A whole document around an input and an output schema, as a value. */
export function falDocument (input: Json = plainInput, output: Json = plainOutput, options: FalDocumentOptions = {}): Json {
  const id = options.endpointId ?? DOCUMENT_ID
  const at = `/${options.pathId ?? id}`
  const inputName = options.inputName ?? 'PainterInput'
  const outputName = options.outputName ?? 'PainterOutput'
  const named = options.namedId === undefined ? id : options.namedId
  const requestId = { name: 'request_id', in: 'path', required: true, schema: { type: 'string' } }
  const body = options.body ?? referenceTo(inputName)
  const result = options.result ?? referenceTo(outputName)
  return {
    openapi: '3.0.4',
    info: {
      title: `Queue OpenAPI for ${id}`,
      version: '1.0.0',
      description: `The OpenAPI schema for the ${id} queue.`,
      'x-fal-metadata': {
        ...(named !== null && { endpointId: named }),
        category: options.category ?? 'text-to-image',
        ...(options.about !== undefined && { about: options.about })
      }
    },
    components: {
      securitySchemes: { apiKeyAuth: { type: 'apiKey', in: 'header', name: 'Authorization' } },
      // Pairs, so that a component may have any name.
      schemas: Object.fromEntries([
        ['QueueStatus', { type: 'object', required: ['status', 'request_id'], properties: { status: { type: 'string', enum: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'] }, request_id: { type: 'string' } } }],
        [inputName, input],
        [outputName, output],
        ...Object.entries(options.components ?? {})
      ])
    },
    paths: {
      [`${at}/requests/{request_id}/status`]: { get: { parameters: [requestId, { name: 'logs', in: 'query', schema: { type: 'number' } }], responses: { 200: answer(referenceTo('QueueStatus')) } } },
      [`${at}/requests/{request_id}/cancel`]: { put: { parameters: [requestId], responses: { 200: answer({ type: 'object', properties: { success: { type: 'boolean' } } }) } } },
      [at]: {
        post: {
          ...(options.isDeprecated === true && { deprecated: true }),
          ...(options.hasNoInput !== true && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
          responses: { 200: answer(referenceTo('QueueStatus')) }
        }
      },
      [`${at}/requests/{request_id}`]: { get: { parameters: [requestId], responses: { 200: options.hasNoOutput === true ? { description: 'The result.' } : answer(result) } } }
    },
    servers: [{ url: 'https://queue.fal.run' }],
    security: [{ apiKeyAuth: [] }]
  }
}

/** The same as text, as it comes over the wire. */
export function falDocumentText (input?: Json, output?: Json, options?: FalDocumentOptions): string {
  return JSON.stringify(falDocument(input, output, options))
}

/** A reference to a component. */
export function referenceTo (name: string): Json {
  return { $ref: `#/components/schemas/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` }
}

function answer (schema: unknown): Json {
  return { description: 'The answer.', content: { 'application/json': { schema } } }
}
