// The checked-in OpenAPI document is the one that the routes give.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { isProblemCode, problems, problemsMetBy } from '../src/errors.ts'
import { currentOpenapi, openapiFile } from './support/openapi.ts'

t.test('openapi/openapi.json is what the gateway serves (npm run openapi)', async t => {
  t.equal(readFileSync(openapiFile, 'utf8'), await currentOpenapi())
})

t.test('the document holds no key', async t => {
  t.notMatch(readFileSync(openapiFile, 'utf8'), /fg_(?!demo_sandbox|<)/)
})

/** Those that routes answer with which document fal's shape of an error instead, and those of browser tokens, which nobody is given yet. */
const undocumented = ['target-refused', 'start-timeout', 'token-expired', 'token-revoked', 'token-exhausted']

t.test('every problem is documented by the routes whose requests can meet it', async t => {
  const paths = Object.entries<Record<string, { responses: unknown }>>(JSON.parse(readFileSync(openapiFile, 'utf8')).paths)
  const operations = paths.flatMap(([path, item]) => Object.values(item).map(({ responses }) => ({ path, text: JSON.stringify(responses) })))
  const native = operations.filter(({ path }) => /^\/(generate|generations|usage)/.test(path))
  t.ok(native.length > 5, 'they were found')
  for (const { path, text } of native) t.same(problemsMetBy('calling').filter(code => !text.includes(`\`${code}\``)), [], path)
  const codes = Object.keys(problems).filter(isProblemCode)
  t.same(codes.filter(code => !native.some(({ text }) => text.includes(`\`${code}\``)) && problems[code].metBy !== 'arriving').toSorted(), undocumented.toSorted())
})
