// What becomes of a delivery: a host is asked for again at each try, and what cannot be signed or sent waits, or is given up in the end.

import t, { type Test } from 'tap'
import type { DueHook, HookOutcome } from '../../src/generation/hooks.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import type { TenantBook } from '../../src/tenants/book.ts'
import { createConnector } from '../../src/upstream/way.ts'
import { createDeliver, type DeliverDeps } from '../../src/webhooks/deliver.ts'
import { createSend } from '../../src/webhooks/send.ts'
import { admissionOf, times } from '../support/admission.ts'
import { bookOf, tenant } from '../support/gateway.ts'
import { startReceiver, type Receiver } from '../support/receiver.ts'

const connect = createConnector({ proxy: null, timeoutMs: 5000 })

interface Scene {
  readonly receiver: Receiver
  readonly hook: DueHook
  readonly told: HookOutcome[]
  readonly deliver: (hook: DueHook, signal?: AbortSignal) => Promise<HookOutcome | null>
  readonly put: (book: TenantBook) => void
}

async function scene (t: Test, deps: Partial<DeliverDeps> = {}): Promise<Scene> {
  const receiver = await startReceiver(t)
  const ledger = createMemoryLedger({ times, now: () => Date.now() })
  const admitted = await ledger.admit(admissionOf({ tenant: 'studio', hook: { id: 'hook_1', url: receiver.url, form: 'native', base: 'http://gateway.example' } }))
  if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
  await ledger.cancel(admitted.row.id, { tenant: 'studio', subject: '' })
  const [hook] = await ledger.takeHooks(1, [])
  if (hook === undefined) throw new Error('nothing is due')
  let book = bookOf({ tenants: [tenant('studio', { webhooks: [receiver.host] })] })
  const told: HookOutcome[] = []
  const deliver = createDeliver({
    tenants: () => book,
    secretsOf: async () => [Buffer.alloc(32, 'secret')],
    signingKey: () => null,
    bodyOf: () => Buffer.from('{"a":1}'),
    send: createSend({ connect: { public: connect, here: connect } }),
    onTried: (_hook, outcome) => { told.push(outcome) },
    now: Date.now,
    ...deps
  })
  return { receiver, hook, told, deliver: async (one, signal = new AbortController().signal) => await deliver(one, signal), put: changed => { book = changed } }
}

t.test('a host that was taken from its tenant is not called any more, nor anything for a tenant that is gone', async t => {
  const { receiver, hook, told, deliver, put } = await scene(t)
  t.same(await deliver(hook), { kind: 'delivered' })
  put(bookOf({ tenants: [tenant('studio', { webhooks: ['hooks.example'] })] }))
  t.same(await deliver(hook), { kind: 'given-up', error: 'host-not-listed' })
  put(bookOf({ tenants: [tenant('press', { webhooks: [receiver.host] })] }))
  t.same(await deliver(hook), { kind: 'given-up', error: 'no-such-tenant' })
  t.equal(receiver.received.length, 1)
  t.same(told.map(({ kind }) => kind), ['delivered', 'given-up', 'given-up'])
})

t.test('without a secret, or a key, it waits for one', async t => {
  const { receiver, hook, deliver } = await scene(t, { secretsOf: async () => null })
  for (const form of ['native', 'fal'] as const) t.match(await deliver({ ...hook, form }), { kind: 'again', error: 'no-secret', pauseMs: Number })
  t.same(receiver.received, [])
})

t.test('the tenth try that fails is the last', async t => {
  const { hook, deliver } = await scene(t, { send: async () => ({ kind: 'failed', why: 'http-500', retryAfterMs: null }) })
  t.match(await deliver({ ...hook, tries: 8 }), { kind: 'again', error: 'http-500' })
  t.same(await deliver({ ...hook, tries: 9 }), { kind: 'given-up', error: 'http-500' })
})

t.test('a try that is stopped says nothing, so that somebody else makes it; one that was taken says so all the same', async t => {
  const stopped = new AbortController()
  const { hook, deliver, told } = await scene(t)
  stopped.abort()
  t.equal(await deliver(hook, stopped.signal), null)
  t.same(told, [])
  const late = await scene(t, { send: async () => ({ kind: 'taken' }) })
  t.same(await late.deliver(late.hook, stopped.signal), { kind: 'delivered' })
})
