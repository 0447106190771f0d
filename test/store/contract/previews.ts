// What an admission would be answered, told without asking for it: the same answer, and nothing is changed.

import type { Test } from 'tap'
import type { Admission, DuplicateAnswer } from '../../../src/generation/admission.ts'
import { admissionOf, failureOf, freshId, never, price, successOf, tokenOf } from '../../support/admission.ts'
import { createWorld, type MakeStore, type World } from './world.ts'

const minute = 60_000
const model = 'fal-ai/imagen4/preview/ultra'

/** Everything that a reader can see of studio and of the ledger. */
async function seen ({ ledger }: World): Promise<unknown> {
  const accounts = ['studio', 'press', '*'].flatMap(owner => [{ owner, per: 'day' as const }, { owner, per: 'month' as const }])
  const readers = ['studio', 'press'].map(async tenant => await ledger.list({ tenant, subject: '' }, { limit: 100, cursor: null, status: null }))
  return await Promise.all([
    ledger.balances(accounts), ledger.gauges(), ledger.breakers(), ledger.token('tok1'), ledger.journal(0, 8e12, 1000), ledger.unknowns(100), ...readers
  ])
}

export async function previews (t: Test, make: MakeStore): Promise<void> {
  t.test('what nothing answers and nothing refuses would be bought, and the figures are those before it', async t => {
    const world = await createWorld(t, make)
    const { ledger, buy, ended } = world
    await ended()
    await buy({ priority: 'background' })
    await buy({ priority: 'low' })
    const preview = await ledger.preview(admissionOf({ priority: 'background', rate: { max: 5, windowSeconds: 60 } }))
    t.same(preview, {
      would: { outcome: 'bought' },
      rate: { max: 5, windowSeconds: 60, used: 3, resetSeconds: 60 },
      balances: [{ owner: 'studio', period: '2026-11', held: 2 * price, spent: price }, { owner: '*', period: '2026-11', held: 2 * price, spent: price }],
      position: 1,
      running: 0
    })
    t.match(await buy({ priority: 'background' }), { queuePosition: 1 })
  })

  t.test('of a tenant that never bought anything it tells that, and none comes to be', async t => {
    const { ledger } = await createWorld(t, make)
    const preview = await ledger.preview(admissionOf({ tenant: 'new', budgets: [{ owner: 'new', limit: 1, per: 'day' }] }))
    t.same(preview, {
      would: { outcome: 'refused', why: 'budget', owner: 'new', rate: { max: 1000, windowSeconds: 60, used: 0, resetSeconds: 60 } },
      rate: { max: 1000, windowSeconds: 60, used: 0, resetSeconds: 60 },
      balances: [{ owner: 'new', period: '2026-11-22', held: 0, spent: 0 }],
      position: 0,
      running: 0
    })
    t.same([...(await ledger.gauges()).waiting], [])
  })

  t.test('each outcome is foreseen, nothing changes however often that is asked, and the admission after it is answered so', async t => {
    const world = await createWorld(t, make)
    const { ledger, ended, buy, accepted } = world
    const key = { name: 'key', fingerprint: 'f' }
    const keyed = await ended(successOf(), { idempotency: key })
    const stored = await ended(successOf(), { cacheName: 'stored', cacheGroup: 'acme' })
    const refused = await ended(failureOf(), { cacheName: 'refused' })
    const running = await accepted('running', { cacheName: 'running' })
    const duplicate = await buy({ duplicateName: 'duplicate' })
    const waited = await buy({ duplicateName: 'waited', connection: { replica: 'r1', connection: 'c1' } })
    await ledger.mint(tokenOf({ subject: '' }))
    const question = { id: waited.id, replica: 'r1', connection: 'c1' }
    const cases: readonly (readonly [given: Partial<Admission>, expected: object])[] = [
      [{}, { outcome: 'bought' }],
      [{ idempotency: { name: 'fresh', fingerprint: 'f' }, cacheName: 'fresh', token: 'tok1' }, { outcome: 'bought' }],
      [{ idempotency: key }, { outcome: 'replayed', row: { purchase: keyed.id, phase: 'succeeded' } }],
      [{ idempotency: { ...key, fingerprint: 'g' } }, { outcome: 'refused', why: 'reused' }],
      [{ cacheName: 'stored' }, { outcome: 'hit', row: { purchase: stored.id } }],
      [{ cacheName: 'stored', tenant: 'press', needsId: true, idempotency: { name: 'theirs', fingerprint: 'f' } }, { outcome: 'hit', row: { purchase: stored.id } }],
      [{ cacheName: 'refused' }, { outcome: 'joined', row: { purchase: refused.id, phase: 'failed', failure: { code: 'content-refused' } } }],
      [{ cacheName: 'running', tenant: 'press' }, { outcome: 'joined', row: { purchase: running.id, phase: 'accepted' } }],
      [{ cacheName: 'stored', mode: 'refresh' }, { outcome: 'bought' }],
      [{ duplicateName: 'duplicate' }, { outcome: 'adopted', row: { purchase: duplicate.id } }],
      [{ duplicateName: 'waited' }, { outcome: 'duplicates', duplicates: [question] }],
      [{ duplicateName: 'waited', duplicates: [{ ...question, open: true }] }, { outcome: 'bought' }],
      [{ duplicateName: 'waited', duplicates: [{ ...question, open: false }] }, { outcome: 'adopted', row: { purchase: waited.id } }],
      [{ duplicateName: 'waited', lastRound: true }, { outcome: 'adopted', row: { purchase: waited.id } }],
      [{ token: 'nobody' }, { outcome: 'refused', why: 'token', token: 'unknown' }],
      [{ token: 'tok1', files: 4 }, { outcome: 'refused', why: 'token', token: 'exhausted' }],
      [{ rate: { max: 6, windowSeconds: 60 } }, { outcome: 'refused', why: 'rate', rate: { used: 6 } }],
      [{ maxInFlight: 1, maxQueued: 2 }, { outcome: 'refused', why: 'full' }],
      [{ budgets: [{ owner: '*', limit: 4 * price, per: 'month' }] }, { outcome: 'refused', why: 'budget', owner: '*' }]
    ]
    const before = await seen(world)
    for (let round = 0; round < 3; round++) {
      for (const [given, expected] of cases) t.match((await ledger.preview(admissionOf(given))).would, expected)
    }
    t.same(await seen(world), before)
    const asked = admissionOf({ cacheName: 'stored', tenant: 'press', needsId: true })
    await ledger.preview(asked)
    t.equal(await ledger.read(asked.id, { tenant: 'press', subject: '' }), null, 'its id stands for nothing')
    for (const given of [{ idempotency: key }, { cacheName: 'stored' }, { cacheName: 'running' }, { duplicateName: 'duplicate' }, { rate: { max: 6, windowSeconds: 60 } }]) {
      const { would } = await ledger.preview(admissionOf(given))
      const answer = await ledger.admit(admissionOf(given))
      t.equal(answer.outcome, would.outcome)
      if ('row' in answer && 'row' in would) t.equal(answer.row.purchase, would.row.purchase)
    }
  })

  t.test('a key that leads to what was forgotten is told with its end', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { resultTtlMs: minute })
    const idempotency = { name: 'key', fingerprint: 'f' }
    const { id } = await ended(successOf(), { idempotency })
    await advance(2 * minute)
    await ledger.sweep('r1', 10)
    const { would } = await ledger.preview(admissionOf({ idempotency }))
    t.match(would, { outcome: 'gone', end: { id, code: 'result-expired', cost: price } })
    t.same(await ledger.admit(admissionOf({ idempotency })), would)
  })

  t.test('a breaker refuses it, the place of the probe stays free, and the probe is nobody\'s', async t => {
    const { ledger, buy, advance } = await createWorld(t, make)
    await ledger.breaker(model, { state: 'open', retryAfterMs: 10_000 })
    t.match((await ledger.preview(admissionOf())).would, { outcome: 'refused', why: 'breaker', breaker: 'open', retryAfterSeconds: 10 })
    await advance(10_000)
    for (let n = 0; n < 3; n++) t.same((await ledger.preview(admissionOf())).would, { outcome: 'bought' })
    t.match(await ledger.breakers(), [{ scope: model, probe: null }])
    await buy()
    t.match((await ledger.preview(admissionOf())).would, { outcome: 'refused', why: 'breaker' }, 'now there is one')
  })

  t.test('the ledger does not come to know a price rule by it', async t => {
    const { ledger, buy, refused } = await createWorld(t, make)
    await buy({ priceRule: 'old' })
    await buy({ priceRule: 'new' })
    t.match((await ledger.preview(admissionOf({ priceRule: 'old' }))).would, { outcome: 'refused', why: 'prices', ledgerRule: 'new' })
    t.same((await ledger.preview(admissionOf({ priceRule: 'newest' }))).would, { outcome: 'bought' })
    await buy({ priceRule: 'new' })
    t.match(await refused({ priceRule: 'old' }), { why: 'prices', ledgerRule: 'new' })
  })

  t.test('no room for large results is told', async t => {
    const { ledger } = await createWorld(t, make, { largeResultBytes: 1 })
    t.same((await ledger.preview(admissionOf({ makesLarge: true }))).would, { outcome: 'refused', why: 'large' })
  })

  t.test('it looks past duplicates that cannot be reattached any more, however many, and drops none', async t => {
    const { ledger, unaudited, audit, advance } = await createWorld(t, make)
    const duplicateName = 'duplicate'
    const open: DuplicateAnswer[] = []
    let last = ''
    for (let n = 0; n < 66; n++) {
      const admission = admissionOf({ duplicateName, connection: { replica: 'r1', connection: `c${n}` }, duplicates: open })
      await unaudited.admit(admission)
      last = admission.id
      if (n === 65) break
      await unaudited.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
      await unaudited.finish(last, 1, `request-${n}`, successOf())
      if (open.length < 8) open.push({ id: last, replica: 'r1', connection: `c${n}`, open: true })
    }
    await advance(10 * minute)
    const asked = { outcome: 'duplicates', duplicates: [{ id: last, replica: 'r1', connection: 'c65' }] }
    for (let n = 0; n < 2; n++) t.same((await ledger.preview(admissionOf({ duplicateName }))).would, asked)
    t.same(await unaudited.admit(admissionOf({ duplicateName })), { outcome: 'duplicates', duplicates: [] }, 'which an admission needs two rounds for')
    t.same(await unaudited.admit(admissionOf({ duplicateName })), asked)
    t.same(await audit(), [])
  })
}
