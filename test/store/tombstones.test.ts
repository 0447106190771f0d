// A row that goes before its time leaves a word that it is rightly gone, so that nobody takes it for lost and puts it back.

import t from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { admit } from '../../src/store/memory/admit.ts'
import { cancel } from '../../src/store/memory/decisions.ts'
import { renew } from '../../src/store/memory/leases.ts'
import { forget } from '../../src/store/memory/rows.ts'
import { createState } from '../../src/store/memory/state.ts'
import { admissionOf, times } from '../support/admission.ts'
import { freshNamespace, liveLedger, plainClient } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'

const minute = 60_000

t.test('in memory: what was forgotten early is rightly gone for two minutes, unless more is known of it', async t => {
  let nowMs = 1_000_000
  const state = createState({ times, now: () => nowMs })
  const bought = admit(state, admissionOf())
  if (bought.outcome !== 'bought') throw new Error(bought.outcome)
  cancel(state, bought.row.id, bought.row)
  const entry = state.rows.get(bought.row.id)
  if (entry === undefined) throw new Error('there is no row')
  const ended = entry.row
  forget(state, entry)
  const told = (row: Partial<Generation> = {}): readonly string[] => renew(state, 'r1', [{ row: { ...ended, ...row }, holds: false }]).rolledBack
  t.same(told(), [], 'as it ended')
  t.same(told({ version: 1, phase: 'waiting', finishedAtMs: null, cost: null }), [], 'as it was before')
  t.same(told({ version: ended.version + 1 }), [ended.id], 'as it was later: that is lost')
  t.same(told({ requestId: 'a' }), [ended.id], 'a purchase that it did not know of')
  nowMs += 2 * minute
  t.same(told(), [ended.id], 'by then nobody tells it any more')
})

t.test('in memory: a row that goes at the end of its retention needs no such word', async t => {
  let nowMs = 1_000_000
  const state = createState({ times, now: () => nowMs })
  const bought = admit(state, admissionOf())
  if (bought.outcome !== 'bought') throw new Error(bought.outcome)
  cancel(state, bought.row.id, bought.row)
  nowMs += times.resultTtlMs
  const entry = state.rows.get(bought.row.id)
  if (entry !== undefined) forget(state, entry)
  t.same(state.tombstones.entries(), [])
  t.same(renew(state, 'r1', [{ row: { ...bought.row, phase: 'cancelled', finishedAtMs: 1_000_000 }, holds: false }]), { gone: [], rolledBack: [] })
})

t.test('on Redis: the same word is read the same', async t => {
  const namespace = freshNamespace()
  const { ledger } = await liveLedger(t, await redisUrl(), { namespace })
  const { id } = admissionOf()
  const bought = await ledger.admit(admissionOf({ id, deadlineMs: ledger.now() + 60_000 }))
  if (bought.outcome !== 'bought') throw new Error(bought.outcome)
  const ended: Generation = { ...bought.row, id: admissionOf().id, phase: 'cancelled', version: 4, cost: 0, finishedAtMs: ledger.now() }
  const told = async (row: Partial<Generation> = {}): Promise<readonly string[]> => (await ledger.renew('r1', [{ row: { ...ended, ...row }, holds: false }])).rolledBack
  t.same(await told(), [ended.id])
  const redis = plainClient(t, await redisUrl())
  await redis.hset(`{${namespace}}:x:${ended.id}`, 'endMs', String(ledger.now() + 2 * minute), 'version', '4', 'requestId', '')
  t.same(await told(), [])
  t.same(await told({ version: 5 }), [ended.id])
  t.same(await told({ requestId: 'a' }), [ended.id])
  await redis.hset(`{${namespace}}:x:${ended.id}`, 'endMs', '1')
  t.same(await told(), [ended.id])
})
