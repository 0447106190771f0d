// The in-process layer drops what has changed, by the id of the purchase, and keeps everything else.

import t from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { createResultCache } from '../../src/generation/request/result-cache.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'

async function success (): Promise<Generation> {
  const ledger = createMemoryLedger({ times })
  const id = freshId()
  await ledger.admit(admissionOf({ id }), { claimId: freshId(), replica: 'r1', slots: 10 })
  const row = await ledger.finish(id, 1, 'request', successOf())
  if (row === null) throw new Error('no row')
  return row
}

t.test('a change drops all names of its generation, also where it was put in through an alias; one that is no newer drops nothing', async t => {
  const cache = createResultCache(1_000_000)
  const [row, other] = [await success(), await success()]
  cache.put('seed', row, '{}')
  cache.put('reuse', { ...row, id: 'alias' }, '{}')
  cache.put('other', other, '{}')
  cache.hear({ id: row.id, version: row.version })
  t.equal(cache.get('seed')?.generationId, row.id)
  cache.hear({ id: row.id, version: row.version + 1 })
  t.same([cache.get('seed'), cache.get('reuse')], [undefined, undefined])
  t.equal(cache.get('other')?.generationId, other.id)
})

t.test('where changes may have been missed nothing is dropped: hits go on while the ledger is away', async t => {
  const cache = createResultCache(1_000_000)
  const row = await success()
  cache.put('name', row, '{}')
  cache.hear('look-again')
  t.equal(cache.get('name')?.generationId, row.id)
})

t.test('what took the name of another one is not dropped with that', async t => {
  const cache = createResultCache(1_000_000)
  const [row, other] = [await success(), await success()]
  cache.put('name', row, '{}')
  cache.put('name', { ...other, finishedAtMs: Number(row.finishedAtMs) + 1 }, '{}')
  cache.hear({ id: row.id, version: row.version + 1 })
  t.equal(cache.get('name')?.generationId, other.id)
  cache.put('name', { ...other, finishedAtMs: Number(row.finishedAtMs) + 2, version: other.version + 2 }, '{}')
  cache.hear({ id: other.id, version: other.version + 1 })
  t.not(cache.get('name'), undefined, 'a change that was heard of late')
})
