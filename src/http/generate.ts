// `POST /generate` for the default model, and `/generate/{endpoint id}` for every model on offer, whenever it was added. `POST /generations` is the same call,
// answered with the generation in place of the picture.

import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Answer } from '../generation/request/request.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { missed, sendAnswer, sendAsGeneration, type AnswerDeps } from './answer.ts'
import { ask, type AskDeps } from './ask.ts'
import { askedModel, modelInPath, type ByModel } from './asked-model.ts'
import { bodyLimitOfModel } from './body-bytes.ts'
import type { HeaderOptions } from './call-options.ts'
import { answerDryRun, isDryRun } from './dry-run.ts'
import { generationOptionsOf, headerOptionsOf } from './generate-headers.ts'
import { anyModelSchema, createGenerationSchema, generateSchema, type ModelQuery } from './generate-schema.ts'
import { answerHeaders } from './headers.ts'
import { described } from './model-schemas.ts'
import { withHeaderHook, type WebhookDeps } from './webhook-wish.ts'

export interface GenerateDeps extends AskDeps, AnswerDeps, WebhookDeps {
  /** What is on offer now. */
  readonly models: () => ModelBook
  readonly waitMs: number
}

/** How a route answers its callers: what it reads of their headers, and what it sends them. */
interface Manner {
  readonly optionsOf: (headers: FastifyRequest['headers'], waitMs: number) => HeaderOptions
  readonly send: (request: FastifyRequest, reply: FastifyReply, answer: Answer, options: HeaderOptions, deps: GenerateDeps) => FastifyReply | Promise<FastifyReply>
}

const withPicture: Manner = { optionsOf: headerOptionsOf, send: sendAnswer }

const withGeneration: Manner = { optionsOf: generationOptionsOf, send: sendAsGeneration }

interface ByQuery { Querystring: Static<typeof ModelQuery> }

export function generateRoutes (scope: FastifyInstance, deps: GenerateDeps): void {
  const { models } = deps
  const config = { saysCacheStatus: true }
  const atStart = models()
  const shown = described(atStart)
  const ofDefault = shown.find(({ model }) => model === atStart.default)
  scope.post('/generate', { config: { ...config, bodyLimitOf: bodyLimitOfModel(() => models().default) }, schema: ofDefault === undefined ? anyModelSchema(true) : generateSchema(ofDefault, true) }, generate(() => models().default, withPicture, deps))
  // The same as the wildcard; they have addresses of their own for the documents' sake.
  for (const one of shown) {
    const { endpointId } = one.model
    scope.post(`/generate/${endpointId}`, { config: { ...config, bodyLimitOf: bodyLimitOfModel(() => models().find(endpointId)) }, schema: generateSchema(one, false) }, generate(request => askedModel(request, endpointId, models()), withPicture, deps))
  }
  scope.post<ByModel>('/generate/*', { config: { ...config, bodyLimitOf: bodyLimitOfModel(modelInPath(models)) }, schema: anyModelSchema(false) }, generate<ByModel>(request => askedModel(request, request.params['*'], models()), withPicture, deps))
  scope.post<ByQuery>('/generations', { config: { ...config, bodyLimitOf: bodyLimitOfModel(({ query }) => modelInQuery(query, models())) }, schema: createGenerationSchema }, generate<ByQuery>(request => request.query.model === undefined ? models().default : askedModel(request, request.query.model, models()), withGeneration, deps))
}

function generate<Route extends object = object> (modelOf: (request: FastifyRequest<Route>) => Model, { optionsOf, send }: Manner, deps: GenerateDeps) {
  return (request: FastifyRequest<Route>, reply: FastifyReply): Promise<FastifyReply> | undefined => {
    const plain = optionsOf(request.headers, deps.waitMs)
    reply.header(answerHeaders.cacheStatus, missed(plain.mode))
    const options = withHeaderHook(request, plain, deps)
    if (isDryRun(request, reply)) return answerDryRun(request, reply, modelOf(request), options, 'refuse', deps)
    const answer = ask(request, modelOf(request), options, 'refuse', deps)
    if (answer instanceof Promise) return answer.then(arrived => send(request, reply, arrived, options, deps))
    // What lies in this process is sent in the same turn.
    const sent = send(request, reply, answer, options, deps)
    return sent instanceof Promise ? sent : undefined
  }
}

/** Before the query is checked: what is no text names no model. */
function modelInQuery (query: unknown, models: ModelBook): Model | undefined {
  const { model }: { readonly model?: unknown } = Object(query)
  return model === undefined ? models.default : typeof model === 'string' ? models.find(model) : undefined
}
