// JSON texts as callers may send them: drawn from a schema, from close beside it, and from anywhere. Texts and not values, so that numbers keep their digits and names may come twice.

import fc from 'fast-check'
import { objectOf, type JsonSchema } from '../../src/models/json-schema.ts'

const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

/** Any JSON text, and often one over which programs stumble. */
export const anyJson: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    'null', 'true', '0', '-0', '-1', '1.5', '1.0', '1e0', '1e400', '-1e-400', '196619188014358660', '9223372036854775808', '7'.repeat(400),
    '""', '" "', '"1"', '"\\ud800"', '"\\u0000"', '"\\u2028"', '"\u{1F6B2}"', JSON.stringify('x'.repeat(5_000)),
    '[]', '{}', '[1]', '[[]]', '{"":0}', '{"__proto__":{"odd":1}}', '{"constructor":{"prototype":{"odd":1}}}', '{"toString":1}', deep(50), deep(5_000)
  ),
  fc.json({ maxDepth: 3 })
)

/** A text that fits a schema. Words that it does not know are taken to allow anything, so that a few do not. */
export function fittingJson (schema: JsonSchema): fc.Arbitrary<string> {
  const { type, enum: words, anyOf, minimum, maximum } = schema
  if (Array.isArray(words)) return fc.constantFrom(...words.map(word => JSON.stringify(word)))
  if (Array.isArray(anyOf)) return fc.oneof(...anyOf.map(part => fittingJson(objectOf(part))))
  switch (type) {
    case 'string': return fc.string({ maxLength: 8, unit: 'binary' }).map(text => JSON.stringify(text))
    case 'boolean': return fc.constantFrom('true', 'false')
    case 'integer': return fc.bigInt({ min: boundOf(minimum, -(2n ** 63n)), max: boundOf(maximum, 2n ** 63n - 1n) }).map(String)
    case 'number': return fc.double({ noNaN: true, noDefaultInfinity: true }).map(number => JSON.stringify(number))
    default: return anyJson
  }
}

/** A text that misses a schema by little, or fits it in an unusual way. */
export function nearlyFittingJson (schema: JsonSchema): fc.Arbitrary<string> {
  const { type, enum: words, minimum, maximum } = schema
  const near = ['null']
  if (Array.isArray(words)) near.push(...words.flatMap(word => [JSON.stringify(`${word} `), JSON.stringify(String(word).toUpperCase()), JSON.stringify([word])]))
  if (type === 'boolean') near.push('"true"', '1', '0')
  if (typeof minimum === 'number') near.push(String(minimum - 1), `${minimum}.0`, `${minimum}.5`, JSON.stringify(String(minimum)))
  if (typeof maximum === 'number') near.push(String(maximum + 1), `${maximum}e0`, `${maximum}0000000000000000000`)
  if (type === 'string') near.push('""', '[""]', '7')
  return fc.constantFrom(...near)
}

function boundOf (bound: unknown, usual: bigint): bigint {
  return typeof bound === 'number' ? BigInt(bound) : usual
}
