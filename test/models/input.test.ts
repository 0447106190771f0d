// Inputs of document models: checked as they are, and sent as they were written.

import t from 'tap'
import { UnusableInput } from '../../src/models/checkable.ts'
import { createInputReader } from '../../src/models/input.ts'
import type { JsonSchema } from '../../src/models/json-schema.ts'
import { seedKindOf } from '../../src/models/seed.ts'
import { warmUp } from '../../src/models/warm-up.ts'
import { orNull, promptAnd } from '../support/fal-documents.ts'

const input: JsonSchema = {
  type: 'object',
  required: ['prompt'],
  'x-fal-order-properties': ['prompt'],
  properties: {
    prompt: { type: 'string', minLength: 1, 'x-new': 1 },
    seed: { type: 'integer' },
    style: { anyOf: [{ type: 'string' }, { type: 'null' }], default: null },
    num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 },
    num_frames: { enum: ['85', '129'], type: 'string', default: 129 },
    image_size: { anyOf: [{ $ref: '#/$defs/Size' }, { enum: ['square'], type: 'string' }], default: 'square', ui: { important: true } },
    aspect: { type: 'string', pattern: '^(a+)+$', format: 'uuid4' }
  },
  $defs: { Size: { type: 'object', properties: { width: { type: 'integer', exclusiveMinimum: 0, maximum: 14142 } } } }
}
const refuse = { unknownFields: 'refuse', sentDefaults: [] } as const
const priced = { unknownFields: 'refuse', sentDefaults: ['num_images', 'num_frames'] } as const

t.test('what is sent is what was written and the valid defaults that are asked for', async t => {
  const { read, defaults } = createInputReader({ input })
  t.same(read({ prompt: 'a', seed: null, style: null }, priced), { ok: true, given: { prompt: 'a', style: null }, sent: { prompt: 'a', style: null, num_images: 1 }, leftOut: [] })
  t.same(read({ prompt: 'a', new: 1 }, { ...priced, unknownFields: 'leave-out' }), { ok: true, given: { prompt: 'a' }, sent: { prompt: 'a', num_images: 1 }, leftOut: ['new'] })
  t.equal(read({ prompt: 'a', seed: 1e30 }, refuse).ok, true)
  t.same([...defaults.keys()], ['style', 'num_images', 'image_size'], 'those that the schema allows')
})

t.test('faults have a place, name the nearest field and never quote a value', async t => {
  const { read } = createInputReader({ input })
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ prompt: 'a', num_image: 1 }, '/num_image unknown_field'], [{}, '/prompt missing'], [{ prompt: null }, '/prompt wrong_type'],
    [{ prompt: 'a', num_images: '1' }, '/num_images wrong_type'], [{ prompt: 'a', num_images: 1e20 }, '/num_images not_exact'],
    [{ prompt: 'a', image_size: { width: 0 } }, '/image_size/width greater_than'], [{ prompt: '\ud800' }, '/prompt not_well_formed'],
    [{ prompt: 'a', aspect: `${'a'.repeat(50_000)}!` }, '/aspect pattern']
  ]
  for (const [body, expected] of cases) {
    const result = read(body, refuse)
    t.same(result.ok ? [] : result.faults.map(({ path, code }) => `${path} ${code}`), [expected])
  }
  t.match(read({ prompt: 'a', num_image: 1 }, refuse), { faults: [{ message: 'is not a field of this model; did you mean "num_images"?' }] })
  t.match(read({ prompt: 'a', aspect: Array.from({ length: 20_000 }, () => 1) }, refuse), { faults: [{ code: 'too_large' }] })
})

t.test('a schema that is hostile or not understood is refused with a sentence', async t => {
  let deep: JsonSchema = { type: 'string' }
  for (let i = 0; i < 5_000; i++) deep = { type: 'array', items: deep }
  const doubling = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`a${i}`, i === 24 ? { type: 'string' } : { allOf: [{ $ref: `#/$defs/a${i + 1}` }, { $ref: `#/$defs/a${i + 1}` }] }]))
  const bad: readonly Record<string, unknown>[] = [
    { properties: { a: deep } }, { properties: { a: { $ref: '#/$defs/a0' } }, $defs: doubling },
    { properties: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`p${i}`, { type: 'string' }])) },
    { properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: { $ref: '#/$defs/a' } } }, { properties: { a: { $ref: '#/$defs/none' } } },
    { properties: { a: { type: 'string', pattern: '(?=a)b' } } }, { properties: { a: { odd: 1 } } }, { properties: { a: { type: 5 } } }, {}
  ]
  for (const schema of bad) {
    try {
      createInputReader({ input: { type: 'object', ...schema } })
      t.fail('it was taken')
    } catch (error) {
      t.ok(error instanceof UnusableInput, String(error))
    }
  }
})

