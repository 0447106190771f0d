// The ledger's Lua as a whole: there is room in it for what is still to come.

import t from 'tap'
import { operationsSource, readScripts } from '../../src/store/redis/script.ts'
import { plainClient } from '../support/redis-store.ts'
import { redisUrl, startRedis } from '../support/redis.ts'

/** Lua 5.1 allows 200 local names in a chunk. */
const SPARE_LOCALS = 100
/** And 60 names from outside in a function. */
const SPARE_OUTSIDE_NAMES = 20

t.test('the library has room for another hundred names, and each of its blocks for twenty names from outside', async t => {
  const redis = plainClient(t, await redisUrl())
  const spare = Array.from({ length: SPARE_LOCALS }, (_, n) => `spare${n}`)
  const locals = spare.map(name => `local ${name} = 1\n`).join('')
  const outside = `local spared = { ${spare.slice(0, SPARE_OUTSIDE_NAMES).join(', ')} }\n`
  t.equal(await redis.eval(`#!lua\n${locals}${operationsSource(outside)}\nreturn 'loaded'`, 0), 'loaded')
})

t.test('the library can be loaded, so that calls need not go the slower way by scripts', async t => {
  const redis = plainClient(t, (await startRedis(t)).url)
  t.match(await redis.function('LOAD', readScripts().library), /^falgate_/)
})
