// The random walk on the ledger on disk. After each step the process is gone, and the next one goes on with what it finds; beside it walks the model in memory, whose
// every answer is the same.

import fc from 'fast-check'
import t from 'tap'
import { createInstant, createLedgerOf } from '../../src/store/memory/ledger.ts'
import { createState } from '../../src/store/memory/state.ts'
import { diskStore } from '../support/disk-store.ts'
import { owner, startMs, type Store } from './contract/world.ts'
import { differencesBetween, inStep, readers } from './in-step.ts'
import { restart } from './restart-model.ts'
import { walk, walks, walkTimes } from './walk.ts'

/** More of them, for a night: FALGATE_WALKS=10000. */
const runs = Number(process.env['FALGATE_WALKS'] ?? 60)

/** A checkpoint follows one of so many steps. */
const EVERY = 14

t.setTimeout(1_200_000)

t.test('no interleaving of operations and crashes tells the ledger on disk from its model, before, beside or after a checkpoint', async t => {
  let steps = 0
  let crashes = 0
  await fc.assert(fc.asyncProperty(walks(80), fc.nat(EVERY - 1), async (drawn, first) => {
    const pair = await pairOfStores(first, () => { crashes += 1 })
    try {
      // On disk the clock never goes back behind what was written, which is another test's.
      await walk(pair, drawn.filter(step => step.do !== 'wait' || step.ms > 0), startMs, true)
    } finally {
      await pair.close()
    }
    steps += drawn.length
  }), { numRuns: runs })
  t.ok(steps > 1000 && crashes > 1000, `${steps} steps were walked, with ${crashes} crashes`)
})

/** The model and the ledger on disk as one store. What changes something is followed by a crash. */
async function pairOfStores (first: number, onCrash: () => void): Promise<Store> {
  let nowMs = startMs
  let server = 'first'
  const instant = createInstant(() => nowMs)
  const state = createState({ times: walkTimes, now: instant.now, server: () => server })
  const model = createLedgerOf({ state, instant, accounts: () => [owner], run: async (_, operate) => operate() })
  const disk = await diskStore(walkTimes, startMs)
  /** The processes of other accounts start again, too. */
  const others: (() => void)[] = []
  let isChanged = false
  let step = first
  const changed = (name: string): void => { isChanged ||= !readers.has(name) }
  return {
    ledger: inStep(model, disk.now, 'on disk', changed),
    beside: account => {
      let beside = disk.now().beside(account)
      others.push(() => { beside = disk.now().beside(account) })
      return inStep(model.beside(account), () => beside, 'on disk', changed)
    },
    setNow: atMs => {
      nowMs = atMs
      disk.setNow(atMs)
    },
    setServer: other => {
      server = other
      disk.setServer(other)
    },
    audit: async () => {
      if (!isChanged) return []
      isChanged = false
      step += 1
      if (step % EVERY === 0) await disk.store().checkpoint()
      const found = await disk.crash()
      for (const startAgain of others) startAgain()
      restart(state)
      onCrash()
      return [...model.audit().map(fault => 'in memory: ' + fault), ...disk.now().audit().map(fault => 'on disk: ' + fault), ...found, ...await differencesBetween(model, disk.now(), 'on disk')]
    },
    close: disk.close
  }
}
