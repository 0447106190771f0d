// Endpoint ids are compared exactly, and each has a file name of its own on any disk.

import fc from 'fast-check'
import t from 'tap'
import { endpointIdOf, fileNameOf, isEndpointId, MAX_ENDPOINT_ID_CHARACTERS } from '../../src/models/endpoint-id.ts'

const segment = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,9}$/)
/** Few letters, so that ids come close to each other. */
const near = fc.stringMatching(/^[aA_][aA_.]{0,3}$/)
const idOf = (part: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.array(part, { minLength: 2, maxLength: 7 }).map(parts => parts.join('/'))

t.test('an endpoint id has two to seven segments of letters, digits, dots, hyphens and underscores', async t => {
  for (const id of ['acme/painter', 'Acme/v1.1-ultra', '_a/_b', 'a/b/c/d/e/f/g', '1/2', 'a/' + 'b'.repeat(MAX_ENDPOINT_ID_CHARACTERS - 2)]) t.ok(isEndpointId(id), id)
  for (const id of ['', 'acme', 'acme/', '/acme', 'a//b', 'a/b/c/d/e/f/g/h', 'a/../b', 'a/.b', '-a/b', 'a/b c', 'a/b\n', 'a\\b/c', 'a/b%2Fc', 'ä/b', 'a/b?c', 'a/' + 'b'.repeat(MAX_ENDPOINT_ID_CHARACTERS - 1)]) t.notOk(isEndpointId(id), JSON.stringify(id))
})

t.test('a file name shows the id it is of', async t => {
  t.equal(fileNameOf('acme/painter-2'), 'acme__painter-2.json')
  t.equal(fileNameOf('acme/a_b/v1.1'), 'acme__a_b__v1.1.json')
  t.equal(fileNameOf('Acme/a__b'), '+acme__a+_+_b.json')
})

t.test('a file name leads back to the id, and fits every disk', async () => {
  fc.assert(fc.property(fc.oneof(idOf(segment), idOf(near)), id => endpointIdOf(fileNameOf(id)) === id && fileNameOf(id).length <= 250))
})

t.test('no two ids share a file name, on a disk that is blind to case either', async t => {
  fc.assert(fc.property(idOf(near), idOf(near), (one, other) => one === other || fileNameOf(one).toLowerCase() !== fileNameOf(other).toLowerCase()), { numRuns: 1000 })
  t.not(fileNameOf('a_/b'), fileNameOf('a/_b'))
  t.not(fileNameOf('a__b/c'), fileNameOf('a/b/c'))
  t.not(fileNameOf('Acme/x').toLowerCase(), fileNameOf('acme/x').toLowerCase())
})

t.test('a name that no id has is no file of a model', async t => {
  for (const name of ['acme__painter', 'acme.json', 'Acme__painter.json', 'acme___painter.json', 'a__+b+.json', '..__a.json', '.acme__a.json', 'acme__a.json.tmp', 'a/b.json', '']) t.equal(endpointIdOf(name), null, name)
})
