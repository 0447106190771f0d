// What is wrong with a file that is not JSON is told by its place, and nothing of it is quoted.

import fc from 'fast-check'
import t from 'tap'
import { readJsonFile } from '../src/json-file.ts'

function faultOf (text: string): string | null {
  const read = readJsonFile(text)
  return read.ok ? null : read.fault
}

t.test('a byte order mark in front means nothing', async t => {
  t.same(readJsonFile('\ufeff{"a":1}'), { ok: true, content: { a: 1 } })
  t.equal(faultOf('\ufeff{'), faultOf('{'), 'it has no column of its own')
})

const faulty: readonly (readonly [title: string, text: string, expected: string])[] = [
  ['an empty file', '', 'a value at line 1, column 1'],
  ['a bare word', '{"tenants": SeCrEt', 'a value at line 1, column 13'],
  ['a comma behind the last item', '{\n  "tenants": [\n    {},\n  ]\n}', 'a value at line 4, column 3'],
  ['a comma behind the last member', '{\r\n  "a": 1,\r\n}', 'a name in double quotes at line 3, column 1'],
  ['a missing comma', '{\n  "a": 1\n  "b": 2\n}', 'a comma or } at line 3, column 3'],
  ['a missing comma in a list', '[1 2]', 'a comma or ] at line 1, column 4'],
  ['a comment', '{\n  // the teams\n  "a": 1\n}', 'a name in double quotes or } at line 2, column 3'],
  ['single quotes', '{\'a\': 1}', 'a name in double quotes or } at line 1, column 2'],
  ['a missing colon', '{"a" 1}', 'a colon at line 1, column 6'],
  ['a quote that is not closed', '{\n  "a": "SeCrEt,\n  "b": 1\n}', 'the closing quote of a text at line 2, column 16'],
  ['a path of Windows', '{"a": "C:\\keys"}', 'a backslash that is doubled, or a known escape at line 1, column 10'],
  ['a number with a leading zero', '[01]', 'a value or ] at line 1, column 2'],
  ['a file that ends too early', '{"a": [1, {"b": 2}', 'a comma or ] at line 1, column 19'],
  ['two values', '{}\n{}', 'the end of the file at line 2, column 1'],
  ['a bracket of the other kind', '[}', 'a value or ] at line 1, column 2']
]

for (const [title, text, expected] of faulty) {
  t.test(`the place of ${title} is told`, async t => {
    t.equal(faultOf(text), `the file is not valid JSON: expected ${expected}`)
  })
}

t.test('another encoding is told as such', async t => {
  for (const bytes of [Buffer.from('\ufeff{}', 'utf16le'), Buffer.from('{}', 'utf16le'), Buffer.from('\ufeff{}', 'utf16le').swap16()]) {
    t.equal(faultOf(bytes.toString('utf8')), 'the file is not valid JSON: it is not in UTF-8')
  }
})

t.test('wherever JSON is cut off or disturbed, a place is told, and it quotes nothing', async () => {
  const disturbed = fc.json({ maxDepth: 4 }).chain(text => fc.tuple(fc.constant(text), fc.nat(text.length), fc.constantFrom('', '"', '{', ']', '\\', '\n', '§§', '1e', '-')))
  fc.assert(fc.property(disturbed, ([text, at, sign]) => {
    const fault = faultOf(text.slice(0, at) + sign)
    return fault === null || (/ expected .* at line \d+, column \d+$/.test(fault) && !fault.includes('§§'))
  }), { numRuns: 2000 })
})
