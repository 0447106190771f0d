// The models on offer, as one value that is made once and handed down to everything that asks for it.

import type { Model } from './model.ts'

/** The models on offer. Immutable. */
export interface Models {
  /** In the order in which they are offered and documented. */
  readonly all: readonly Model[]
  /** The one that `POST /generate` means: the first. */
  readonly default: Model
  /** The model with exactly this endpoint id, if it is on offer. */
  readonly find: (endpointId: string) => Model | undefined
}

/** Offers these models, the first of them as the default. Throws, with a sentence, when there is none, when two have one endpoint id, or when one makes no pictures. */
export function createModels (list: readonly Model[]): Models {
  const [first] = list
  if (first === undefined) throw new Error('no model is on offer: the list of models is empty')
  const byId = new Map<string, Model>()
  for (const model of list) {
    if (byId.has(model.endpointId)) throw new Error(`two models on offer have the endpoint id ${model.endpointId}`)
    if (!Object.hasOwn(model.output.properties, 'images')) throw new Error(`the output of ${model.endpointId} has no "images": the gateway reads no other kind of result yet`)
    byId.set(model.endpointId, model)
  }
  return { all: [...list], default: first, find: endpointId => byId.get(endpointId) }
}
