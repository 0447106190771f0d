// Numbers with more digits than JavaScript keeps mean what they say, up to the name that a picture is stored under.

import t from 'tap'
import { createDocumentModel } from '../../src/models/document-model.ts'
import { readDocument } from '../../src/models/document.ts'
import { createModels } from '../../src/models/models.ts'
import { parsePriceRule } from '../../src/models/price-rule.ts'
import { commonComponents, DOCUMENT_ID, falDocumentText, promptAnd, referenceTo } from '../support/fal-documents.ts'
import { startGateway } from '../support/gateway.ts'

function painter () {
  const reading = readDocument(falDocumentText(
    promptAnd({ seed: { type: 'integer' }, strength: { type: 'number' }, steps: { type: 'integer' } }),
    { type: 'object', required: ['images', 'seed'], properties: { images: { type: 'array', items: referenceTo('File') }, seed: { type: 'integer' } } },
    { components: commonComponents }
  ), DOCUMENT_ID)
  const price = parsePriceRule({ usd: 0.01, per: 'call' })
  if (!reading.ok || !price.ok) throw new Error('the document is not read')
  return createDocumentModel({ document: reading.document, rule: price.rule, cacheVersion: 1, isOpen: true })
}

t.test('inputs that differ in a digit are different pictures, and the same number in other words is the same', async t => {
  const gateway = await startGateway(t, { models: createModels([painter()]) })
  const ask = async (numbers: string): Promise<number> => {
    const reply = await gateway.generate(`{"prompt":"a","seed":1,${numbers}}`)
    t.equal(reply.status, 200, `${numbers}: ${reply.text.slice(0, 300)}`)
    return gateway.sandbox.bill.accepted
  }
  t.equal(await ask('"strength":0.1234567890123456789'), 1)
  t.equal(await ask('"strength":0.1234567890123456789'), 1)
  t.equal(await ask('"strength":0.1234567890123456788'), 2)
  t.equal(await ask('"strength":0.50'), 3)
  t.equal(await ask('"strength":5e-1'), 3)
  const refused = await gateway.generate('{"prompt":"a","steps":9007199254740993}')
  t.match(refused.json(), { status: 422, errors: [{ path: '/steps', code: 'not_exact' }] })
  t.equal(gateway.sandbox.bill.accepted, 3)
})
