// A backup beside gateways on Redis: each entry is as it was when its turn came, and the money is that of one line of the journal.

import { join } from 'node:path'
import t from 'tap'
import type { Ledger } from '../../src/generation/ledger.ts'
import { declarations } from '../../src/store/disk/moving.ts'
import { exportLedger, importLedger } from '../../src/store/moving/move.ts'
import { admissionOf, freshId, successOf } from '../support/admission.ts'
import { redisUrl } from '../support/redis.ts'
import { freshNamespace, liveLedger } from '../support/redis-store.ts'
import { owner } from './contract/world.ts'

t.setTimeout(300_000)

const accounts = [{ owner: 'studio', per: 'month' }, { owner: '*', per: 'month' }] as const

async function buy (ledger: Ledger): Promise<string> {
  const admission = admissionOf({ rate: { max: 1_000_000, windowSeconds: 60 } })
  await ledger.admit(admission, { claimId: freshId(), replica: 'r1', slots: 100 })
  await ledger.recordAccepted(admission.id, 1, `request-${admission.id}`)
  await ledger.finish(admission.id, 1, `request-${admission.id}`, successOf())
  return admission.id
}

t.test('what books tell after a backup is what the journal tells, whatever was bought while it was written', async t => {
  const above = t.testdir()
  const url = await redisUrl()
  const { ledger } = await liveLedger(t, url, { namespace: freshNamespace(), account: owner })
  for (let nth = 0; nth < 300; nth += 1) await buy(ledger)
  const over = new AbortController()
  const ended: string[] = []
  const buying = (async () => { while (!over.signal.aborted) ended.push(await buy(ledger)) })()
  for (let nth = 0; nth < 4; nth += 1) {
    const known = [...ended]
    const path = join(above, `${nth}.jsonl`)
    await exportLedger(ledger.moving, { about: { version: '1', store: 'Redis' }, isMove: false, to: path })
    const namespace = freshNamespace()
    const { ledger: window } = await liveLedger(t, url, { namespace, account: null })
    await importLedger(window.moving, { from: path, takesBackup: true, declarations })
    const { ledger: copy } = await liveLedger(t, url, { namespace, account: owner })
    t.same((await copy.recount({ isMending: false })).differences, [], 'a recount finds nothing')
    t.same(await copy.audit(), [], 'it is sound')
    t.ok((await copy.getMany(known)).every(({ phase }) => phase === 'succeeded'), 'all that had ended before is there')
    const [own] = await copy.balances(accounts)
    t.equal((await copy.journal(0, Number.MAX_SAFE_INTEGER, 100_000)).filter(({ kind }) => kind === 'purchase').reduce((sum, { amount }) => sum + amount, 0), own?.spent)
  }
  over.abort()
  await buying
  t.ok(ended.length > 0, `${ended.length} were bought meanwhile`)
})
