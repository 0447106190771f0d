// The ledger on a disk that fails: what was answered is there, what was refused has bought nothing, and what runs goes on.

import fc from 'fast-check'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { Problem } from '../../../src/errors.ts'
import type { Ledger } from '../../../src/generation/ledger.ts'
import { openDiskLedger, type DiskStore } from '../../../src/store/disk/ledger.ts'
import { admissionOf, freshId, never, successOf, times, tokenOf } from '../../support/admission.ts'
import { until } from '../../support/until.ts'
import { owner, startMs } from '../contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'

t.setTimeout(300_000)

const replica = 'r1'
const full = 'ENOSPC'

interface Opened extends DiskStore { readonly states: unknown[], readonly failures: unknown[] }

async function open (files: FakeDisk, wallNow = (): number => startMs): Promise<Opened> {
  const states: unknown[] = []
  const failures: unknown[] = []
  const store = await openDiskLedger({ folder: FOLDER, files, times, accounts: () => [owner], wallNow, onDamage: () => {}, onState: state => { states.push(state) }, onCheckpointFailure: error => { failures.push(error) } })
  return { ...store, states, failures }
}

async function accepted (ledger: Ledger, prompt: string): Promise<{ readonly id: string, readonly attempt: number, readonly requestId: string }> {
  const answer = await ledger.admit(admissionOf({ input: JSON.stringify({ prompt }) }), { claimId: freshId(), replica, slots: 1000 })
  if (answer.outcome !== 'bought' || answer.terms === null) throw new Error(`nothing was begun: ${answer.outcome}`)
  const { id, attempt } = answer.row
  const requestId = 'request-' + id
  await ledger.recordAccepted(id, attempt, requestId)
  return { id, attempt, requestId }
}

async function isUnavailable (promise: Promise<unknown>): Promise<boolean> {
  return await promise.then(() => false, error => error instanceof Problem && error.code === 'store-unavailable')
}

t.test('a full disk: nothing is bought, what runs is collected, and with room again the books have it all', async t => {
  const disk = createFakeDisk()
  const { ledger, states, flush } = await open(disk)
  const running = await accepted(ledger, 'under way')
  const waiting = await ledger.admit(admissionOf())
  if (waiting.outcome !== 'bought') throw new Error(waiting.outcome)
  const heard: string[] = []
  t.teardown(ledger.listen(change => { if (change !== 'look-again') heard.push(`${change.id} ${change.phase}`) }))

  disk.capacity = 0
  t.ok(await isUnavailable(ledger.admit(admissionOf())), 'the first that meets it is told')
  t.match(states[0], { code: full })
  t.ok(await isUnavailable(ledger.admit(admissionOf())), 'and so are the next, at once')
  t.ok(await isUnavailable(ledger.admitAll([admissionOf()])))
  t.ok(await isUnavailable(ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots: 10 })), 'what waits, waits on')
  t.ok(await isUnavailable(ledger.mint(tokenOf())))
  const ended = await ledger.finish(running.id, running.attempt, running.requestId, successOf({ output: '{"images":["a"]}' }))
  t.match(ended, { phase: 'succeeded', output: '{"images":["a"]}' })
  t.match(heard.filter(one => one.startsWith(running.id)), [`${running.id} succeeded`], 'who waits for it is told')
  t.match(await ledger.getMany([running.id]), [{ phase: 'succeeded', output: '{"images":["a"]}' }])
  t.same(ledger.audit(), [])

  disk.capacity = Infinity
  await until(async () => states.at(-1) === null)
  t.equal((await ledger.admit(admissionOf())).outcome, 'bought')
  t.match(await ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots: 10 }), { outcome: 'go', row: { id: waiting.row.id } })
  await flush()
  const again = await open(disk.copy())
  t.match(await again.ledger.getMany([running.id]), [{ phase: 'succeeded', output: '{"images":["a"]}' }])
  t.match(await again.ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent: 60_000, held: 120_000 }])
  t.same(again.ledger.audit(), [])
})

t.test('on a full disk there is a reserve for evidence, and a process that dies then has lost none of it', async t => {
  const disk = createFakeDisk()
  const { ledger, states } = await open(disk)
  const running = await accepted(ledger, 'under way')
  // No more than what is there.
  disk.capacity = disk.names().reduce((sum, name) => sum + disk.contents(name).length, 0)
  await ledger.finish(running.id, running.attempt, running.requestId, successOf())
  t.match(states[0], { code: full })
  await until(async () => await (await open(disk.copy())).ledger.getMany([running.id]).then(([row]) => row?.phase === 'succeeded'))
  t.ok(await isUnavailable(ledger.admit(admissionOf())), 'nothing new is begun in the reserve')
})

t.test('what is stored is given out all the same', async t => {
  const disk = createFakeDisk()
  const { ledger } = await open(disk)
  const bought = await ledger.admit(admissionOf({ cacheName: 'a', seed: '1' }), { claimId: freshId(), replica, slots: 10 })
  if (bought.outcome !== 'bought') throw new Error(bought.outcome)
  await ledger.recordAccepted(bought.row.id, 1, 'x')
  await ledger.finish(bought.row.id, 1, 'x', successOf())
  disk.fault = ({ name }) => ['write', 'datasync'].includes(name) ? 'EIO' : null
  t.ok(await isUnavailable(ledger.admit(admissionOf())))
  t.equal((await ledger.admit(admissionOf({ cacheName: 'a', seed: '1' }))).outcome, 'hit')
})

