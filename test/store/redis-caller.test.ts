// Calls below the ledger. A sequence that fell is a store that went back in time, and one that is only read late is not; evidence names its purchase.

import t, { type Test } from 'tap'
import { createCaller, type Caller } from '../../src/store/redis/caller.ts'
import { serverAt } from '../../src/store/redis/clients.ts'
import { createLedgerClock } from '../../src/store/redis/clock.ts'
import { createConnection, type Connection } from '../../src/store/redis/connection.ts'
import { createOwnership } from '../../src/store/redis/ownership.ts'
import { createRights } from '../../src/store/redis/rights.ts'
import { readScripts } from '../../src/store/redis/script.ts'
import { admissionOf, freshId, never, times, traceLost } from '../support/admission.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'

interface Scene {
  readonly caller: Caller
  readonly admit: (id?: string) => Promise<unknown>
  /** The answer to the next call lies unread until the returned function is called. */
  readonly holdNext: () => () => void
  readonly rollbacks: readonly string[]
  readonly empty: () => Promise<unknown>
}

async function open (t: Test): Promise<Scene> {
  const { url } = await startRedis(t)
  const rollbacks: string[] = []
  let held: Promise<void> | null = null
  const real = createConnection({ server: serverAt(url, 5000), deadlineMs: 5000, prepare: async client => { await caller.prepare(client) }, onTrouble: () => {}, onState: () => {} })
  t.teardown(real.close)
  const connection: Connection = {
    ...real,
    run: async send => {
      const until = held
      held = null
      const answer = await real.run(send)
      await until
      return answer
    }
  }
  const clock = createLedgerClock()
  const caller = createCaller({
    connection: () => connection,
    scripts: readScripts(),
    prefix: '{fg}:',
    times,
    ownership: createOwnership({ accounts: null, takesEmpty: true, place: '', onFault: () => {} }),
    clock,
    fixed: undefined,
    onRollback: error => { rollbacks.push(error.message) }
  })
  const rights = createRights({ caller, connection, assertFit: () => {}, now: clock.now, deadlineMs: 5000 })
  await real.open(5000)
  return {
    caller,
    admit: async (id = freshId()) => await rights.admit(admissionOf({ id, deadlineMs: never })),
    holdNext: () => {
      let release = (): void => {}
      held = new Promise(resolve => { release = resolve })
      return release
    },
    rollbacks,
    empty: async () => await plainClient(t, url).flushall()
  }
}

t.test('an answer that is read after a later one is no rollback', async t => {
  const { admit, holdNext, rollbacks } = await open(t)
  const release = holdNext()
  const early = admit()
  for (let count = 0; count < 3; count += 1) t.match(await admit(), { outcome: 'bought' })
  release()
  t.match(await early, { outcome: 'bought' })
  t.same(rollbacks, [])
})

t.test('a fall is told once, also when answers from before it are read afterwards', async t => {
  const { admit, holdNext, rollbacks, empty } = await open(t)
  for (let count = 0; count < 3; count += 1) await admit()
  const release = holdNext()
  const early = admit()
  await admit()
  await empty()
  await admit()
  t.match(rollbacks, [/went back in time: the ledger's sequence fell from 5 to 1/])
  release()
  await early
  await admit()
  t.equal(rollbacks.length, 1)
})

t.test('what is told of a run is refused when it names no purchase, and changes nothing', async t => {
  const { caller, admit } = await open(t)
  const id = freshId()
  await admit(id)
  await caller.call('claim', { claimId: 'c', startByMs: never, replica: 'r1', slots: 1 })
  for (const operation of ['recordAccepted', 'recordProgress', 'recordDoubt', 'finish'] as const) {
    await t.rejects(caller.call(operation, { id, attempt: 1, kind: 'running', seen: 'expired' }), { message: /names no purchase/ }, operation)
  }
  t.match(await caller.call('getMany', { ids: [id] }), { rows: [{ phase: 'submitting', requestId: null }] })
  t.match(await caller.call('recordUnknown', { id, attempt: 1, failure: JSON.stringify(traceLost) }), { phase: 'unknown' }, 'a submit that was lost has none')
})
