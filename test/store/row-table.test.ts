// Rows that are packed come back as they were.

import t from 'tap'
import { createInstant, createLedgerOf } from '../../src/store/memory/ledger.ts'
import { createState } from '../../src/store/memory/state.ts'
import { admissionOf, failureOf, longTrace, never, successOf, times } from '../support/admission.ts'

const now = (): number => 1_800_000_000_000

t.test('an ended row is in memory as one text once it was left alone, and is read as it was', async t => {
  const state = createState({ times, now, looseRows: 0 })
  const ledger = createLedgerOf({ state, instant: createInstant(now), accounts: null, run: async (_, operate) => operate() })
  const prompts = ['{"prompt":"ein rotes Fahrrad für Zoë"}', '{"prompt":"赤い自転車 🚲"}', '{"prompt":"\u0001 is no JSON, and is kept all the same"}', '{"prompt":""}']
  for (const [index, input] of prompts.entries()) {
    const name = `${index}`
    const admitted = await ledger.admit(admissionOf({ input, seed: name, cacheName: `cache ${name}`, idempotency: { name: `key ${name}`, fingerprint: 'f' }, connection: { replica: 'r', connection: name }, trace: index === 0 ? longTrace : null }))
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    const { id } = admitted.row
    await ledger.claim({ claimId: `claim ${name}`, deadlineMs: never, replica: 'r', slots: 100 })
    await ledger.finish(id, 1, `request ${name}`, index === 3 ? failureOf() : successOf({ output: input, bases: { bytes: 3, at: [1, 5] } }))
    const before = state.rows.get(id)
    const seen = structuredClone(before)
    await ledger.gauges()
    t.equal(state.rows.get(id) === before, input.includes('\u0001'), 'it was packed, but for what no text can end with')
    t.same(state.rows.get(id), seen, input)
    await ledger.seen(id, null)
    await ledger.gauges()
    t.ok(state.rows.get(id)?.row.delivered, 'what changes on a row that was packed is kept')
  }
  t.same(ledger.audit(), [])
})

t.test('whoever asks for a packed row twice within an operation changes the same one', async t => {
  const state = createState({ times, now, looseRows: 0 })
  const ledger = createLedgerOf({ state, instant: createInstant(now), accounts: null, run: async (_, operate) => operate() })
  const admitted = await ledger.admit(admissionOf())
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  const { id } = admitted.row
  await ledger.cancel(id, admitted.row)
  await ledger.gauges()
  const one = state.rows.get(id)
  t.equal(state.rows.get(id), one)
  t.not(state.rows.look(id), undefined)
  t.equal(state.rows.get(id), one)
})