t.test('a sync that failed once is believed: what it was to write is written elsewhere', async t => {
  const disk = createFakeDisk()
  const { ledger, states } = await open(disk)
  const { id } = await accepted(ledger, 'before')
  let failures = 0
  disk.fault = ({ name }) => name === 'datasync' && failures++ === 0 ? 'EIO' : null
  t.ok(await isUnavailable(ledger.admit(admissionOf())))
  await until(async () => states.at(-1) === null)
  const kept = await accepted(ledger, 'after')
  disk.powerCut(() => 0.9)
  const again = await open(disk.copy())
  t.match((await again.ledger.getMany([id, kept.id])).map(({ phase }) => phase), ['accepted', 'accepted'])
  t.same(again.ledger.audit(), [])
})

/** What has to be there when it was answered. That a caller got its answer, how far fal is, and leases, need not. */
async function answered (store: DiskStore): Promise<unknown> {
  const kept = [...store.images()].filter(([table]) => !['outbox', 'granted', 'tickets', 'figures', 'logs'].includes(table)).map(([table, key, image]) => {
    if (table !== 'rows') return [table, key, image]
    const { delivered, version, owner: _owner, waitUntilMs, startedAtMs, queuePosition, logged, phase, ...row } = image
    return [table, key, { ...row, phase: phase === 'running' ? 'accepted' : phase }]
  })
  return [kept.toSorted(([table, key], [otherTable, otherKey]) => `${table} ${key}` < `${otherTable} ${otherKey}` ? -1 : 1), await store.ledger.journal(0, never, 10_000)]
}

t.test('whatever the disk fails at, whenever the power is cut: what was answered is there, what was refused is not bought, the audit is clean', { timeout: 300_000 }, async t => {
  let refused = 0
  let cuts = 0
  await fc.assert(fc.asyncProperty(fc.array(fc.record({ what: fc.constantFrom('buy', 'buy', 'claim', 'end', 'end', 'checkpoint', 'cut'), n: fc.nat(1000) }), { minLength: 5, maxLength: 40 }), fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), fc.constantFrom(0, 0.02, 0.1), async (steps, random, rate) => {
    let disk = createFakeDisk()
    disk.isShort = true
    let store = await open(disk)
    const next = (): number => random.next().value ?? 0
    const breaking = (from: FakeDisk): void => { from.fault = ({ name }) => next() < rate ? (next() < 0.5 && name === 'write' ? full : 'EIO') : null }
    const settled = async (): Promise<void> => {
      disk.fault = () => null
      await until(async () => store.states.length === 0 || store.states.at(-1) === null)
    }
    breaking(disk)
    const running: { id: string, attempt: number }[] = []
    const [bought, denied]: [string[], string[]] = [[], []]
    for (const { what, n } of steps) {
      const { ledger } = store
      if (what === 'buy') {
        const admission = admissionOf({ input: JSON.stringify({ prompt: 'p'.repeat(n) }) })
        const answer = await ledger.admit(admission, n % 2 === 0 ? { claimId: freshId(), replica, slots: 10 } : undefined).catch(() => null)
        if (answer === null) {
          refused += 1
          denied.push(admission.id)
          const [row] = await ledger.getMany([admission.id])
          if (row !== undefined && (row.phase !== 'failed' || row.cost !== 0)) throw new Error(`refused, and ${row.phase}`)
        } else {
          bought.push(admission.id)
          if (answer.outcome === 'bought' && answer.terms !== null) running.push({ id: answer.row.id, attempt: answer.row.attempt })
        }
      } else if (what === 'claim') {
        const claimed = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots: 10 }).catch(() => null)
        if (claimed?.outcome === 'go') running.push({ id: claimed.row.id, attempt: claimed.row.attempt })
      } else if (what === 'end') {
        const [one] = running.splice(n % Math.max(1, running.length), 1)
        if (one === undefined) continue
        await ledger.recordAccepted(one.id, one.attempt, 'r-' + one.id)
        const ended = await ledger.finish(one.id, one.attempt, 'r-' + one.id, successOf({ output: JSON.stringify({ images: ['x'.repeat(n)] }) }))
        if (ended?.phase !== 'succeeded') throw new Error(`its picture was not taken: ${ended?.phase}`)
      } else if (what === 'checkpoint') {
        await store.checkpoint().catch(() => {}) // it is tried again
      } else {
        // In trouble evidence is in memory only; what was granted before it is on disk in any case.
        const isSettled = n % 2 === 0
        if (isSettled) await settled()
        await store.ledger.admit(admissionOf({ input: '{"prompt":"at the cut"}' })).catch(() => null)
        const expected = await answered(store)
        disk.powerCut(next)
        disk = disk.copy()
        const again = await open(disk)
        const found = await answered(again)
        if (isSettled && !isDeepStrictEqual(found, expected)) throw new Error(`lost: ${JSON.stringify(found)}, answered: ${JSON.stringify(expected)}`)
        const there = new Set((await again.ledger.getMany([...bought, ...denied])).filter(row => row.phase !== 'failed' || row.cost !== 0).map(({ id }) => id))
        if (bought.some(id => !there.has(id))) throw new Error('what was bought is not there')
        if (denied.some(id => there.has(id))) throw new Error('what was refused is there')
        if (again.ledger.audit().length > 0) throw new Error(again.ledger.audit().join('\n'))
        await store.ledger.close().catch(() => {})
        store = again
        cuts += 1
        breaking(disk)
      }
      const faults = store.ledger.audit()
      if (faults.length > 0) throw new Error(faults.join('\n'))
    }
    await settled()
    await store.ledger.close()
  }), { numRuns: 80 })
  t.ok(refused > 10 && cuts > 50, `${refused} were refused, ${cuts} power cuts`)
})
