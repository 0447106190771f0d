// Numbers that JavaScript would change keep the digits they came with; all others cost nothing.

import fc from 'fast-check'
import t from 'tap'
import { exactNumbers, type ExactNumbers } from '../../src/fal-wire/exact-numbers.ts'
import { canonicalJson } from '../../src/generation/key.ts'

/** As plain values, to compare. */
function plain (numbers: string | ExactNumbers | null): unknown {
  return numbers instanceof Map ? Object.fromEntries([...numbers].map(([place, inside]) => [place, plain(inside)])) : numbers
}

/** What is sent of a body that came as this text. */
function sent (text: string): string {
  return canonicalJson(JSON.parse(text), null, exactNumbers(text))
}

t.test('only what JavaScript would change is kept, in its place', async t => {
  const cases: readonly (readonly [text: string, kept: unknown])[] = [
    ['{}', null], ['[]', null], ['7', null], ['12345678901234567890', null], ['{"a": 1.0, "b": 1e2, "c": -0, "d": 0.10, "e": 1E+2, "f": 100000000000000000000}', null],
    ['{"a": 0.1234567890123456}', null], ['{"a": 9007199254740992, "b": 0.30000000000000004}', null],
    ['{"a": 0.1234567890123456789}', { a: '0.1234567890123456789' }],
    ['{"a": 9007199254740993}', { a: '9007199254740993' }],
    ['{"a": 1e400, "b": -1e400, "c": 1e-400}', { a: '1e400', b: '-1e400', c: '1e-400' }],
    ['{"a": [1, [2, 1e400], {"b~/": 1e999}], "c": "1e400"}', { a: { 1: { 1: '1e400' }, 2: { 'b~/': '1e999' } } }],
    ['{"a": 1e400, "a": 1}', null], ['{"a": {"b": 1e400}, "a": {"b": 1, "c": 1e401}}', { a: { c: '1e401' } }], ['{"\\u0061": 1e400, "b": true, "c": null, "d": [], "e": {}}', { a: '1e400' }],
    ['{ "a\\"b" :\n 1e400 , "c\\\\" : "\\"1e400" }', { 'a"b': '1e400' }],
    [`{"a": 1e${'9'.repeat(5_000)}}`, { a: `1e${'9'.repeat(5_000)}` }], [`{"a": 1${'0'.repeat(5_000)}}`, { a: `1${'0'.repeat(5_000)}` }]
  ]
  for (const [text, kept] of cases) t.same(plain(exactNumbers(text)), kept, text.slice(0, 60))
})

t.test('what is sent has the digits that came', async t => {
  t.equal(sent('{"b": 0.1234567890123456789, "a": [1.50, {"c": 1e-400}], "d": 100.0}'), '{"a":[1.5,{"c":1e-400}],"b":0.1234567890123456789,"d":100}')
  t.equal(canonicalJson({ seed: 1e21, a: 1 }, '1000000000000000000001', exactNumbers('{"seed": 1000000000000000000001, "a": 1}')), '{"a":1,"seed":1000000000000000000001}')
  t.equal(canonicalJson({ a: 'other' }, null, exactNumbers('{"a": 1e400}')), '{"a":"other"}', 'digits stand for numbers only')
  t.equal(canonicalJson({ a: { b: 1 } }, null, exactNumbers('{"a": 1e400}')), '{"a":{"b":1}}')
})

/** The value of a JSON number, exactly: digits and a power of ten. */
function exactly (number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)\.?(\d*)(?:[eE](.*))?$/.exec(number) ?? []
  let digits = BigInt(whole + fraction)
  let power = BigInt(exponent) - BigInt(fraction.length)
  if (digits === 0n) return '0'
  for (; digits % 10n === 0n; digits /= 10n) power++
  return `${sign}${digits}e${power}`
}

t.test('every number of every text is sent as exactly what it is', async () => {
  const number = fc.stringMatching(/^-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?$/)
  const key = fc.constantFrom('a', 'b', '"', '\\', '1e400', 'é')
  interface Piece { readonly text: string, readonly numbers: readonly string[] }
  const space = fc.constantFrom('', ' ', '\n\t')
  const { piece } = fc.letrec<{ piece: Piece }>(tie => ({
    piece: fc.oneof(
      { maxDepth: 4 },
      number.map(text => ({ text, numbers: [text] })),
      fc.constantFrom('true', 'false', 'null', '""', '"\\"1e400,"').map(text => ({ text, numbers: [] })),
      fc.tuple(fc.array(tie('piece'), { maxLength: 4 }), space).map(([items, gap]) => ({ text: `[${gap}${items.map(({ text }) => text).join(`${gap},${gap}`)}${gap}]`, numbers: items.flatMap(({ numbers }) => numbers) })),
      // Equal keys: the last one counts, where the first one stood.
      fc.tuple(fc.array(fc.tuple(key, tie('piece')), { maxLength: 4 }), space).map(([members, gap]) => ({
        text: `{${members.map(([name, { text }]) => `${gap}${JSON.stringify(name)}${gap}:${gap}${text}${gap}`).join(',')}}`,
        numbers: [...new Map(members)].sort(([one], [other]) => one < other ? -1 : 1).flatMap(([, { numbers }]) => numbers)
      }))
    )
  }))
  fc.assert(fc.property(piece, ({ text, numbers }) => {
    const out = sent(`{"top":${text}}`)
    const found = out.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/-?\d[\d.eE+-]*/g) ?? []
    if (JSON.stringify(found.map(exactly)) !== JSON.stringify(numbers.map(exactly))) throw new Error(`${text} became ${out}`)
    JSON.parse(out)
  }), { numRuns: 2_000 })
})
