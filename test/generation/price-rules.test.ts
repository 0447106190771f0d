// What a process says of its prices, and when operators hear that they are older than the ledger's.

import t from 'tap'
import { posterNamed } from '../support/poster.ts'
import { createPriceRules, type PriceRules } from '../../src/generation/request/price-rules.ts'

const model = posterNamed('model')

interface Story { readonly rules: PriceRules, readonly reload: (rule: string) => void, readonly told: string[][] }

function startWith (rule: string): Story {
  let inForce = rule
  const told: string[][] = []
  const rules = createPriceRules([model], () => inForce, (...words) => { told.push(words) })
  return { rules, reload: next => { inForce = next }, told }
}

t.test('a process that starts replaces nothing; one that is given another table says which it had, until the ledger has heard it', async t => {
  const { rules, reload } = startWith('a')
  t.same(rules.of(model), { priceRule: 'a', replacesPriceRule: null })
  reload('b')
  t.same(rules.of(model), { priceRule: 'b', replacesPriceRule: 'a' })
  reload('c')
  t.same(rules.of(model), { priceRule: 'c', replacesPriceRule: 'a' }, 'b was never told')
  rules.taken(model.endpointId, 'c')
  t.same(rules.of(model), { priceRule: 'c', replacesPriceRule: null })
  reload('a')
  t.same(rules.of(model), { priceRule: 'a', replacesPriceRule: 'c' })
})

t.test('different prices are told once for each change, never for each request', async t => {
  const { rules, reload, told } = startWith('a')
  for (let request = 0; request < 3; request += 1) rules.refused(model.endpointId, 'a', 'x')
  for (let request = 0; request < 3; request += 1) rules.refused(model.endpointId, 'a', 'y')
  reload('b')
  rules.refused(model.endpointId, 'b', 'y')
  rules.taken(model.endpointId, 'b')
  rules.refused(model.endpointId, 'b', 'y')
  t.same(told, [['model', 'a', 'x'], ['model', 'a', 'y'], ['model', 'b', 'y'], ['model', 'b', 'y']])
})
