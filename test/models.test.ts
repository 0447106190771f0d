// The models on offer are one value: checked when it is made, and in the order of its list.

import t from 'tap'
import { imagen4Ultra } from '../src/models/imagen4-ultra.ts'
import { createModels } from '../src/models/models.ts'

const another = { ...imagen4Ultra, endpointId: 'studio/another' }

t.test('an offer of no model, or of two with one endpoint id, is refused in a sentence', async t => {
  t.throws(() => createModels([]), { message: 'no model is on offer: the list of models is empty' })
  t.throws(() => createModels([imagen4Ultra, another, { ...another }]), { message: 'two models on offer have the endpoint id studio/another' })
})

t.test('models are offered in the order of the list, and the first one is the default', async t => {
  const list = [another, imagen4Ultra]
  const models = createModels(list)
  t.equal(models.default, another)
  list.pop()
  t.same(models.all, [another, imagen4Ultra], 'a list that changes later changes nothing')
})

t.test('a model is found by exactly its endpoint id', async t => {
  const models = createModels([imagen4Ultra, another])
  t.equal(models.find('studio/another'), another)
  for (const id of ['studio', 'studio/Another', 'studio/another/', 'constructor', '']) t.equal(models.find(id), undefined, id)
})
