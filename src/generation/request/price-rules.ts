// The price rules of this process beside those of the ledger: what an admission says of its own, and what operators are told when they differ.

import type { Admission } from '../admission.ts'

export interface PriceRules {
  /** What an admission of this model says. */
  readonly of: (model: string) => Pick<Admission, 'priceRule' | 'replacesPriceRule'>
  /** Something was bought under this rule, so the ledger has it. */
  readonly taken: (model: string, rule: string) => void
  /** Nothing was bought, because the ledger has a newer one. */
  readonly refused: (model: string, rule: string, ledgerRule: string) => void
}

/** `ruleOf` gives the rule that is in force now. `onDifferent` is told once for each pair of rules, however many requests meet it. */
export function createPriceRules (models: readonly string[], ruleOf: (model: string) => string, onDifferent: (model: string, rule: string, ledgerRule: string) => void): PriceRules {
  /** What the ledger was told last, or what this process started with: a later one replaces it. */
  const known = new Map(models.map(model => [model, ruleOf(model)]))
  const told = new Map<string, string>()

  return {
    of: model => {
      const priceRule = ruleOf(model)
      const before = known.get(model) ?? priceRule
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
