// The ledger on disk keeps the contract, and after each of its tests another process that opens the folder finds the same ledger.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { contract } from './contract.ts'
import { owner } from './contract/world.ts'

t.test('the ledger on disk', async t => contract(t, async (times, startMs) => {
  let nowMs = startMs
  let server = 'first'
  const folder = await mkdtemp(join(tmpdir(), 'falgate-disk-'))
  const { ledger } = await openDiskLedger({ folder, times, accounts: () => [owner], wallNow: () => nowMs, server: () => server, onDamage: () => {}, onState: trouble => { if (trouble !== null) throw trouble }, onCheckpointFailure: error => { throw error } })
  return {
    ledger,
    beside: ledger.beside,
    audit: ledger.audit,
    setNow: atMs => { nowMs = atMs },
    setServer: other => { server = other },
    close: async () => {
      await ledger.close()
      await rm(folder, { recursive: true })
    }
  }
}))
