// fal's units in money: at the price that the generation was admitted under.

import t from 'tap'
import { bookingOf, costOf, unitsBilled } from '../../src/generation/bill.ts'

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

t.test('units of any number of digits cost something, up to the largest amount; what is no plain number leaves it to the reservation', async t => {
  const row = { price: 60_000, unitPrice: 60_000 }
  t.equal(costOf(row, '0.0000000000000000000001'), 1, 'rounded up')
  t.equal(costOf(row, ' 00000000000000000001 '), 60_000)
  t.equal(costOf(row, '123456789012'), 7_407_407_340_720_000)
  for (const units of ['999999999999', '9'.repeat(1000), '9'.repeat(1000) + '.5']) t.equal(costOf(row, units), Number.MAX_SAFE_INTEGER)
  for (const units of ['', 'one', '-1', '1e9', '1,5', 'NaN', 'Infinity', '0x10', '1 2', '9'.repeat(1001)]) t.equal(costOf(row, units), null, units.slice(0, 9))
})

t.test('ten times the reservation is booked as it was told, more than that is a fault and booked as ten times', async t => {
  const row = { price: 60_000 }
  t.same(bookingOf(row, 600_000), { cost: 600_000, costAssumed: false })
  t.same(bookingOf(row, 600_001), { cost: 600_000, costAssumed: true })
  t.same(bookingOf(row, Number.MAX_SAFE_INTEGER), { cost: 600_000, costAssumed: true })
  t.same(bookingOf(row, 0), { cost: 0, costAssumed: false })
  t.same(bookingOf(row, null), { cost: 60_000, costAssumed: true })
})
