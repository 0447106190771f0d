// Any document and any body: a sentence, faults, or exactly what fits; and nothing that hangs or ends the process.

import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import { UnusableInput } from '../../src/models/checkable.ts'
import { createInputReader, type InputReader } from '../../src/models/input.ts'
import type { JsonSchema } from '../../src/models/json-schema.ts'

const refuse = { unknownFields: 'refuse', sentDefaults: [] } as const

const name = fc.constantFrom('a', 'b', 'seed', 'c~/', 'constructor', '__proto__')
const scalar = fc.oneof(fc.constantFrom<unknown>(0, 1, 2.5, -1, 5, true, false, null, '', 'a', 'abc', 'x'.repeat(9)), fc.integer(), fc.string({ maxLength: 5 }))
const count = fc.integer({ min: 0, max: 4 })
const type = fc.constantFrom('string', 'integer', 'number', 'boolean', 'object', 'array', 'null')

/** Schemas that are well-formed, of most words that there are. References lead to those before them, so that there is no circle. */
const { schema } = fc.letrec<{ schema: JsonSchema }>(tie => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.record<JsonSchema>({}),
    type.map(type => ({ type })),
    fc.uniqueArray(type, { minLength: 1, maxLength: 3 }).map(type => ({ type })),
    fc.uniqueArray(scalar, { minLength: 1, maxLength: 3 }).map(values => ({ enum: values })),
    scalar.map(value => ({ const: value })),
    fc.record({ type: fc.constant('number'), minimum: fc.integer({ min: -3, max: 3 }), maximum: fc.integer({ min: -3, max: 3 }), exclusiveMinimum: fc.integer({ min: -9, max: 0 }) }, { requiredKeys: ['type'] }),
    fc.record({ type: fc.constant('string'), minLength: count, maxLength: count, pattern: fc.constantFrom('^a', 'b$', '^(a+)+$', '[0-9]') }, { requiredKeys: ['type'] }),
    fc.record({ type: fc.constant('array'), items: tie('schema'), minItems: count, maxItems: count, prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }), contains: tie('schema') }, { requiredKeys: ['type'] }),
    fc.record({
      type: fc.constant('object'),
      properties: fc.dictionary(fc.constantFrom('a', 'b', 'c~/'), tie('schema'), { maxKeys: 3 }),
      required: fc.uniqueArray(fc.constantFrom('a', 'b'), { maxLength: 2 }),
      additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
      propertyNames: fc.constant({ minLength: 1 }),
      maxProperties: count
    }, { requiredKeys: ['type'] }),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map(anyOf => ({ anyOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 2 }).map(oneOf => ({ oneOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 2 }).map(allOf => ({ allOf })),
    tie('schema').map(not => ({ not })),
    fc.tuple(tie('schema'), tie('schema')).map(([condition, then]) => ({ if: condition, then })),
    fc.constantFrom({ $ref: '#/$defs/D' }, { $ref: '#/$defs/E', title: 'Mine' })
  ).map(schema => ({ ...schema, 'x-fal-anything': 1 }))
}))

/** Without references, for what references lead to. */
function unreferring (part: unknown): unknown {
  if (Array.isArray(part)) return part.map(unreferring)
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(Object.entries(part).filter(([word, value]) => word !== '$ref' || typeof value !== 'string').map(([word, value]) => [word, unreferring(value)]))
}

const input = fc.record({
  properties: fc.dictionary(fc.constantFrom('a', 'b', 'seed', 'c~/', 'constructor'), schema, { minKeys: 1, maxKeys: 4 }),
  D: schema.map(unreferring),
  E: schema.map(unreferring),
  required: fc.integer({ min: 0, max: 3 }).map(number => number === 3 ? 1 : 0)
}).map(({ properties, required, D, E }): JsonSchema => ({ type: 'object', properties, required: Object.keys(properties).slice(0, required), $defs: { D, E } }))

const { value } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(name, tie('value'), { maxKeys: 3 }))
}))
const body = fc.dictionary(name, value, { maxKeys: 3 })

function readerOf (input: JsonSchema): InputReader | string {
  try {
    return createInputReader({ input })
  } catch (error) {
    if (error instanceof UnusableInput) return error.message
    throw error
  }
}

