// Whose ledger it is: what a process of another account may do with it, which is nothing but look.

import type { Test } from 'tap'
import { Problem } from '../../../src/errors.ts'
import { openOperations, type Ledger } from '../../../src/generation/ledger.ts'
import type { UpstreamAccount } from '../../../src/upstream-account.ts'
import { admissionOf, freshId, never, noTerms, successOf, ticketOf, tokenOf, traceLost, unreachable } from '../../support/admission.ts'
import { createWorld, owner, type MakeStore } from './world.ts'

const strangers: readonly UpstreamAccount[] = [{ kind: 'sandbox', name: 'main' }, { kind: 'fal', name: 'another' }]
const studio = { tenant: 'studio', subject: '' }

/** Every operation that a script or its model decides, about this generation. */
function operationsOn (ledger: Ledger, id: string): Readonly<Record<string, () => Promise<unknown>>> {
  const row = async () => {
    const [found] = await ledger.getMany([id])
    if (found === undefined) throw new Error('There is no such row.')
    return { row: { ...found, version: found.version + 5 }, terms: noTerms, holds: true }
  }
  return {
    ping: async () => { await ledger.ping() },
    admit: async () => await ledger.admit(admissionOf({ cacheName: 'stored' })),
    admitAll: async () => await ledger.admitAll([admissionOf(), admissionOf()]),
    withdraw: async () => { await ledger.withdraw([{ id, connection: null }]) },
    claim: async () => await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'stranger', slots: 1000 }),
    recordAccepted: async () => await ledger.recordAccepted(id, 1, 'theirs'),
    recordNotSent: async () => await ledger.recordNotSent(id, 1, { failure: unreachable }),
    recordUnknown: async () => await ledger.recordUnknown(id, 1, null, traceLost),
    recordProgress: async () => await ledger.recordProgress(id, 1, 'theirs', { kind: 'running' }),
    recordDoubt: async () => await ledger.recordDoubt(id, 1, 'theirs', 'expired'),
    finish: async () => await ledger.finish(id, 1, 'theirs', successOf()),
    renew: async () => await ledger.renew('stranger', [await row()]),
    restore: async () => await ledger.restore('stranger', [await row()]),
    release: async () => { await ledger.release('r1', [id]) },
    sweep: async () => await ledger.sweep('stranger', 10),
    heartbeat: async () => await ledger.heartbeat('stranger'),
    takeOver: async () => await ledger.takeOver('stranger', 'r1', 10),
    takeOutbox: async () => await ledger.takeOutbox(10),
    once: async () => await ledger.once('theirs', 1000),
    takeMissing: async () => await ledger.takeMissing(10),
    takeHooks: async () => await ledger.takeHooks(10, []),
    hookTried: async () => await ledger.hookTried({ id: 'theirs', purchase: id, event: 1, untilMs: 0 }, { kind: 'delivered' }),
    hooks: async () => await ledger.hooks({ tenant: null, stuck: false, limit: 10 }),
    sendHooksAgain: async () => await ledger.sendHooksAgain(id),
    keepFiles: async () => await ledger.keepFiles(id, [], []),
    noteDeadLinks: async () => { await ledger.noteDeadLinks(id) },
    expectFile: async () => await ledger.expectFile('a.png', 1, null),
    takeOrphans: async () => await ledger.takeOrphans(10, { idleMs: 0, keepMs: 0, maxBytes: null }),
    filesGone: async () => await ledger.filesGone([{ name: 'a.png', bytes: 1, untilMs: 1 }]),
    withdrawFiles: async () => { await ledger.withdrawFiles(['a.png']) },
    keptFiles: async () => await ledger.keptFiles(null),
    meetFiles: async () => await ledger.meetFiles([{ name: 'a.png', bytes: 1, ageMs: 0 }], true),
    seen: async () => { await ledger.seen(id, null) },
    left: async () => { await ledger.left(id, { replica: 'r1', connection: 'c1' }) },
    read: async () => await ledger.read(id, studio),
    lookup: async () => await ledger.lookup('stored'),
    preview: async () => await ledger.preview(admissionOf({ cacheName: 'stored' })),
    list: async () => await ledger.list(studio, { limit: 10, cursor: null, status: null }),
    getMany: async () => await ledger.getMany([id]),
    getStatuses: async () => await ledger.getStatuses([id]),
    aside: async () => await ledger.aside(id),
    logs: async () => await ledger.logs(id, 0),
    cancel: async () => await ledger.cancel(id, studio),
    erase: async () => await ledger.erase(id, studio),
    settle: async () => await ledger.settle(id, true),
    correct: async () => await ledger.correct(id, 0),
    breaker: async () => await ledger.breaker('*', { state: 'account-blocked', retryAfterMs: 1000 }),
    breakers: async () => await ledger.breakers(),
    mint: async () => { await ledger.mint(tokenOf()) },
    token: async () => await ledger.token('tok1'),
    tokens: async () => await ledger.tokens('studio', { limit: 1, after: null }),
    revoke: async () => await ledger.revoke('tok1', 'studio'),
    issueTicket: async () => { await ledger.issueTicket(ticketOf()) },
    takeTicket: async () => await ledger.takeTicket('digest'),
    balances: async () => await ledger.balances([{ owner: 'studio', per: 'month' }]),
    unknowns: async () => await ledger.unknowns(10),
    journal: async () => await ledger.journal(0, never, 10),
    gauges: async () => await ledger.gauges(),
    standings: async () => await ledger.standings(['studio']),
    failures: async () => await ledger.failures(10, null),
    replicas: async () => await ledger.replicas()
  }
}

