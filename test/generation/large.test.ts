// Which requests make outputs that are too long for a row, and what is said while there is no room for these.

import t from 'tap'
import { makesLarge } from '../../src/generation/large.ts'
import { problemOfRefusal } from '../../src/generation/request/problems.ts'

t.test('only a boolean sync_mode of the request itself asks for pictures inside the output', async t => {
  t.equal(makesLarge('{"prompt":"x","sync_mode":true}'), true)
  for (const input of ['{"prompt":"x"}', '{"prompt":"x","sync_mode":false}', '{"prompt":"x","sync_mode":"true"}', '{"options":{"sync_mode":true},"prompt":"x"}', '{"prompt":"\\"sync_mode\\":true"}']) {
    t.equal(makesLarge(input), false, input)
  }
})

t.test('without room for large results their requests are refused, to be sent again or without sync_mode', async t => {
  const { status, code, facts } = problemOfRefusal({ outcome: 'refused', why: 'large' })
  t.match([status, code], [503, 'large-results-full'])
  t.match(facts, { retryAfterSeconds: 60, detail: /Without "sync_mode": true/ })
})