t.test('what is sent fits the document, and what fits as it is, is sent as it is', async () => {
  const accepted = { bodies: 0, faults: 0 }
  fc.assert(fc.property(input, fc.array(body, { minLength: 6, maxLength: 12 }), (input, bodies) => {
    const reader = createInputReader({ input })
    // References are followed as the reader has it: what Ajv puts in their place it judges otherwise, where an array is empty and its schema has `prefixItems` and `contains`.
    const judge = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, ownProperties: true, logger: false, multipleOfPrecision: 9, inlineRefs: false }).compile({ ...input })
    const properties = Object(input['properties'])
    for (const body of bodies) {
      const known = Object.fromEntries(Object.entries(body).filter(([name]) => Object.hasOwn(properties, name)))
      const before = JSON.stringify(known)
      const reading = reader.read(known, refuse)
      if (reading.ok) {
        accepted.bodies++
        if (!judge(reading.sent)) throw new Error(`${JSON.stringify(reading.sent)} is sent and does not fit ${JSON.stringify(input)}`)
      } else {
        accepted.faults++
        if (reading.faults.length === 0 || reading.faults.length > 20) throw new Error('faults are 1 to 20')
        for (const { path, message, code } of reading.faults) if (!/^(\/|$)/.test(path) || message === '' || !/^[\w ]+$/.test(code)) throw new Error(`odd fault ${JSON.stringify({ path, message, code })}`)
      }
      if (JSON.stringify(known) !== before) throw new Error('a body was changed')
      const lenient = reader.read(body, { ...refuse, unknownFields: 'leave-out' })
      if (JSON.stringify(lenient.ok && lenient.sent) !== JSON.stringify(reading.ok && reading.sent)) throw new Error('fields that are left out change nothing')
      if (judge(known)) {
        if (!reading.ok || JSON.stringify(reading.sent) !== before) throw new Error(`${before} fits ${JSON.stringify(input)} and became ${JSON.stringify(reading)}`)
      }
    }
  }), { numRuns: 100 })
  t.ok(accepted.bodies > 20 && accepted.faults > 20, `both happen: ${JSON.stringify(accepted)}`)
})

t.test('a document of any words is taken or told off in a sentence, and what is taken can be compiled', async () => {
  const words = ['type', 'enum', 'const', 'properties', 'items', 'anyOf', 'allOf', 'oneOf', 'not', 'required', 'pattern', 'minLength', 'maximum', 'multipleOf', 'additionalProperties', 'patternProperties', 'dependentRequired', 'dependentSchemas',
    'unevaluatedProperties', 'unevaluatedItems', 'propertyNames', 'contains', 'minContains', 'maxContains', 'if', 'then', 'else', 'uniqueItems', 'nullable', 'format', '$ref', '$defs', '$id', 'x-new', 'odd', 'discriminator', 'default', 'prefixItems', 'minProperties']
  const { part } = fc.letrec<{ part: unknown }>(tie => ({
    part: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(true, false, null, 0, -1, 1.5, 'a', '(', '^a', 'string', 'integer', '#/$defs/D', '#', [], ['a'], ['string', 'null'], {}),
      schema,
      fc.array(tie('part'), { maxLength: 2 }),
      fc.dictionary(fc.oneof(fc.constantFrom(...words), name), tie('part'), { maxKeys: 3 })
    )
  }))
  const told = { taken: 0, refused: 0 }
  fc.assert(fc.property(fc.dictionary(fc.oneof({ weight: 4, arbitrary: fc.constant('properties') }, fc.constantFrom(...words)), part, { maxKeys: 4 }), part, fc.array(body, { maxLength: 3 }), (input, D, bodies) => {
    const reader = readerOf({ type: 'object', ...input, $defs: { D } })
    if (typeof reader === 'string') {
      told.refused++
      if (!/^[A-Z].*\.$/.test(reader)) throw new Error(`no sentence: ${reader}`)
      return
    }
    told.taken++
    while (reader.compileNext());
    for (const body of bodies) reader.read(body, refuse)
  }), { numRuns: 3_000 })
  t.ok(told.taken > 50 && told.refused > 50, JSON.stringify(told))
})

function faultsOf (input: JsonSchema, body: Readonly<Record<string, unknown>>): string {
  const reader = readerOf({ type: 'object', ...input })
  if (typeof reader === 'string') return reader
  const reading = reader.read(body, refuse)
  return reading.ok ? 'ok' : reading.faults.map(({ path, code }) => `${path} ${code}`).join(', ')
}

