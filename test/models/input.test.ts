// Inputs of document models: checked as they are, and sent as they were written.

import t from 'tap'
import { createInputReader, UnusableInput } from '../../src/models/input.ts'
import type { JsonSchema } from '../../src/models/json-schema.ts'
import { seedKindOf } from '../../src/models/seed.ts'

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
    [{ prompt: 'a', image_size: { width: 0 } }, '/image_size anyOf'], [{ prompt: '\ud800' }, '/prompt not_well_formed'],
    [{ prompt: 'a', aspect: `${'a'.repeat(50_000)}!` }, '/aspect pattern']
  ]
  for (const [body, expected] of cases) {
    const result = read(body, refuse)
    t.same(result.ok ? [] : result.faults.map(({ path, code }) => `${path} ${code}`), [expected])
  }
  t.match(read({ prompt: 'a', num_image: 1 }, refuse), { faults: [{ message: 'is not a field of this model; the nearest one is num_images' }] })
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