t.test('seeds are taken, named, both or neither', async t => {
  const seeded = { type: 'object', properties: { seed: { anyOf: [{ type: 'integer' }, { type: 'null' }] } } }
  const plain = { type: 'object', properties: { used_seed: { type: 'integer' } } }
  t.equal(seedKindOf({ input: seeded, output: seeded }), 'in-and-out')
  t.equal(seedKindOf({ input: seeded, output: plain }), 'in')
  t.equal(seedKindOf({ input: plain, output: seeded }), 'out')
  t.equal(seedKindOf({ input: plain, output: null }), 'none')
})

t.test('a null that a document does not allow means that nothing is given, at every depth; one that it allows is sent', async t => {
  const { read } = createInputReader({
    input: {
      ...promptAnd({
        seed: { type: 'integer' },
        style: orNull({ type: 'string' }),
        old: { type: 'string', enum: ['a'], nullable: true },
        control: { $ref: '#/$defs/Control' },
        size: { anyOf: [{ $ref: '#/$defs/Size' }, { enum: ['square'] }] },
        list: { type: 'array', items: { $ref: '#/$defs/Control' } },
        any: {}
      }),
      $defs: {
        Control: { type: 'object', required: ['path'], properties: { path: { type: 'string' }, scale: { type: 'number' }, end: { anyOf: [{ type: 'number' }, { type: 'null' }] } } },
        Size: { type: 'object', properties: { width: { type: 'integer' }, height: { type: 'integer' } } }
      }
    }
  })
  const sentOf = (body: Readonly<Record<string, unknown>>): unknown => {
    const reading = read({ prompt: 'a', ...body }, { unknownFields: 'refuse', sentDefaults: [] })
    return reading.ok ? Object.fromEntries(Object.entries(reading.sent).filter(([name]) => name !== 'prompt')) : reading.faults.map(({ path, code }) => `${path} ${code}`)
  }
  t.same(sentOf({ seed: null, style: null, old: null, any: null }), { style: null, old: null, any: null })
  t.same(sentOf({ control: null }), {})
  t.same(sentOf({ control: { path: 'p', scale: null, end: null, more: null } }), { control: { path: 'p', end: null, more: null } })
  t.same(sentOf({ size: { width: 5, height: null } }), { size: { width: 5 } })
  t.same(sentOf({ list: [{ path: 'p', scale: null }, { path: 'q', end: null }] }), { list: [{ path: 'p' }, { path: 'q', end: null }] })
  t.same(sentOf({ any: { deep: [null, { a: null }] } }), { any: { deep: [null, { a: null }] } }, 'where everything is allowed, null is a value')
  t.same(sentOf({ list: [null] }), ['/list/0 wrong_type'], 'an item of a list has no other way to be absent')
  t.same(sentOf({ control: { path: null, scale: null } }), ['/control/path wrong_type'], 'what is required is not left out')
  t.same(sentOf({ prompt: null, control: { path: 'p', scale: 'x', end: null } }), ['/prompt wrong_type', '/control/scale wrong_type'])
  const body = { prompt: 'a', control: { path: 'p', scale: null } }
  read(body, { unknownFields: 'refuse', sentDefaults: [] })
  t.same(body, { prompt: 'a', control: { path: 'p', scale: null } }, 'what was given stays as it is')
})

t.test('a value of the type of one form is told what is wrong there; another, what all forms take', async t => {
  const { read } = createInputReader({
    input: {
      type: 'object',
      properties: {
        size: { anyOf: [{ $ref: '#/$defs/Size' }, { type: 'string', enum: ['square', 'tall'] }, { type: 'null' }] },
        seed: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
        mode: { oneOf: [{ const: 'fast' }, { const: 'slow' }] },
        count: { type: ['integer', 'string'] },
        step: { type: 'number', multipleOf: 0.1 },
        tags: { type: 'array', uniqueItems: true, items: {}, maxItems: 3 },
        deep: { anyOf: [{ anyOf: [{ type: 'boolean' }, { enum: ['a'] }] }, { type: 'integer', minimum: 3 }] }
      },
      $defs: { Size: { type: 'object', required: ['width'], properties: { width: { type: 'integer', exclusiveMinimum: 0 } } } }
    }
  })
  const cases: readonly (readonly [Record<string, unknown>, string | null])[] = [
    [{ size: { width: 0 } }, '/size/width greater_than must be > 0'],
    [{ size: {} }, '/size/width missing is missing'],
    [{ size: 'wide' }, '/size one_of must be one of ["square","tall"], or of type object or null'],
    [{ size: 5 }, '/size one_of must be one of ["square","tall"], or of type object or null'],
    [{ seed: 'a' }, '/seed wrong_type must be of type integer or null'],
    [{ seed: 1.5 }, '/seed wrong_type must be of type integer or null'],
    [{ mode: 'faster' }, '/mode one_of must be one of ["fast","slow"]'],
    [{ count: [] }, '/count wrong_type must be of type integer or string'],
    [{ step: 0.3 }, null], [{ step: 0.35 }, '/step multiple_of must be multiple of 0.1'],
    [{ tags: [1, '1', { a: 1, b: 2 }] }, null], [{ tags: [{ a: 1, b: 2 }, { b: 2, a: 1 }] }, '/tags uniqueItems must not hold anything twice'],
    [{ tags: [1, 2, 3, 4] }, '/tags sequence_too_long must NOT have more than 3 items'],
    [{ deep: 2 }, '/deep greater_than_equal must be >= 3'],
    [{ deep: 'b' }, '/deep one_of must be one of ["a"], or of type boolean or integer']
  ]
  for (const [body, expected] of cases) {
    const reading = read(body, refuse)
    t.equal(reading.ok ? null : reading.faults.map(({ path, code, message }) => `${path} ${code} ${message}`).join('; '), expected, JSON.stringify(body))
  }
})

