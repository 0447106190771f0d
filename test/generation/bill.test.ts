// fal's units in money: at the price that the generation was admitted under.

import t from 'tap'
import { costOf, unitsBilled } from '../../src/generation/bill.ts'

t.test('units are settled with the unit price of the row, not with what was reserved for it', async t => {
  const row = { price: 240_000, unitPrice: 60_000 }
  t.equal(costOf(row, '1'), 60_000)
  t.equal(costOf(row, '2.5'), 150_000)
  t.equal(unitsBilled(row, 150_000), '2.5')
  t.equal(costOf(row, null), null, 'without units the reservation decides')
})

t.test('a row of an older version was reserved one unit', async t => {
  const row = { price: 60_000, unitPrice: null }
  t.equal(costOf(row, '2'), 120_000)
  t.equal(unitsBilled(row, 120_000), '2')
})
