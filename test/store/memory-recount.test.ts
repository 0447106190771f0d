// Counting again in a ledger that its own process keeps: it finds what is wrong and nothing else, also while everything changes, and mends what it found.

import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { LedgerTimes } from '../../src/generation/ledger.ts'
import type { Difference, Recounting } from '../../src/generation/recount.ts'
import { createInstant, createLedgerOf, type MemoryLedger } from '../../src/store/memory/ledger.ts'
import { createRecount } from '../../src/store/memory/recount.ts'
import { createState, type State } from '../../src/store/memory/state.ts'
import { price, times } from '../support/admission.ts'
import { inEachState } from '../support/each-state.ts'
import { owner, startMs, type Store } from './contract/world.ts'
import { walk, walks, walkTimes } from './walk.ts'

interface Counted { readonly store: Store, readonly ledger: MemoryLedger, readonly state: State, readonly recount: Recounting['recount'] }

function counted (times: LedgerTimes): Counted {
  let nowMs = startMs
  let server = 'first'
  const instant = createInstant(() => nowMs)
  const state = createState({ times, now: instant.now, server: () => server, looseRows: 0 })
  const ledger = createLedgerOf({ state, instant, accounts: () => [owner], run: async (_, operate) => operate() })
  return {
    ledger,
    state,
    store: { ledger, beside: ledger.beside, audit: ledger.audit, setNow: atMs => { nowMs = atMs }, setServer: other => { server = other }, close: ledger.close },
    // Each look is a step of its own, so that anything may happen between two of them.
    recount: createRecount({ state, journal: ledger.journal, flush: async () => {}, looksTogether: 1 })
  }
}

t.test('however operations and pieces of a count interleave, a sound ledger has no difference, and mending changes nothing', async t => {
  let counts = 0
  await fc.assert(fc.asyncProperty(walks(60), fc.boolean(), async (drawn, isMending) => {
    const { store, recount } = counted(walkTimes)
    let goOn = (): void => {}
    const over = new AbortController()
    const turn = async (): Promise<void> => { await new Promise<void>(resolve => { goOn = resolve }) }
    async function countOn (): Promise<void> {
      while (!over.signal.aborted) {
        const { differences } = await recount({ isMending, between: async () => { if (!over.signal.aborted) await turn() } })
        if (differences.length > 0) throw new Error(JSON.stringify(differences))
        counts += 1
      }
    }
    const counting = countOn()
    counting.catch(() => {})
    try {
      await walk({ ...store, audit: async () => { goOn(); return await store.audit() } }, drawn, startMs)
      over.abort()
      goOn()
      await counting
      const { differences } = await recount({ isMending: false })
      if (differences.length > 0) throw new Error(JSON.stringify(differences))
    } finally {
      over.abort()
      goOn()
    }
  }), { numRuns: 60 })
  t.ok(counts > 100, `${counts} counts`)
})

async function filled (t: Test): Promise<Counted & { readonly ids: readonly string[] }> {
  const scene = counted(times)
  t.teardown(scene.ledger.close)
  return { ...scene, ids: await inEachState(scene.ledger) }
}

const told = (differences: readonly Difference[]): string[] => differences.map(({ what, name, found, expected }) => [what, name, found, expected].join('|')).sort()

t.test('every counter and index that was damaged is named with what was found and what the rows say; only mending changes it', async t => {
  const { ledger, state, recount, ids: [running = '', , ended = '', waiting = ''] } = await filled(t)
  t.same(await recount({ isMending: false }), { rows: 4, differences: [], isJournalTrimmed: false })

  const tenant = state.tenants.get('studio')
  const token = state.tokens.get('tok1')
  const book = state.books.get('studio:2026-11')
  if (tenant === undefined || token === undefined || book === undefined) throw new Error('nothing is there')
  state.active.set('', -9)
  tenant.running = -9
  tenant.waiting = 4
  book.held += 7
  token.heldPictures += 1
  token.heldMoney -= 1
  state.turns.delete('studio')
  state.due.get('')?.add(running, 5)
  tenant.queue.delete(waiting)
  tenant.queue.set('nobody', 5)
  state.lists.get('studio ')?.delete(ended, 3)
  state.followed.get('\nr1')?.delete(running)
  state.unknown.set(ended, 5)
  state.unknown.set('nobody', 5)
  state.failed.set('nobody', 5)
  state.claims.set('c', running)
  state.names.set('stranger', { id: ended, fingerprint: null }, Infinity)
  state.requests.delete('request-running')
  state.requests.set('request-nobody', 'nobody')
  state.files.set('nobody', 5)
  await ledger.expectFile('a.png', 10, null)
  const file = state.kept.get('a.png')
  if (file === undefined) throw new Error('nothing is there')
  state.kept.set('a.png', { ...file, rows: 2 })

  const dry = await recount({ isMending: false })
  t.ok(dry.differences.every(({ isMended }) => !isMended))
  t.same(told(dry.differences), [
    `held|studio:2026-11|${3 * price + 7}|${3 * price}`,
    `money|tok1|${price - 1}|${price}`,
    'pictures|tok1|2|1',
    'slots||-9|1',
    'running|studio|-9|1',
    'waiting|studio|4|1',
    'turn|studio||3000000',
    `row|${ended} in list||3`,
    `row|${ended} in unknown|5|`,
    `row|${running} in followed||0`,
    `row|${running} in requests||${running}`,
    `row|${waiting} in queue||4`,
    `stray|${running} in due||`,
    'stray|nobody in unknown||',
    'stray|nobody in failed||',
    'stray|nobody in files||',
    'file|a.png|2|0',
    'stray|nobody in queue||',
    'stray|c in claims||',
    'stray|n:stranger||',
    'stray|r:request-nobody||'
  ].sort())
  t.notSame(ledger.audit(), [], 'dry it changes nothing')

  const mended = await recount({ isMending: true })
  t.same(told(mended.differences), told(dry.differences))
  t.ok(mended.differences.every(({ isMended }) => isMended))
  t.same(ledger.audit(), [])
  t.same((await recount({ isMending: false })).differences, [])
})

t.test('what was spent is held against the journal, and said, not changed', async t => {
  const { ledger, state, recount } = await filled(t)
  const book = state.books.get('studio:2026-11')
  if (book === undefined) throw new Error('nothing is there')
  book.spent += 5
  const { differences } = await recount({ isMending: true })
  t.same(differences, [{ what: 'spent', name: 'studio:2026-11', found: String(2 * price + 5), expected: String(2 * price), isMended: false }])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent: price + 5 }])
})

t.test('of two counts the later one goes on, and the other one says so', async t => {
  const { recount } = await filled(t)
  let other: ReturnType<typeof recount> | null = null
  await t.rejects(recount({ isMending: false, between: async () => { other ??= recount({ isMending: false }) } }), { message: /^Another count has begun meanwhile/ })
  t.match(await other, { rows: 4, differences: [] })
})

t.test('of a period that began before the journal goes back nothing is held against it, which is said', async t => {
  const { store, state, recount } = await filled(t)
  await store.setNow(startMs + 91 * 86_400_000)
  await store.ledger.sweep('r1', 0)
  const book = state.books.get('studio:2026-11')
  if (book === undefined) throw new Error('nothing is there')
  book.spent += 5
  t.match(await recount({ isMending: false }), { differences: [], isJournalTrimmed: true })
})
