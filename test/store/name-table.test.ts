// Names that are kept with packed rows are answered like names in a plain map.

import fc from 'fast-check'
import t from 'tap'
import { entryHead, entryRecord, nameRecord } from '../../src/store/disk/records.ts'
import { codecs } from '../../src/store/disk/tables.ts'
import { createState } from '../../src/store/memory/state.ts'
import { createInstant, createLedgerOf } from '../../src/store/memory/ledger.ts'
import { admissionOf, successOf, times } from '../support/admission.ts'
import { diskStore } from '../support/disk-store.ts'
import { startMs } from './contract/world.ts'

const IDS = ['a', 'b', 'c', 'd']

t.test('whichever rows are packed and asked for, a name leads where it was said to last, for as long as was said', async t => {
  let nowMs = 0
  const state = createState({ times, now: () => nowMs, looseRows: 0 })
  const ledger = createLedgerOf({ state, instant: createInstant(() => nowMs), accounts: null, run: async (_, operate) => operate() })
  const own = new Map<string, readonly string[]>()
  for (const id of IDS) {
    const names = [`cache ${id}`, `reuse ${id}`, `key ${id}`] as const
    own.set(id, names)
    const admitted = await ledger.admit(admissionOf({ id, cacheName: names[0], reuseName: names[1], idempotency: { name: names[2], fingerprint: `f ${id}` } }), { claimId: id, replica: 'r', slots: 10 })
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    await ledger.finish(id, 1, `request ${id}`, successOf())
  }
  const model = new Map<string, { readonly id: string, readonly fingerprint: string | null, readonly endMs: number }>()
  for (const [name, { id, fingerprint }] of state.names.entries()) model.set(name, { id, fingerprint, endMs: state.names.whole(name)?.endMs ?? 0 })
  t.equal(model.size, 3 * IDS.length)
  const keyedMs = [...model.values()].find(({ endMs }) => endMs !== Infinity)?.endMs ?? 0
  const names = [...own.values()].flat()
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('set', 'own', 'delete', 'get', 'whole' as const), name: fc.constantFrom(...names), id: fc.constantFrom(...IDS) }),
    fc.record({ kind: fc.constantFrom('look at', 'pack' as const), name: fc.constant(''), id: fc.constantFrom(...IDS) })
  )
  let folded = 0
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), steps => {
    for (const { kind, name, id } of steps) {
      const expected = model.get(name)
      if (kind === 'pack') state.rows.tidy()
      if (kind === 'look at') state.rows.get(id)
      if (kind === 'set' || kind === 'own') {
        const owner = kind === 'own' ? name.slice(-1) : id
        const [fingerprint, endMs] = name.startsWith('key') ? [`f ${owner}`, kind === 'own' ? keyedMs : keyedMs - 1] as const : [null, Infinity] as const
        state.names.set(name, { id: owner, fingerprint }, endMs)
        model.set(name, { id: owner, fingerprint, endMs })
      }
      if (kind === 'delete' && state.names.delete(name) !== model.delete(name)) return false
      const found = kind === 'whole' ? state.names.whole(name)?.value : state.names.get(name)
      if ((kind === 'get' || kind === 'whole') && (found?.id !== expected?.id || found?.fingerprint !== expected?.fingerprint)) return false
      if (kind === 'whole' && state.names.whole(name)?.endMs !== expected?.endMs) return false
      if (kind === 'pack') folded += new Set(state.names.entries()).size - new Set(state.names.unfolded()).size
    }
    const all = [...state.names.entries()]
    return all.length === model.size && all.every(([name, { id }]) => model.get(name)?.id === id)
  }), { numRuns: 500 })
  t.ok(folded > 500, `${folded} names were kept with rows`)
  state.rows.tidy()
  for (const name of names) state.names.set(name, { id: name.slice(-1), fingerprint: name.startsWith('key') ? `f ${name.slice(-1)}` : null }, name.startsWith('key') ? keyedMs : Infinity)
  state.rows.tidy()
  nowMs = keyedMs
  t.same([...state.names.entries()].map(([name]) => name).filter(name => name.startsWith('key')), [], 'a key ends when it was said to, wherever it is kept')
  t.equal(state.names.get('key a'), undefined)
})

t.test('a checkpoint has each name once more, whatever is packed while it is written', async t => {
  const disk = await diskStore(times, startMs)
  t.teardown(disk.close)
  const { ledger } = disk
  const generate = async (number: number): Promise<void> => {
    const admitted = await ledger.admit(admissionOf({ cacheName: `cache ${number}`, reuseName: `reuse ${number}`, idempotency: { name: `key ${number}`, fingerprint: 'f' }, rate: { max: 1e6, windowSeconds: 60 }, maxInFlight: 1000, budgets: [] }), { claimId: `claim ${number}`, replica: 'r', slots: 1000 })
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    await ledger.finish(admitted.row.id, 1, `request ${number}`, successOf())
  }
  await Promise.all(Array.from({ length: 700 }, async (_, number) => { await generate(number) }))
  let number = 700
  const pending = new Set([disk.store().checkpoint().finally(() => { pending.clear() })])
  const made = Promise.all(pending)
  while (pending.size > 0) await generate(number++)
  await made
  t.ok(number > 700, `${number - 700} generations meanwhile`)
  t.same(await disk.differences(), [])
})

t.test('what a row says of its own names is what the journal says of them, so that a start need not read that', async t => {
  const state = createState({ times, now: () => startMs })
  const ledger = createLedgerOf({ state, instant: createInstant(() => startMs), accounts: null, run: async (_, operate) => operate() })
  const admitted = await ledger.admit(admissionOf({ cacheName: 'cache', reuseName: 'reuse', idempotency: { name: 'key', fingerprint: 'print' } }), { claimId: 'claim', replica: 'r', slots: 1 })
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  await ledger.finish(admitted.row.id, 1, 'request', successOf({ learnedName: 'learned' }))
  const entry = state.rows.get(admitted.row.id)
  const own = entry === undefined ? [] : [...state.names.ownOf(entry)]
  t.same(new Set(own.map(({ name }) => name)), new Set(['cache', 'learned', 'reuse', 'key']))
  t.same(own.map(one => nameRecord(one)), own.map(({ name }) => {
    const record = entryRecord('names', name, codecs.names.image(state, name))
    return { head: entryHead(record), record }
  }))
})
