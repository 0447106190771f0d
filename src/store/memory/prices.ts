// Which price rule holds for a model (rule 35). No two machines' clocks are compared: what the ledger has not seen is newer than what it has, and what was
// replaced is older, unless the process that brings it says that it had the rule that holds, and was given this one in its place.

import type { Admission } from '../../generation/admission.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { State } from './state.ts'

type Brought = Pick<Admission, 'model' | 'priceRule' | 'replacesPriceRule'>

/** The rule that holds, when the one that an admission brings is older. */
export function newerRule (state: State, { model, priceRule, replacesPriceRule }: Brought): string | null {
  const [latest, ...replaced] = state.priceRules.get(model) ?? []
  return latest !== undefined && latest !== replacesPriceRule && replaced.includes(priceRule) ? latest : null
}

/** A purchase is made under this rule, so it is the one that holds. */
export function takeRule (state: State, { model, priceRule }: Brought): void {
  const known = state.priceRules.get(model) ?? []
  if (known[0] === priceRule) return
  state.priceRules.set(model, [priceRule, ...known.filter(rule => rule !== priceRule)].slice(0, ledgerConstants.maxPriceRules))
}