t.test('a value is held against constants that are objects whatever the names of its members are', async t => {
  const { read } = createInputReader({
    input: {
      type: 'object',
      properties: {
        look: { const: { width: 1, tags: ['a', null] } },
        pick: { enum: ['a', null, 1, { valueOf: 1 }, [1, 2]] }
      }
    }
  })
  const isTaken = (body: string): boolean => read(JSON.parse(body), refuse).ok
  for (const body of ['{"look":{"tags":["a",null],"width":1}}', '{"pick":{"valueOf":1}}', '{"pick":[1,2]}', '{"pick":1.0}', '{"pick":null}']) t.ok(isTaken(body), body)
  for (const member of ['valueOf', 'toString', 'constructor', '__proto__', 'toJSON', 'width']) {
    for (const field of ['look', 'pick']) t.notOk(isTaken(`{"${field}":{"${member}":2}}`), `${field} ${member}`)
  }
  for (const body of ['{"look":[]}', '{"pick":"1"}', '{"pick":[2,1]}', '{"pick":{}}', '{"pick":"[1,2]"}']) t.notOk(isTaken(body), body)
})

t.test('the default of a field is compiled and checked when it is asked for, and no other field is', async t => {
  const reader = createInputReader({ input: { type: 'object', properties: { a: { type: 'integer', default: 1 }, b: { type: 'integer', default: 'x' }, c: { type: ['integer', 'null'], default: null }, d: { type: 'object', default: { width: 1 } } } } })
  const reading = reader.read({}, { unknownFields: 'refuse', sentDefaults: ['a', 'b', 'c', 'd', 'none'] })
  t.same(reading, { ok: true, given: {}, sent: { a: 1, d: { width: 1 } }, leftOut: [] }, 'null says nothing')
  t.throws(() => { Reflect.set(Object(reading.ok && reading.sent['d']), 'width', 2) || (() => { throw new Error('frozen') })() }, /frozen/)
  t.same(reader.read({ a: 2, d: { width: 3 } }, { unknownFields: 'refuse', sentDefaults: ['a', 'd'] }), { ok: true, given: { a: 2, d: { width: 3 } }, sent: { a: 2, d: { width: 3 } }, leftOut: [] })
})

t.test('parts are compiled one at a time, with a pause after each, until all are, or the signal says that it is enough', async t => {
  const input: JsonSchema = { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } }, anyOf: [{ required: ['a'] }, { required: ['b'] }] }
  let turns = 0
  let inTurn = 0
  const readers = [createInputReader({ input }), createInputReader({ input })].map(reader => ({
    compileNext: () => {
      const hasCompiled = reader.compileNext()
      if (hasCompiled) {
        t.equal(++inTurn, 1, 'one in a turn')
        setImmediate(() => { inTurn = 0; turns++ })
      }
      return hasCompiled
    }
  }))
  await warmUp(readers, { signal: new AbortController().signal })
  t.equal(turns, 6, 'two fields and a whole, twice')
  t.same(readers.map(({ compileNext }) => compileNext()), [false, false], 'nothing is left')

  const stopped = createInputReader({ input })
  await warmUp([stopped], { signal: AbortSignal.abort() })
  t.equal(stopped.compileNext(), true)
  await warmUp([stopped], { signal: new AbortController().signal, most: 1 })
  t.equal(stopped.compileNext(), true)
  t.equal(stopped.compileNext(), false)
  t.match(stopped.read({}, refuse), { ok: false, faults: [{ path: '/a' }, { path: '/b' }] })
})
