// Which model a request means, by the endpoint id in its address.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { mayUse } from '../tenants/book.ts'
import { callerOf } from './request-facts.ts'

/** A route whose address ends with an endpoint id. */
export interface ByModel { Params: { readonly '*': string } }

/** Which model the address of a request names, before anything of it is checked. */
export function modelInPath (models: () => ModelBook): (request: FastifyRequest) => Model | undefined {
  return request => {
    const { '*': endpointId = '' }: Partial<ByModel['Params']> = Object(request.params)
    return models().find(endpointId)
  }
}

/** The model with this endpoint id. Throws `model-unknown` with the nearest one that the caller may buy. */
export function askedModel (request: FastifyRequest, endpointId: string, models: ModelBook): Model {
  const model = models.find(endpointId)
  if (model !== undefined) return model
  const { tenant } = callerOf(request)
  const nearest = models.nearest(endpointId, ({ isOpen, endpointId }) => isOpen && mayUse(tenant, endpointId))
  throw new Problem('model-unknown', { detail: nearest === null ? 'GET /models lists those that this key may use.' : `The nearest one is ${nearest}.` })
}
