// The checked-in OpenAPI document is the one that the routes give.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { currentOpenapi, openapiFile } from './support/openapi.ts'

t.test('openapi/openapi.json is what the gateway serves (npm run openapi)', async t => {
  t.equal(readFileSync(openapiFile, 'utf8'), await currentOpenapi())
})

t.test('the document holds no key', async t => {
  t.notMatch(readFileSync(openapiFile, 'utf8'), /fg_(?!demo_sandbox|<)/)
})
