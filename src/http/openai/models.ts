// `GET /v1/models`: what the caller may ask for, by endpoint ids and by the names of the tenants file. Applications ask it before anything else.

import type { FastifyInstance } from 'fastify'
import { Type } from '@sinclair/typebox'
import { modelClosed, Problem } from '../../errors.ts'
import type { Model } from '../../models/model.ts'
import type { ModelBook } from '../../models/models.ts'
import { mayUse, refusalOf, type TenantBook } from '../../tenants/book.ts'
import type { ByModel } from '../asked-model.ts'
import { callerOf } from '../request-facts.ts'
import { namedModel } from './asked-model.ts'
import { sendOpenAi } from './render.ts'
import { answers, documented } from './schema.ts'

export interface OpenAiModelsDeps {
  readonly models: () => ModelBook
  readonly tenants: () => TenantBook
}

export function openAiModelRoutes (scope: FastifyInstance, { models, tenants }: OpenAiModelsDeps): void {
  scope.get('/models', {
    schema: { ...documented, operationId: 'openai_models', summary: 'OpenAI: what can be asked for', description: 'Endpoint ids, and the names that the tenants file gives to some of them (`aliases`). `GET /models` tells more.', response: answers(Type.Ref('OpenAiModelList'), 'Those that this key may use.') }
  }, async (request, reply) => {
    const { tenant } = callerOf(request)
    const book = models()
    const isOffered = ({ isOpen, endpointId }: Model): boolean => isOpen && mayUse(tenant, endpointId)
    const named = [...tenants().aliases].flatMap(([name, endpointId]) => {
      const model = book.find(endpointId)
      return model !== undefined && isOffered(model) ? [lineOf(name, model)] : []
    })
    return sendOpenAi(reply, JSON.stringify({ object: 'list', data: [...named, ...book.all.filter(isOffered).map(model => lineOf(model.endpointId, model))] }))
  })

  scope.get<ByModel>('/models/*', {
    schema: { ...documented, operationId: 'openai_model', summary: 'OpenAI: one model', response: answers(Type.Ref('OpenAiModel'), 'It can be asked for.') }
  }, async (request, reply) => {
    const name = request.params['*']
    const { model } = namedModel(request, name, models(), tenants())
    const refusal = refusalOf(callerOf(request).tenant, model)
    if (refusal !== null) throw new Problem('not-allowed', { detail: refusal })
    if (!model.isOpen) throw modelClosed()
    return sendOpenAi(reply, JSON.stringify(lineOf(name, model)))
  })
}

/** fal names no time at which a model came, and clients read a whole number there. */
const NO_TIME = 0

function lineOf (id: string, { endpointId }: Model) {
  const [owner] = endpointId.split('/')
  return { id, object: 'model', created: NO_TIME, owned_by: owner }
}
