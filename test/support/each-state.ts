// A ledger in which one generation stands in each of the states that counters and indexes tell apart.

import type { Ledger } from '../../src/generation/ledger.ts'
import { admissionOf, freshId, never, successOf, tokenOf, traceLost } from './admission.ts'

/** Makes them, with a token for the first: running, unknown, succeeded, and one that waits. Gives their ids. */
export async function inEachState (ledger: Ledger): Promise<readonly string[]> {
  await ledger.mint(tokenOf({ subject: 'visitor' }))
  const ids: string[] = []
  for (const of of ['running', 'unknown', 'ended', 'waiting']) {
    const { id } = admissionOf()
    ids.push(id)
    await ledger.admit(admissionOf({ id, deadlineMs: never, cacheName: 'cache ' + of, ...(of === 'running' ? { subject: 'visitor', token: 'tok1' } : {}) }))
    if (of === 'waiting') break
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 100 })
    if (of === 'unknown') await ledger.recordUnknown(id, 1, null, traceLost)
    else await ledger.recordAccepted(id, 1, 'request-' + of)
    if (of === 'ended') await ledger.finish(id, 1, 'request-' + of, successOf())
  }
  return ids
}
