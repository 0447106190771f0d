// The ledger on disk keeps the contract, and after each of its tests another process that opens the folder finds the same ledger.

import t from 'tap'
import { diskStore } from '../support/disk-store.ts'
import { contract } from './contract.ts'

// What bounds it is the number of its tests; how long they take is the machine's affair.
t.setTimeout(300_000)

t.test('the ledger on disk', async t => contract(t, async (times, startMs) => {
  const disk = await diskStore(times, startMs)
  return {
    ...disk,
    close: async () => {
      const found = await disk.differences()
      await disk.close()
      if (found.length > 0) throw new Error(found.join('\n'))
    }
  }
}))