t.test('how much is checked is bounded by the size of the schema times that of the value', async t => {
  const many = (length: number): unknown[] => Array.from({ length }, () => 'x')
  const words = Array.from({ length: 15_000 }, (_, index) => `word ${index}`)
  t.equal(faultsOf({ properties: { a: { enum: words } } }, { a: 'word 7' }), 'ok')
  t.equal(faultsOf({ properties: { a: { type: 'array', items: { enum: words } } } }, { a: many(20) }), ' too_large', 'long lists against long enums')
  const branches = { anyOf: Array.from({ length: 1_000 }, (_, index) => ({ const: index })) }
  t.equal(faultsOf({ properties: { a: branches } }, { a: 'x' }), '/a one_of')
  t.equal(faultsOf({ properties: { a: { type: 'array', items: branches } } }, { a: many(9_000) }), ' too_large', 'many values against many branches')
  t.equal(faultsOf({ properties: { a: {} }, ...branches }, { a: many(9_000) }), ' too_large', 'the same for the input as a whole')
  const measured = { allOf: Array.from({ length: 900 }, () => ({ maxLength: 10_000_000 })) }
  t.equal(faultsOf({ properties: { a: measured } }, { a: 'x'.repeat(10_000) }), 'ok')
  t.equal(faultsOf({ properties: { a: measured } }, { a: 'x'.repeat(1_000_000) }), ' too_large', 'a long text that is measured again and again')
  t.equal(faultsOf({ properties: { a: {}, b: {} } }, { a: many(6_000), b: many(6_000) }), ' too_large', 'values of all fields together')
  t.equal(faultsOf({ properties: { a: {} } }, { a: many(9_000) }), 'ok')

  let deep: unknown = 1
  for (let depth = 0; depth < 100_000; depth++) deep = [deep]
  t.equal(faultsOf({ properties: { a: {} } }, { a: deep }), ' too_large', 'deep values')
  t.equal(faultsOf({ properties: { a: {} } }, { b: deep }), '/b unknown_field', 'which nobody looks into where they are not known')
  t.equal(faultsOf({ properties: { a: {} } }, Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`f${index}`, 1]))).split(', ').length, 20)
})

t.test('patterns run in linear time, are small, and have so many steps together', async t => {
  const cannot = 'The field "a" of the input has a pattern that cannot be checked in bounded time.'
  for (const pattern of ['(?=a)b', '(a)\\1', '(', '(a{1000}){1000}', '[^\\s]{1,1000}x', 'a'.repeat(1_001)]) {
    t.equal(faultsOf({ properties: { a: { type: 'string', pattern } } }, {}), cannot, pattern.slice(0, 40))
    t.equal(faultsOf({ properties: { a: { type: 'object', patternProperties: { [pattern]: {} } } } }, {}), cannot, pattern.slice(0, 40))
  }
  t.equal(faultsOf({ properties: { a: { type: 'string', pattern: '^(a+)+$' } } }, { a: 'a'.repeat(50_000) + '!' }), '/a pattern')
  t.equal(faultsOf({ properties: { a: { type: 'string', pattern: '^(a+)+$' } } }, { a: 'a'.repeat(50_000) }), 'ok')
  t.equal(faultsOf({ properties: { a: { type: 'string', pattern: '^(a+)+$' } } }, { a: 'a'.repeat(5_000_000) }), ' too_large')
  t.equal(faultsOf({ properties: { a: { type: 'array', items: { not: { pattern: '(a|b|ab)*c' } } } } }, { a: Array.from({ length: 2_000 }, () => 'ab'.repeat(500)) }), ' too_large', 'all texts together, whatever their answers mean')
  const text = { type: 'string', pattern: '^a' }
  const reader = createInputReader({ input: { type: 'object', properties: { a: text } } })
  t.equal(reader.read({ a: 'a'.repeat(3_000_000) }, refuse).ok, false)
  t.equal(reader.read({ a: 'ab' }, refuse).ok, true, 'the next body begins afresh')
})

t.test('large, deep and odd schemas are refused before anything is compiled', async t => {
  const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`p${index}`, { type: 'string' }]))
  t.equal(faultsOf({ properties: wide }, {}), 'The input schema is too large.')
  t.equal(faultsOf({ properties: { a: { type: 'object', properties: wide } } }, {}), 'The input schema is too large.')
  t.equal(faultsOf({ properties: { a: { enum: Array.from({ length: 60_000 }, () => 1) } } }, {}), 'The input schema is too large.')
  t.equal(faultsOf({ properties: JSON.parse('{"__proto__": {"type": "string"}}') }, {}), 'The input has a field named "__proto__", which no JSON library treats alike.')
  faultsOf({ properties: { a: { type: 'object', properties: JSON.parse('{"__proto__": {"type": "string"}}') } } }, { a: JSON.parse('{"__proto__": {"polluted": true}}') })
  t.equal(Reflect.get({}, 'polluted'), undefined)
  t.equal(faultsOf({ properties: { a: {} }, required: ['b'] }, {}), 'The input requires "b", which is none of its fields.')
  t.equal(faultsOf({ properties: { a: { ['odd\u2028\ud800'.repeat(99)]: 1 } } }, {}).length < 300, true)
})
