// A backup beside a gateway that goes on with the folder is the ledger as it was at one moment.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Ledger } from '../../../src/generation/ledger.ts'
import { createDiskMovingPlace, declarations } from '../../../src/store/disk/moving.ts'
import { openDiskLedger, type DiskStore } from '../../../src/store/disk/ledger.ts'
import { exportLedger, importLedger } from '../../../src/store/moving/move.ts'
import { admissionOf, freshId, price, successOf, times } from '../../support/admission.ts'
import { owner } from '../contract/world.ts'

t.setTimeout(300_000)

const accounts = [{ owner: 'studio', per: 'month' }, { owner: '*', per: 'month' }] as const

async function opened (folder: string): Promise<DiskStore> {
  return await openDiskLedger({
    folder,
    times,
    accounts: () => [owner],
    onDamage: damage => { throw new Error(JSON.stringify(damage)) },
    onState: trouble => { if (trouble !== null) throw trouble },
    onCheckpointFailure: error => { throw error }
  })
}

function placeIn (folder: string): ReturnType<typeof createDiskMovingPlace> {
  return createDiskMovingPlace({ folder, times, onDamage: damage => { throw new Error(JSON.stringify(damage)) } })
}

/** Buys one after the other until told to stop; `ended` has those that were told to have succeeded. */
function buyOnAndOn ({ ledger, checkpoint }: DiskStore): { readonly ended: readonly string[], readonly stop: () => Promise<void> } {
  const ended: string[] = []
  const over = new AbortController()
  const work = (async () => {
    for (let nth = 1; !over.signal.aborted; nth += 1) {
      const { id } = await buy(ledger)
      ended.push(id)
      // What a checkpoint removes, files of texts among it, is being read meanwhile.
      if (nth % 10 === 0) await checkpoint()
    }
  })()
  return {
    ended,
    stop: async () => {
      over.abort()
      await work
    }
  }
}

async function buy (ledger: Ledger): Promise<{ readonly id: string }> {
  const admission = admissionOf({ rate: { max: 1_000_000, windowSeconds: 60 } })
  await ledger.admit(admission, { claimId: freshId(), replica: 'r1', slots: 100 })
  await ledger.recordAccepted(admission.id, 1, `request-${admission.id}`)
  await ledger.finish(admission.id, 1, `request-${admission.id}`, successOf({ output: JSON.stringify({ images: [], filler: admission.id.repeat(50) }) }))
  return admission
}

t.test('a backup beside a ledger that goes on has all that was answered before it began, and nothing by halves', async t => {
  const above = t.testdir()
  const folder = join(above, 'ledger')
  const store = await opened(folder)
  for (let nth = 0; nth < 200; nth += 1) await buy(store.ledger)
  const buying = buyOnAndOn(store)
  for (let nth = 0; nth < 6; nth += 1) {
    const known = [...buying.ended]
    const path = join(above, `${nth}.jsonl`)
    const source = placeIn(folder)
    await exportLedger(source, { about: { version: '1', store: 'DATA_DIR' }, isMove: false, to: path }).finally(source.close)

    const copy = join(above, `copy-${nth}`)
    const target = placeIn(copy)
    await importLedger(target, { from: path, takesBackup: true, declarations }).finally(target.close)
    const { ledger } = await opened(copy)
    t.same(ledger.audit(), [], 'it is sound')
    t.ok((await ledger.getMany(known)).every(({ phase, output }) => phase === 'succeeded' && output?.includes('filler') === true), 'all of them are there, with their results')
    const [own, company] = await ledger.balances(accounts)
    const booked = (await ledger.journal(0, Number.MAX_SAFE_INTEGER, 100_000)).reduce((sum, { amount }) => sum + amount, 0)
    const ids = [...(await readFile(path, 'utf8')).matchAll(/^\["rows","([^"]+)"/gm)].map(([, id = '']) => id)
    const unknown = (await ledger.getMany(ids)).filter(({ phase }) => phase === 'unknown').length
    t.equal(own?.spent, company?.spent)
    t.equal(booked, (own?.spent ?? NaN) + unknown * price, 'what was spent is what its journal tells, line by line')
    t.equal((await ledger.getMany(ids)).filter(({ phase }) => phase === 'succeeded').length * price, own?.spent, 'and what its generations cost')
    await ledger.close()
  }
  await buying.stop()
  t.ok(buying.ended.length > 0, `${buying.ended.length} were bought meanwhile`)
  await store.ledger.close()
})

t.test('a backup changes nothing in the folder, and makes none', async t => {
  const above = t.testdir()
  const folder = join(above, 'ledger')
  const { ledger } = await opened(folder)
  await buy(ledger)
  await ledger.close()
  const before = await readdir(folder)
  const source = placeIn(folder)
  await exportLedger(source, { about: { version: '1', store: 'DATA_DIR' }, isMove: false, to: join(above, 'backup.jsonl') }).finally(source.close)
  t.same(await readdir(folder), before)
  const nowhere = placeIn(join(above, 'nowhere'))
  await t.rejects(exportLedger(nowhere, { about: { version: '1', store: 'DATA_DIR' }, isMove: false, to: join(above, 'none.jsonl') }).finally(nowhere.close), /nowhere: there is no ledger/)
  t.same((await readdir(above)).toSorted(), ['backup.jsonl', 'ledger'])
})
