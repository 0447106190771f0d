// The price rules of this process beside those of the ledger: what an admission says of its own, and what operators are told when they differ.

import type { Model } from '../../models/model.ts'
import type { Admission } from '../admission.ts'

export interface PriceRules {
  /** What an admission of this model says. */
  readonly of: (model: Model) => Pick<Admission, 'priceRule' | 'replacesPriceRule'>
  /** Something was bought under this rule, so the ledger has it. */
  readonly taken: (model: string, rule: string) => void
  /** Nothing was bought, because the ledger has a newer one. */
  readonly refused: (model: string, rule: string, ledgerRule: string) => void
}

/**
 * `ruleOf` gives the name of the rule that is in force now. A rule replaces the ledger's when this process has met that model under another one before.
 * `onDifferent` is told once for each pair of rules, however many requests meet it.
 */
export function createPriceRules (models: Iterable<Model>, ruleOf: (model: Model) => string, onDifferent: (model: string, rule: string, ledgerRule: string) => void): PriceRules {
  /** What the ledger was told last, or what this process started with: a later one replaces it. Models that went away stay here, a line each. */
  const known = new Map<string, string>()
  const told = new Map<string, string>()
  for (const model of models) known.set(model.endpointId, ruleOf(model))

  return {
    of: model => {
      const priceRule = ruleOf(model)
      const before = known.get(model.endpointId) ?? priceRule
      return { priceRule, replacesPriceRule: before === priceRule ? null : before }
    },
    taken: (model, rule) => {
      known.set(model, rule)
      told.delete(model)
    },
    refused: (model, rule, ledgerRule) => {
      const pair = `${rule} ${ledgerRule}`
      if (told.get(model) === pair) return
      told.set(model, pair)
      onDifferent(model, rule, ledgerRule)
    }
  }
}
