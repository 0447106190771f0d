// `POST /generate`: one route for each model, and the short one for the first of them.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Model, ModelInput } from '../models/model.ts'
import type { Models } from '../models/models.ts'
import { missed, sendAnswer, type Addresses } from './answer.ts'
import { askerOf, type AskDeps } from './ask.ts'
import { headerOptionsOf } from './generate-headers.ts'
import { generateSchema } from './generate-schema.ts'
import { answerHeaders } from './headers.ts'

export interface GenerateDeps extends AskDeps {
  readonly models: Models
  readonly waitMs: number
  readonly addresses: Addresses
}

export function generateRoutes (scope: FastifyInstance, deps: GenerateDeps): void {
  const { models } = deps
  for (const model of models.all) {
    const handler = generate(model, deps)
    const config = { saysCacheStatus: true }
    if (model === models.default) scope.post<{ Body: ModelInput }>('/generate', { config, schema: generateSchema(model, true) }, handler)
    scope.post<{ Body: ModelInput }>(`/generate/${model.endpointId}`, { config, schema: generateSchema(model, false) }, handler)
  }
}

function generate (model: Model, deps: GenerateDeps) {
  const ask = askerOf(model, deps)

  return (request: FastifyRequest<{ Body: ModelInput }>, reply: FastifyReply): Promise<FastifyReply> | undefined => {
    const headers = headerOptionsOf(request.headers, deps.waitMs)
    reply.header(answerHeaders.cacheStatus, missed(headers.mode))
    const answer = ask(request, request.body, headers)
    if (answer instanceof Promise) return answer.then(arrived => sendAnswer(request, reply, arrived, headers, deps.addresses))
    // What lies in this process is sent in the same turn.
    sendAnswer(request, reply, answer, headers, deps.addresses)
    return undefined
  }
}
