// Values are checked as they are, and what does not fit is told by place.

import { Type } from '@sinclair/typebox'
import t from 'tap'
import { builtInModels } from '../src/models/built-in.ts'
import { guardOf, misfitsOf } from '../src/schema.ts'

const Picture = Type.Object({
  url: Type.String({ description: 'an address' }),
  width: Type.Optional(Type.Integer({ minimum: 1, description: 'a number of pixels' })),
  shape: Type.Optional(Type.Union([Type.Literal('square'), Type.Literal('wide')], { description: 'square or wide' })),
  note: Type.Optional(Type.String({ format: 'well-formed', description: 'a text' }))
}, { additionalProperties: false, description: 'a picture' })

t.test('a value fits a schema as it is: nothing is converted, dropped or filled in', async t => {
  const isPicture = guardOf(Picture)
  t.ok(isPicture({ url: '/a', width: 1, shape: 'wide' }))
  for (const value of [null, [], 'a', {}, { url: 5 }, { url: '/a', width: '1' }, { url: '/a', width: 1.5 }, { url: '/a', shape: 'round' }, { url: '/a', more: 1 }, { url: '/a', note: '\ud800' }]) {
    const before = structuredClone(value)
    t.notOk(isPicture(value), JSON.stringify(value))
    t.same(value, before)
  }
})

t.test('a number beyond all bounds is none, as JSON may have one', async t => {
  t.notOk(guardOf(Type.Number())(JSON.parse('1e999')))
  t.notOk(guardOf(Type.Integer())(JSON.parse('1e999')))
})

t.test('every misfit is told by its place and what belongs there, and none with the value', async t => {
  t.same(misfitsOf(Picture, { url: '/a' }), [])
  const told = misfitsOf(Type.Array(Picture), [{ width: 0, shape: 'SeCrEt', 'a/b~': 'SeCrEt' }, 'SeCrEt'])
  t.same(told.map(({ path, kind, description }) => `${path} ${kind} ${description}`), [
    '/0/url missing a picture', '/0/a~1b~0 unknown a picture', '/0/width wrong a number of pixels', '/0/shape wrong square or wide', '/1 wrong a picture'
  ])
  t.notMatch(JSON.stringify(told), /SeCrEt/)
})

t.test('a schema that names what the validator does not know is an error, and not a check that passes', async t => {
  t.throws(() => guardOf(Type.String({ format: 'unheard-of' }))('a'))
  t.throws(() => guardOf(Type.String({ maxLenght: 3 }))('a'))
})

t.test('the schemas of every built-in model can be checked, and its example fits', async t => {
  for (const { endpointId, readInput, answers, example } of builtInModels.all) {
    t.match(readInput(example, { unknownFields: 'refuse', sentDefaults: [] }), { ok: true }, endpointId)
    t.notOk(answers.judge({}).isSuccess, endpointId)
  }
})
