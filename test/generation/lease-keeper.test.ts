// The lease keeper: what each answer to a renewal brings about.

import t from 'tap'
import type { Fact } from '../../src/generation/evidence.ts'
import { createLeaseKeeper, type LeaseKeeper } from '../../src/generation/run/lease-keeper.ts'
import { noTerms } from '../support/admission.ts'
import { boughtRow } from '../support/bought.ts'
import { until } from '../support/until.ts'

interface Answer { readonly gone?: readonly string[], readonly rolledBack?: readonly string[] }

interface Scene {
  readonly leases: LeaseKeeper
  /** Ids that each renewal told of. */
  readonly renewed: string[][]
  readonly restored: string[][]
  readonly disowned: string[]
  readonly told: { readonly generations: number, readonly contested: number }[]
  readonly troubles: string[]
  readonly run: (id: string) => void
}

/** A ledger that answers renewals in this order, and then that all is well. `meanwhile` runs while it is asked. */
async function open (answers: readonly (Answer | 'away')[], meanwhile: (run: (id: string) => void) => void = () => {}, leaseMs = 15_000): Promise<Scene> {
  const row = await boughtRow()
  const running = new Map<string, { readonly disown: () => void }>()
  const renewed: string[][] = []
  const restored: string[][] = []
  const disowned: string[] = []
  const told: { generations: number, contested: number }[] = []
  const troubles: string[] = []
  let generation = 0
  const run = (id: string): void => {
    const name = `${id}${generation++ === 0 ? '' : ' again'}`
    running.set(id, { disown: () => { disowned.push(name) } })
  }
  const leases = createLeaseKeeper({
    ledger: {
      renew: async (_replica, facts) => {
        renewed.push(facts.map(({ row }) => row.id))
        const answer = answers[renewed.length - 1] ?? {}
        meanwhile(run)
        if (answer === 'away') throw new Error('away')
        return { gone: answer.gone ?? [], rolledBack: answer.rolledBack ?? [] }
      },
      restore: async (_replica, facts) => {
        restored.push(facts.map(({ row }) => row.id))
        return { contested: 2 }
      }
    },
    replica: 'r1',
    times: { leaseMs },
    tasks: { running, facts: () => Array.from(running.keys(), (id): Fact => ({ row: { ...row, id }, terms: noTerms, holds: true })) },
    onRestored: (generations, contested) => { told.push({ generations, contested }) },
    onTrouble: operation => { troubles.push(operation) }
  })
  return { leases, renewed, restored, disowned, told, troubles, run }
}

t.test('what another process has is disowned', async t => {
  const { leases, run, disowned, renewed } = await open([{ gone: ['one', 'unheard of'] }])
  run('one')
  await leases.renew()
  t.same(disowned, ['one'])
  t.same(renewed, [['one']])
})

t.test('a task that began while the ledger was asked is not among those that are gone', async t => {
  const { leases, run, disowned } = await open([{ gone: ['one'] }], run => { run('one') })
  run('one')
  await leases.renew()
  t.same(disowned, ['one'])
})

t.test('what the ledger lost is put back, told, and renewed once more', async t => {
  const { leases, run, renewed, restored, told } = await open([{ rolledBack: ['two'] }])
  run('one')
  run('two')
  await leases.renew()
  t.same(restored, [['two']])
  t.same(told, [{ generations: 1, contested: 2 }])
  t.same(renewed, [['one', 'two'], ['one', 'two']])
})

t.test('a ledger that loses it again at once is told again with the next renewal, not without an end', async t => {
  const { leases, run, renewed } = await open([{ rolledBack: ['one'] }, { rolledBack: ['one'] }])
  run('one')
  await leases.renew()
  t.equal(renewed.length, 2)
})

t.test('while the ledger is away renewals are told as trouble, and go on', async t => {
  const { leases, run, renewed, troubles, disowned } = await open(['away', 'away'], () => {}, 150)
  run('one')
  await leases.start()
  t.same(troubles, ['renew-leases'])
  await until(() => renewed.length >= 4)
  t.equal(troubles.length, 2)
  t.same(disowned, [])
  leases.stop()
  const { length } = renewed
  await leases.renew()
  t.equal(renewed.length, length + 1, 'one that is asked for is made, also then')
})

t.test('a process that looks after nothing renews all the same: the ledger has to know that it is there', async t => {
  const { leases, renewed } = await open([])
  await leases.start()
  leases.stop()
  t.same(renewed, [[]])
})
