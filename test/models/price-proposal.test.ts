// What fal's price becomes: a rule where its unit can be counted and bounds every call, and else a sentence.

import t from 'tap'
import { readDocument } from '../../src/models/document.ts'
import { proposePrice, type Proposal } from '../../src/models/price-proposal.ts'
import { DOCUMENT_ID, falDocumentText } from '../support/fal-documents.ts'

function proposed (unitPrice: number, unit: string, properties: Readonly<Record<string, unknown>> = { prompt: { type: 'string' } }, currency = 'USD'): Proposal {
  const read = readDocument(falDocumentText({ type: 'object', properties, required: Object.hasOwn(properties, 'prompt') ? ['prompt'] : [] }), DOCUMENT_ID)
  if (!read.ok) throw new Error(read.fault)
  return proposePrice({ unitPrice, unit, currency }, read.document)
}

const count = { type: 'integer', minimum: 1, maximum: 4 }

t.test('the unit words that always mean the same are taken', async t => {
  const words: readonly (readonly [unit: string, per: string])[] = [['images', 'image'], ['image', 'image'], ['images ', 'image'], ['requests', 'call'], ['videos', 'call'], ['generations', 'call'], ['1000 characters', '1000 characters'], ['1000 characters ', '1000 characters']]
  for (const [unit, per] of words) {
    t.match(proposed(0.04, unit), { ok: true, price: { usd: 0.04, per } }, unit)
  }
  t.match(proposed(0.04, 'megapixels', { image_size: { enum: ['square'] } }), { ok: true, price: { usd: 0.04, per: 'megapixel' } })
  t.match(proposed(0.04, 'seconds', { duration: { enum: ['5', '10'] } }), { ok: true, price: { usd: 0.04, per: 'second' } })
  t.match(proposed(0.000_000_17, 'images'), { ok: true, rule: { unitPrice: 1 } })
})

t.test('a call that makes several makes several of what is billed', async t => {
  t.match(proposed(0.04, 'generations', { num_images: count }), { ok: true, price: { per: 'image' } })
})

t.test('every other unit, a price of nothing and other money are refused in a sentence', async t => {
  for (const unit of ['compute seconds', 'units', 'credits', '', 'processed megapixels', '5 seconds', '1m tokens', 'minutes', 'IMAGES', 'steps']) {
    t.match(proposed(0.04, unit), { ok: false, fault: /^fal's price is 0.04 USD per ".*", and how many/ }, unit)
  }
  t.match(proposed(0, 'images'), { ok: false, fault: /price of 0/ })
  t.match(proposed(NaN, 'images'), { ok: false })
  t.match(proposed(-1, 'images'), { ok: false })
  t.match(proposed(5000, 'images'), { ok: false, fault: /^fal's price cannot be used/ })
  t.match(proposed(1, 'images', undefined, 'EUR'), { ok: false, fault: /another currency/ })
})

t.test('a price that bounds no call is refused, and says why', async t => {
  t.match(proposed(0.04, 'seconds'), { ok: false, fault: 'fal\'s price is 0.04 USD per seconds, which is no bound for this model: no field of the model holds the seconds.' })
  t.match(proposed(0.04, 'images', { num_images: { type: 'integer' } }), { ok: false, fault: /num_images has no upper bound/ })
  t.match(proposed(0.04, 'megapixels', { image_size: { enum: ['square'] }, image_url: { type: 'string' } }), { ok: false, fault: /takes pictures/ })
})
