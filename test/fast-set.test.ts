// `npm run test:fast` needs neither Redis nor processes, and leaves out nothing that does not.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { fastTests, isSlowByName, reachOf, testsIn } from './support/fast.ts'

const dir = dirname(fileURLToPath(import.meta.url))
const helpers = ['support/redis.js', 'support/redis-store.js', 'support/restartable-redis.js', 'support/processes.js', 'support/replicas.js', 'support/fal/chromium.js']

t.test('no fast test loads a helper for Redis, processes or a browser', async t => {
  for (const helper of helpers) t.ok(existsSync(join(dir, helper)), helper)
  for (const file of fastTests(dir)) t.same(reachOf(dir, file).files.filter(one => helpers.includes(one)), [], file)
})

t.test('every other test loads one of what is slow, or says by its name that it is', async t => {
  const fast = new Set(fastTests(dir))
  t.ok(fast.size > 40, `${fast.size} tests are fast`)
  for (const file of testsIn(dir).filter(one => !fast.has(one) && !isSlowByName(one))) {
    t.ok(reachOf(dir, file).packages.some(name => ['node:child_process', 'ioredis', 'playwright-core'].includes(name)), file)
  }
})

t.test('the rule sees through files between, and is not misled by types or texts', async t => {
  const planted = t.testdir({
    'near.test.js': 'import { spawn } from \'node:child_process\'',
    'far.test.js': 'import { a } from \'./between.js\'',
    'late.test.js': 'await import(\'./between.js\')',
    'between.js': 'import { Redis } from \'ioredis\'\nexport const a = Redis',
    'text.test.js': 'const text = "import \'ioredis\'"',
    'long.slow.test.js': '',
    heavy: { 'all.test.js': '' }
  })
  t.same(fastTests(planted), ['text.test.js'])
})
