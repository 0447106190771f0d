// The models on offer. The first one answers `POST /generate`.

import { imagen4Ultra } from './imagen4-ultra.ts'
import type { Model } from './model.ts'

export const models: readonly [Model, ...Model[]] = [imagen4Ultra]

export const defaultModel: Model = models[0]

/** The model with this endpoint id, if it is on offer. */
export function modelOf (endpointId: string): Model | undefined {
  return models.find(model => model.endpointId === endpointId)
}
