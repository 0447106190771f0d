// Webhooks that are due are taken in bounded numbers, and receivers that take their time hold up nobody but their own tenant.

import t from 'tap'
import type { DueHook } from '../../src/generation/hooks.ts'
import { createHookRounds } from '../../src/generation/run/hook-rounds.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, times } from '../support/admission.ts'

t.test('a tenant whose receivers hang has eight under way, others are told, and a stop waits for what is under way', async t => {
  const ledger = createMemoryLedger({ times, now: () => Date.now() })
  t.teardown(ledger.close)
  async function ended (tenant: string, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const id = freshId()
      await ledger.admit(admissionOf({ id, tenant, maxQueued: 1000, maxInFlight: 1000, rate: { max: 1000, windowSeconds: 60 }, hook: { id: `hook_${id}`, url: 'https://hooks.example/', form: 'native', base: '' } }))
      await ledger.cancel(id, { tenant, subject: '' })
    }
  }
  const begun: DueHook[] = []
  let release = (): void => {}
  const released = new Promise<void>(resolve => { release = resolve })
  const rounds = createHookRounds({
    ledger,
    deliver: async hook => {
      begun.push(hook)
      if (hook.tenant === 'slow') await released
      return { kind: 'delivered' }
    },
    stopped: new AbortController().signal,
    onTrouble: (operation, error) => { t.fail(operation, { found: error }) }
  })
  const of = (tenant: string): number => begun.filter(hook => hook.tenant === tenant).length

  await ended('slow', 20)
  await rounds.round()
  t.equal(of('slow'), 8)
  await ended('quick', 3)
  await rounds.round()
  t.equal(of('slow'), 8, 'no more while these are under way')
  t.equal(of('quick'), 3)
  rounds.stop()
  const settled = rounds.settled()
  await rounds.round()
  t.equal(begun.length, 11, 'nothing is taken after a stop')
  release()
  await settled
  t.equal((await ledger.hooks({ tenant: 'slow', stuck: false, limit: 100 })).length, 12, 'what was begun was told, the rest waits for others')
})

t.test('no more than 64 are under way in one process', async t => {
  const ledger = createMemoryLedger({ times, now: () => Date.now() })
  t.teardown(ledger.close)
  for (let n = 0; n < 100; n += 1) {
    const id = freshId()
    const tenant = `tenant-${n % 20}`
    await ledger.admit(admissionOf({ id, tenant, maxQueued: 1000, maxInFlight: 1000, rate: { max: 1000, windowSeconds: 60 }, hook: { id: `hook_${id}`, url: 'https://hooks.example/', form: 'native', base: '' } }))
    await ledger.cancel(id, { tenant, subject: '' })
  }
  let begun = 0
  const rounds = createHookRounds({
    ledger,
    deliver: async () => {
      begun += 1
      return await new Promise(() => {})
    },
    stopped: new AbortController().signal,
    onTrouble: (operation, error) => { t.fail(operation, { found: error }) }
  })
  for (let round = 0; round < 4; round += 1) await rounds.round()
  t.equal(begun, 64)
})
