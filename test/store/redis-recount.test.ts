// Counting again from the rows: it finds what is wrong and nothing else, also while everything changes, and mends what it found.

import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { price, times } from '../support/admission.ts'
import { inEachState } from '../support/each-state.ts'
import { freshNamespace, plainClient, redisStore } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { startMs } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

t.test('however operations and pieces of a count interleave, a sound ledger has no difference, and mending changes nothing', async t => {
  let counts = 0
  await fc.assert(fc.asyncProperty(walks(60), fc.boolean(), async (drawn, isMending) => {
    const store = await redisStore(walkTimes, startMs)
    // The walk audits after each of its operations: there it waits for the next piece, and the count for the next operation.
    let goOn = (): void => {}
    const over = new AbortController()
    const turn = async (): Promise<void> => { await new Promise<void>(resolve => { goOn = resolve }) }
    async function countOn (): Promise<void> {
      while (!over.signal.aborted) {
        const { differences } = await store.ledger.recount({ isMending, between: async () => { if (!over.signal.aborted) await turn() } }).catch((error: unknown) => {
          // A walk waits for longer than a count may stand still.
          if (error instanceof Error && error.message.includes('stood still')) return { differences: [] }
          throw error
        })
        if (differences.length > 0) throw new Error(JSON.stringify(differences))
        counts += 1
      }
    }
    const counting = countOn()
    counting.catch(() => {})
    try {
      await walk({ ...store, audit: async () => { goOn(); return await store.audit() } }, drawn, startMs)
      over.abort()
      goOn()
      await counting
      const { differences } = await store.ledger.recount({ isMending: false })
      if (differences.length > 0) throw new Error(JSON.stringify(differences))
    } finally {
      over.abort()
      goOn()
      await store.close()
    }
  }), { numRuns: 25 })
  t.ok(counts > 0, `${counts} counts`)
})

interface Damaged { readonly ledger: RedisLedger, readonly set: (command: string, key: string, ...args: readonly (string | number)[]) => Promise<unknown>, readonly ids: readonly string[] }

/** A ledger with a generation in each state. */
async function filled (t: Test): Promise<Damaged> {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const ledger = createRedisLedger({ url, namespace, times })
  t.teardown(ledger.close)
  await ledger.connect()
  const redis = plainClient(t, url)
  const ids = await inEachState(ledger)
  return { ledger, ids, set: async (command, key, ...args) => await redis.call(command, `{${namespace}}:${key}`, ...args) }
}

t.test('every counter and index that was damaged is named with what was found and what the rows say; only mending changes it', async t => {
  const { ledger, ids: [running = '', unknown = '', ended = '', waiting = ''], set } = await filled(t)
  t.same(await ledger.recount({ isMending: false }), { rows: 4, differences: [], isJournalTrimmed: false })

  const month = new Date(ledger.now()).toISOString().slice(0, 7)
  await set('HINCRBY', 'glob', 'active', -10)
  await set('HINCRBY', 'glob', 'asideBytes', 5)
  await set('HINCRBY', 't:studio', 'running', -10)
  await set('HINCRBY', 'waiting', 'studio', 3)
  await set('HINCRBY', `m:studio:${month}`, 'held', 7)
  await set('HINCRBY', 'tok:tok1', 'heldPictures', 1)
  await set('HINCRBY', 'tok:tok1', 'heldMoney', -1)
  await set('ZREM', 'turns', 'studio')
  await set('ZADD', 'due', 5, running)
  await set('ZREM', 'q:studio', waiting)
  await set('ZADD', 'q:studio', 5, 'nobody')
  await set('ZREM', 'l:studio ', ended)
  await set('ZREM', 'followed', running)
  await set('ZADD', 'followed', 5, ended)
  await set('ZADD', 'unknown', 5, ended)
  await set('HSET', 'claims', 'c', running)
  await set('HSET', 'n:stranger', 'id', ended)
  await set('DEL', 'r:request-running')
  await set('SET', `c:${unknown}`, 'another')
  await set('SET', 'c:nobody', 'a card')
  await set('HSET', 'kept', 'a.png', '2 10 1000')

  const dry = await ledger.recount({ isMending: false })
  // Times and the digits of ids are different each time.
  const told = (differences: typeof dry.differences): string[] => differences.map(({ what, name, found, expected }) => [what, name, found, expected].join('|').replaceAll(/\d{10,}/g, 'N')).sort()
  t.same(told(dry.differences), [
    'held|studio:' + month + `|${3 * price + 7}|${3 * price}`,
    'turn|studio||3000000',
    'money|tok1|' + `${price - 1}|${price}`,
    'pictures|tok1|2|1',
    'slots||-9|1',
    'aside||5|0',
    'kept||0|10',
    'file|a.png|2|0',
    `row|${ended} in list||3`,
    `row|${ended} in unknown|5|`,
    `row|${running} in due|5|N`,
    `row|${running} in followed||N`,
    `row|${ended} in followed|5|`,
    `stray|${ended} in followed|5|`,
    `row|${running} in requests||${running}`,
    `row|${unknown} in card|another|its own`,
    `row|${waiting} in queue||4`,
    'running|studio|-9|1',
    `stray|${ended} in unknown|5|`,
    'stray|c in claims|' + running + '|',
    'stray|c:nobody|a card|',
    `stray|n:stranger|${ended}|`,
    'stray|nobody in q:studio|5|',
    'waiting|studio|4|1'
  ].map(line => line.replaceAll(/\d{10,}/g, 'N')).sort())
  t.notSame(await ledger.audit(), [], 'dry it changes nothing')

  const mended = await ledger.recount({ isMending: true })
  t.ok(mended.differences.every(({ isMended }) => isMended))
  t.same(await ledger.audit(), [])
  t.same((await ledger.recount({ isMending: false })).differences, [])
})

t.test('files that replicas of an older version let go of, or took up, without counting are counted again; nothing that is referred to is an orphan then', async t => {
  const { ledger, ids: [, , ended = ''], set } = await filled(t)
  await ledger.expectFile('a.png', 10, null)
  await set('HSET', 'kept', 'b.png', '1 20 1000')
  await set('HINCRBY', 'glob', 'keptBytes', 20)
  await set('HSET', `g:${ended}`, 'media', '0,3,a.png 9,3,c.png')
  const told = (await ledger.recount({ isMending: true })).differences.filter(({ what }) => what === 'file').map(({ name, found, expected }) => `${name} ${found} ${expected}`)
  t.same(told.sort(), ['a.png 0 1', 'b.png 1 0', 'c.png 0 1'])
  t.same(await ledger.audit(), [])
  t.same((await ledger.takeOrphans(10, { idleMs: 0, keepMs: 0, maxBytes: null })).map(({ name }) => name), ['b.png'])
})

t.test('what was spent is held against the journal, and said, not changed', async t => {
  const { ledger, set } = await filled(t)
  const month = new Date(ledger.now()).toISOString().slice(0, 7)
  await set('HINCRBY', `m:studio:${month}`, 'spent', 5)
  const { differences } = await ledger.recount({ isMending: true })
  t.same(differences, [{ what: 'spent', name: `studio:${month}`, found: String(2 * price + 5), expected: String(2 * price), isMended: false }])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent: price + 5 }])
})

t.test('of two counts the later one goes on, and the other one says so', async t => {
  const { ledger } = await filled(t)
  let isFirst = true
  await t.rejects(ledger.recount({
    isMending: true,
    between: async () => {
      if (isFirst) {
        isFirst = false
        t.same((await ledger.recount({ isMending: false })).differences, [])
      }
    }
  }), /Another count/)
})
