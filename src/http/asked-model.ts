// Which model a request means, by the endpoint id in its address.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { mayUse } from '../tenants/book.ts'
import { callerOf } from './request-facts.ts'

/** A route whose address ends with an endpoint id. */
export interface ByModel { Params: { readonly '*': string } }

/** The model with this endpoint id. Throws `model-unknown` with the nearest one that the caller may use. */
export function askedModel (request: FastifyRequest, endpointId: string, models: ModelBook): Model {
  const model = models.find(endpointId)
  if (model !== undefined) return model
  const nearest = models.nearest(endpointId)
  const isTold = nearest !== null && mayUse(callerOf(request).tenant, nearest)
  throw new Problem('model-unknown', { detail: isTold ? `The nearest one is ${nearest}.` : 'GET /models lists those that this key may use.' })
}
