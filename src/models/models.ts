// The models on offer, as one value that is made once and handed down to everything that asks for it. Other models make another book.

import type { Model } from './model.ts'
import { nearestName } from '../nearest.ts'

/** The models on offer. Immutable. */
export interface ModelBook {
  /** In the order in which they are offered and documented. */
  readonly all: readonly Model[]
  /** Those that the document of the whole gateway describes; the others have one each. */
  readonly documented: readonly Model[]
  /** The one that `POST /generate` means. */
  readonly default: Model
  /** The model with exactly this endpoint id, if it is on offer. */
  readonly find: (endpointId: string) => Model | undefined
  /** The endpoint id that looks most like this one, where one does, among the models that may be told of: all by default. */
  readonly nearest: (endpointId: string, mayTell?: (model: Model) => boolean) => string | null
}

/**
 * Offers these models: those that come with falgate, and those that an operator `added`. By default the first of them is the one that `POST /generate` means.
 * Throws, with a sentence, when there is none, when two have one endpoint id, or when the default is not among them.
 */
export function createModels (list: readonly Model[], { added = [], defaultId }: { readonly added?: readonly Model[], readonly defaultId?: string } = {}): ModelBook {
  const byId = new Map<string, Model>()
  const all = [...list, ...added]
  for (const model of all) {
    if (byId.has(model.endpointId)) throw new Error(`two models on offer have the endpoint id ${model.endpointId}`)
    byId.set(model.endpointId, model)
  }
  const usual = defaultId === undefined ? all[0] : byId.get(defaultId)
  if (usual === undefined) throw new Error(defaultId === undefined ? 'no model is on offer: the list of models is empty' : `the default model ${defaultId} is not on offer`)
  return {
    all,
    documented: [...list],
    default: usual,
    find: endpointId => byId.get(endpointId),
    nearest: (endpointId, mayTell = () => true) => nearestName(endpointId, all.filter(mayTell).map(model => model.endpointId))
  }
}
