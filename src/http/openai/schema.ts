// The documentation of OpenAI's door. What OpenAI documents itself is not repeated; what differs is said.

import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'

const Null = Type.Null()

/** The body of every error. */
export const OpenAiErrorSchema = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Null], { description: 'The field that is meant.' }),
    code: Type.String({ description: 'The code of the problem with underscores; or OpenAI\'s word, where programs know one.' })
  }, { additionalProperties: true })
}, { title: 'OpenAiError', additionalProperties: true })

export const OpenAiModelSchema = Type.Object({
  id: Type.String(),
  object: Type.Unsafe<string>({ type: 'string', enum: ['model'] }),
  created: Type.Integer({ description: '0: the time is not known.' }),
  owned_by: Type.String()
}, { title: 'OpenAiModel', additionalProperties: true })

export const OpenAiModelListSchema = Type.Object({
  object: Type.Unsafe<string>({ type: 'string', enum: ['list'] }),
  data: Type.Array(Type.Unsafe<unknown>(Type.Ref('OpenAiModel')))
}, { title: 'OpenAiModelList', additionalProperties: true })

/** A request in OpenAI's words. */
export const OpenAiImageRequestSchema = Type.Object({
  prompt: Type.Optional(Type.String()),
  model: Type.Optional(Type.String({ description: 'An endpoint id, or a name of the tenants file\'s `aliases`. Left out, the default model.' })),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: 10, description: 'How many pictures: in one call, where the model makes so many, else in that many calls, all of them or none.' })),
  size: Type.Optional(Type.String({ description: '`auto`, or such as `1024x1536`: as the model says sizes, or the nearest one that it makes.' })),
  response_format: Type.Optional(Type.Unsafe<string>({ type: 'string', enum: ['url', 'b64_json'], description: '`url` by default; `b64_json` where the model is called by a name that begins with `gpt-image`.' })),
  stream: Type.Optional(Type.Boolean({ description: 'As server-sent events.' })),
  user: Type.Optional(Type.String({ description: 'Not sent to models that have no such field.' }))
}, { title: 'OpenAiImageRequest', description: 'Any other field of the model stands beside these.', additionalProperties: true })

const PictureAddress = Type.Union([Type.String({ format: 'uri' }), Type.Object({ image_url: Type.String({ format: 'uri' }) }, { additionalProperties: true })], { description: 'An address: https, or `data:` with the picture in it.' })

/** A request to change pictures, in OpenAI's words. */
export const OpenAiEditRequestSchema = Type.Object({
  ...OpenAiImageRequestSchema.properties,
  images: Type.Optional(Type.Array(PictureAddress, { maxItems: 16, description: 'The pictures that are to be changed, in the model\'s `image_urls` or `image_url`.' })),
  mask: Type.Optional(PictureAddress)
}, { title: 'OpenAiEditRequest', description: 'Any other field of the model stands beside these.', additionalProperties: true })

const File = Type.Unsafe<string>({ type: 'string', format: 'binary' })

/** The same as a form: every other text is a field of the same name. */
export const OpenAiEditFormSchema = Type.Object({
  ...OpenAiImageRequestSchema.properties,
  image: Type.Optional(Type.Array(File, { maxItems: 16, description: 'Up to 16 files, as parts `image` or `image[]`.' })),
  mask: Type.Optional(File)
}, { title: 'OpenAiEditForm', description: 'Any other field of the model is a part beside these; numbers, flags, lists (`name[]`) and objects (`name[key]`) are told by the model.', additionalProperties: true })

export const OpenAiImagesSchema = Type.Object({
  created: Type.Integer({ description: 'When the pictures were made, in seconds.' }),
  data: Type.Array(Type.Object({
    url: Type.Optional(Type.String()),
    b64_json: Type.Optional(Type.String()),
    revised_prompt: Type.Optional(Type.String()),
    seed: Type.Optional(Type.Integer({ description: 'The seed that was used, where the model names it.' }))
  }, { additionalProperties: true }))
}, { title: 'OpenAiImages', additionalProperties: true })

export const documented = { tags: ['openai'], security: [{ key: [] }] }

export function answers (content: object, description: string, others: Readonly<Record<string, object>> = {}): Record<string, unknown> {
  return {
    200: Type.Unsafe<unknown>({ description, content: { 'application/json': { schema: content }, ...others } }),
    default: Type.Unsafe<unknown>({ description: 'An error in OpenAI\'s shape.', content: { 'application/json': { schema: Type.Ref('OpenAiError') } } })
  }
}

export const imagesSchema: FastifySchema = {
  ...documented,
  operationId: 'openai_images',
  summary: 'OpenAI: make pictures',
  description: 'As at `https://api.openai.com/v1`, for clients that were written for OpenAI; their base is `/v1` here. What was meant in other words of the model is told in `Falgate-Mapped`; what cannot be meant is a 400 that names the field. Stored results, joining, limits and budgets are those of `POST /generate`.',
  body: Type.Ref('OpenAiImageRequest'),
  response: answers(Type.Ref('OpenAiImages'), 'The pictures.', { 'text/event-stream': { schema: { type: 'string', description: 'With `stream`: an event `image_generation.completed` for each picture, or `error`.' } } })
}

export const editsSchema: FastifySchema = {
  ...documented,
  operationId: 'openai_edits',
  summary: 'OpenAI: change pictures',
  description: 'As at `https://api.openai.com/v1`: pictures and a prompt make other pictures, with models that take pictures. They come as files in a form, or as addresses in JSON. Everything else is as at `/v1/images/generations`.',
  body: { content: { 'multipart/form-data': { schema: Type.Ref('OpenAiEditForm') }, 'application/json': { schema: Type.Ref('OpenAiEditRequest') } } },
  response: answers(Type.Ref('OpenAiImages'), 'The pictures.', { 'text/event-stream': { schema: { type: 'string', description: 'With `stream`: an event `image_edit.completed` for each picture, or `error`.' } } })
}
