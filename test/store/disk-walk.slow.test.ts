// The random walk on the ledger on disk: after any step the process may be gone. Another one finds what was answered, as it was, and the walk goes on with it.

import fc from 'fast-check'
import t from 'tap'
import { diskStore } from '../support/disk-store.ts'
import { startMs } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

/** More of them, for a night: FALGATE_WALKS=10000. */
const runs = Number(process.env['FALGATE_WALKS'] ?? 60)

/** Which step a look follows; also which a checkpoint does. */
const EVERY = 7

t.setTimeout(1_200_000)

t.test('no interleaving of operations leaves something on disk that differs from what was answered, before, beside or after a checkpoint', async t => {
  let steps = 0
  let looks = 0
  await fc.assert(fc.asyncProperty(walks(80), fc.nat(EVERY - 1), async (drawn, first) => {
    const disk = await diskStore(walkTimes, startMs)
    let step = first
    try {
      await walk({
        ...disk,
        audit: async () => {
          step += 1
          const faults = await disk.audit()
          if (step % EVERY !== 0) return faults
          looks += 1
          if (step % (2 * EVERY) === 0) await disk.store().checkpoint()
          return [...faults, ...await disk.differences()]
        }
      }, drawn, startMs)
    } finally {
      await disk.close()
    }
    steps += drawn.length
  }), { numRuns: runs })
  t.ok(steps > 1000, `${steps} steps were walked, and ${looks} times another process looked`)
})
