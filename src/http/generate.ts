// `POST /generate` for the default model, and `/generate/{endpoint id}` for every model on offer, whenever it was added.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { missed, sendAnswer, type Addresses } from './answer.ts'
import { ask, type AskDeps } from './ask.ts'
import { askedModel, type ByModel } from './asked-model.ts'
import { bodyLimitOfModel } from './body-bytes.ts'
import { answerDryRun, isDryRun } from './dry-run.ts'
import { headerOptionsOf } from './generate-headers.ts'
import { anyModelSchema, generateSchema } from './generate-schema.ts'
import { answerHeaders } from './headers.ts'

export interface GenerateDeps extends AskDeps {
  /** What is on offer now. */
  readonly models: () => ModelBook
  readonly waitMs: number
  readonly addresses: Addresses
}

export function generateRoutes (scope: FastifyInstance, deps: GenerateDeps): void {
  const { models } = deps
  const config = { saysCacheStatus: true }
  const atStart = models()
  scope.post('/generate', { config, schema: atStart.documented.includes(atStart.default) ? generateSchema(atStart.default, true) : anyModelSchema(true) }, generate(() => models().default, deps))
  // The same as the wildcard; they have addresses of their own for the documents' sake.
  for (const { endpointId } of atStart.documented) {
    scope.post(`/generate/${endpointId}`, { config, schema: generateSchema(atStart.find(endpointId) ?? atStart.default, false) }, generate(request => askedModel(request, endpointId, models()), deps))
  }
  scope.post<ByModel>('/generate/*', { config: { ...config, bodyLimitOf: bodyLimitOfModel(models) }, schema: anyModelSchema(false) }, generate<ByModel>(request => askedModel(request, request.params['*'], models()), deps))
}

function generate<Route extends object = object> (modelOf: (request: FastifyRequest<Route>) => Model, deps: GenerateDeps) {
  return (request: FastifyRequest<Route>, reply: FastifyReply): Promise<FastifyReply> | undefined => {
    const headers = headerOptionsOf(request.headers, deps.waitMs)
    reply.header(answerHeaders.cacheStatus, missed(headers.mode))
    if (isDryRun(request, reply)) return answerDryRun(request, reply, modelOf(request), headers, 'refuse', deps)
    const answer = ask(request, modelOf(request), headers, 'refuse', deps)
    if (answer instanceof Promise) return answer.then(arrived => sendAnswer(request, reply, arrived, headers, deps.addresses))
    // What lies in this process is sent in the same turn.
    sendAnswer(request, reply, answer, headers, deps.addresses)
    return undefined
  }
}
