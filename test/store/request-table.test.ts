// A request id stands for its generation, whether or not that is packed, as long as there is one.

import t from 'tap'
import { createInstant, createLedgerOf } from '../../src/store/memory/ledger.ts'
import { createRecount } from '../../src/store/memory/recount.ts'
import { createState } from '../../src/store/memory/state.ts'
import { admissionOf, freshId, successOf, times } from '../support/admission.ts'

t.test('a request id stands for the row that has it, packed or not, and is free when that was forgotten', async t => {
  let nowMs = 1_800_000_000_000
  const state = createState({ times, now: () => nowMs, looseRows: 0 })
  const ledger = createLedgerOf({ state, instant: createInstant(() => nowMs), accounts: null, run: async (_, operate) => operate() })

  async function begin (): Promise<string> {
    const admitted = await ledger.admit(admissionOf({ rate: { max: 1000, windowSeconds: 60 } }), { claimId: freshId(), replica: 'r', slots: 1000 })
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    return admitted.row.id
  }

  const ids = [await begin(), await begin(), await begin()]
  for (const id of ids) await ledger.finish(id, 1, `request of ${id}`, successOf())
  await ledger.gauges()
  const [first = '', second = ''] = ids
  t.ok(ids.every(id => state.rows.isPacked(id)))
  t.same(new Set(state.requests.entries()), new Set(ids.map(id => [`request of ${id}`, id])))
  const other = await begin()
  await ledger.recordAccepted(other, 1, `request of ${first}`)
  t.match(await ledger.getMany([other]), [{ phase: 'unknown', requestId: null }], 'it is not another one\'s')
  await ledger.finish(second, 1, 'a second purchase', successOf())
  await ledger.gauges()
  t.equal(state.requests.get('a second purchase'), second, 'that of a double is known, too')
  t.equal(state.requests.get(`request of ${second}`), second)
  t.equal(state.requests.get('request of nobody'), undefined)
  t.same(ledger.audit(), [])
  const recount = createRecount({ state, journal: ledger.journal, flush: async () => {} })
  t.match(await recount({ isMending: false }), { differences: [] })

  nowMs += times.resultTtlMs
  for (let sweeps = 0; sweeps < 5; sweeps += 1) await ledger.sweep('r', 1000)
  t.equal(state.requests.get(`request of ${first}`), undefined)
  t.same(ledger.audit(), [])
})