/** `done`, or the code that it was refused with. */
async function outcomeOf (operation: () => Promise<unknown>): Promise<string> {
  return await operation().then(() => 'done', (error: unknown) => {
    if (error instanceof Problem) return error.code
    throw error
  })
}

const open = new Set<string>(openOperations)

export async function owners (t: Test, make: MakeStore): Promise<void> {
  for (const stranger of strangers) {
    t.test(`to a process of ${stranger.kind} ${stranger.name} the ledger is foreign: it may look, and everything else is refused and changes nothing`, async t => {
      const { ledger, buy, ended, go, beside, row, balance, advance } = await createWorld(t, make)
      await ended(successOf(), { cacheName: 'stored' })
      const running = await buy()
      await go()
      const waiting = await buy()
      await ledger.mint(tokenOf())
      await advance(120_000)
      const theirs = await beside(stranger)
      const before = [await row(running.id), await row(waiting.id), await balance(), await ledger.gauges(), await ledger.breakers(), await ledger.token('tok1')]
      for (const { id } of [running, waiting]) {
        for (const [name, operation] of Object.entries(operationsOn(theirs, id))) t.equal(await outcomeOf(operation), open.has(name) ? 'done' : 'foreign-ledger', name)
      }
      t.same([await row(running.id), await row(waiting.id), await balance(), await ledger.gauges(), await ledger.breakers(), await ledger.token('tok1')], before)
      t.match(await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 }), { outcome: 'go', row: { id: waiting.id } }, 'it waits for its own')
    })
  }

  t.test('every operation is known to be open or not', async t => {
    const { ledger } = await createWorld(t, make)
    const known = new Set([...Object.keys(operationsOn(ledger, '')), 'now', 'connect', 'close', 'audit', 'listen', 'askOpen', 'askThere', 'answerOpen', 'beside', 'recount', 'moving'])
    t.same(Object.keys(ledger).filter(name => !known.has(name)), [])
  })

  t.test('a row keeps the account that it is bought with, also when it is put back', async t => {
    const { ledger, buy, advance, beside } = await createWorld(t, make)
    const { id } = await buy()
    const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1 })
    t.match(claimed, { outcome: 'go', row: { upstream: 'fal main' } })
    if (claimed.outcome !== 'go') return
    const lost = { row: { ...claimed.row, id: freshId() }, terms: claimed.terms, holds: false }
    await ledger.restore('r1', [lost])
    await advance(16_000)
    const taken = await ledger.sweep('r2', 10)
    t.same(taken.map(({ row }) => [row.id, row.upstream]).toSorted(), [[id, 'fal main'], [lost.row.id, 'fal main']].toSorted())
    t.match(await (await beside(owner)).getMany([id]), [{ id }], 'another process of the same account is at home')
  })

  t.test('an operator\'s window has no account, and is refused nothing', async t => {
    const { ledger, buy, go, beside, advance } = await createWorld(t, make)
    const { id } = await buy()
    await go()
    await ledger.recordUnknown(id, 1, null, traceLost)
    await advance(600_000)
    t.match(await (await beside(null)).settle(id, true), { outcome: 'settled' })
  })
}
