// Long texts on disk: each is written once, whatever becomes of its row.

import t from 'tap'
import { openDiskLedger, type DiskStore } from '../../../src/store/disk/ledger.ts'
import { admissionOf, freshId, successOf, times } from '../../support/admission.ts'
import { owner, startMs } from '../contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'

async function open (files: FakeDisk): Promise<DiskStore> {
  const stop = (what: unknown): never => { throw new Error(String(what)) }
  return await openDiskLedger({ folder: FOLDER, files, times, accounts: () => [owner], wallNow: () => startMs, onDamage: stop, onState: stop, onCheckpointFailure: stop })
}

t.test('of a whole generation the journal has the input once, and the output once', async t => {
  const disk = createFakeDisk()
  const { ledger, flush } = await open(disk)
  const [input, output] = ['{"prompt":"a red bicycle"}', '{"images":["a picture"]}']
  const admitted = await ledger.admit(admissionOf({ input }), { claimId: freshId(), replica: 'r', slots: 10 })
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const { id, attempt } = admitted.row
  await ledger.recordAccepted(id, attempt, 'request')
  await ledger.finish(id, attempt, 'request', successOf({ output }))
  await ledger.seen(id, null)
  await flush()
  const written = disk.names().map(name => disk.contents(name).toString()).join('')
  t.same([input, output].map(text => written.split(text).length - 1), [1, 1])
  await ledger.close()
  const again = await open(disk)
  t.match(await again.ledger.getMany([id]), [{ input, output }])
  await again.ledger.close()
})
