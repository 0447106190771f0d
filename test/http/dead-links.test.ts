// A stored result whose files are gone at fal is no hit: it is looked at before it is handed out, and bought again.

import t, { type Test } from 'tap'
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { until } from '../support/until.ts'
import type { Fault } from '../../src/sandbox/fault-schema.ts'

const seeded = { prompt: 'a red bicycle', seed: 7 }
const only = { headers: { 'falgate-cache': 'only' } }
const reuse = { headers: { 'falgate-cache': 'reuse' } }

/** fal keeps files for no time at all: what has ended is old. */
const aged = { config: { falFilesMs: -1 } }

/** Every look is counted, and answered as ever. */
const watched: Fault = { kind: 'delay', operation: 'file', delayMs: 0, times: 'always' }
const vanished: Fault = { kind: 'odd', operation: 'file', answer: 'not_found', times: 'always' }

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { ...aged, ...options })
}

function statusOf (reply: { readonly headers: Headers }): string {
  return reply.headers.get('cache-status') ?? ''
}

t.test('while its files are there an old result is a hit, and they are looked at once, however often and by whatever way it is asked for', async t => {
  const { generate, sandbox } = await start(t)
  const bought = await generate(seeded)
  const looks = sandbox.faults.add(watched)
  for (const options of [{}, only, {}, { path: '/fal/fal-ai/imagen4/preview/ultra' }]) {
    const hit = await generate(seeded, options)
    t.match(statusOf(hit), /^falgate; hit/)
    t.equal(hit.text, bought.text)
  }
  await generate({ prompt: seeded.prompt }, reuse)
  t.equal(looks.hits, 1)
  t.equal(sandbox.bill.accepted, 1)
})

t.test('a result that is not as old is not looked at', async t => {
  const { generate, sandbox } = await start(t, { config: {} })
  await generate(seeded)
  const looks = sandbox.faults.add(vanished)
  t.match(statusOf(await generate(seeded)), /^falgate; hit/)
  t.match(statusOf(await generate(seeded, only)), /^falgate; hit/)
  t.equal(looks.hits, 0)
})

t.test('when they are gone ten callers at once get one new picture, and are told why it is new', async t => {
  const { generate, get, sandbox } = await start(t)
  const old = await generate(seeded)
  const looks = sandbox.faults.add(vanished)
  const release = sandbox.faults.holdJobs()
  const calls = Array.from({ length: 10 }, async () => await generate(seeded))
  await until(() => sandbox.bill.accepted === 2)
  release()
  const replies = await Promise.all(calls)
  t.equal(sandbox.bill.accepted, 2)
  t.equal(new Set(replies.map(({ text }) => text)).size, 1)
  t.equal(new Set(replies.map(({ headers }) => headers.get('falgate-generation'))).size, 1)
  t.not(replies[0]?.headers.get('falgate-generation'), old.headers.get('falgate-generation'))
  t.equal(replies.filter(reply => reply.headers.get('falgate-cost-usd') === '0.06').length, 1)
  t.equal(replies.filter(reply => statusOf(reply) === 'falgate; fwd=stale; stored; detail=dead-link').length, 1)
  t.ok(replies.every(reply => /detail=(dead-link|joined)$/.test(statusOf(reply))))
  t.equal(looks.hits, 1)
  t.match((await get(`/generations/${old.headers.get('falgate-generation')}`)).json(), { status: 'succeeded', output: { images: [{}] } }, 'who has its id still has it')
})

t.test('reuse buys again, too, and what only takes from what is stored is told that there is nothing', async t => {
  const { generate, sandbox } = await start(t)
  await generate(seeded)
  sandbox.faults.add(vanished)
  const refused = await generate(seeded, only)
  t.match({ status: refused.status, body: refused.json() }, { status: 504, body: { code: 'not-cached' } })
  t.equal(statusOf(await generate({ prompt: seeded.prompt }, reuse)), 'falgate; fwd=miss; stored; detail=bought', 'nothing leads to it any more')
  t.equal(sandbox.bill.accepted, 2)
})

t.test('a key never buys twice: it leads to what there is, and one that is new is not bound to what is dead', async t => {
  const { generate, sandbox } = await start(t)
  const keyed = (key: string): { headers: Record<string, string> } => ({ headers: { 'idempotency-key': key } })
  const old = await generate(seeded, keyed('first'))
  sandbox.faults.add(vanished)
  const fresh = await generate(seeded, keyed('second'))
  t.equal(statusOf(fresh), 'falgate; fwd=stale; stored; detail=dead-link')
  t.not(fresh.headers.get('falgate-generation'), old.headers.get('falgate-generation'))
  t.equal((await generate(seeded, keyed('first'))).headers.get('falgate-generation'), old.headers.get('falgate-generation'))
  t.equal((await generate(seeded, keyed('second'))).headers.get('falgate-generation'), fresh.headers.get('falgate-generation'))
  t.equal(sandbox.bill.accepted, 2)
})

t.test('a dry run looks at nothing', async t => {
  const { generate, sandbox } = await start(t)
  await generate(seeded)
  const looks = sandbox.faults.add(vanished)
  t.match((await generate(seeded, { headers: { 'falgate-dry-run': '1' } })).json(), { would: 'hit' })
  t.equal(looks.hits, 0)
})

t.test('what does not say that a file is gone counts as there: no answer in time, an error, another place', async t => {
  const odd: readonly Fault[] = [
    { kind: 'hang', operation: 'file', times: 'always' },
    { kind: 'answer', operation: 'file', error: 'nginx', times: 'always' },
    { kind: 'answer', operation: 'file', error: 'unauthorized', times: 'always' },
    { kind: 'reset', operation: 'file', times: 'always' }
  ]
  for (const fault of odd) {
    const { generate, sandbox } = await start(t)
    const bought = await generate(seeded)
    const looks = sandbox.faults.add(fault)
    for (let n = 0; n < 2; n += 1) {
      const hit = await generate(seeded)
      t.match(statusOf(hit), /^falgate; hit/)
      t.equal(hit.text, bought.text)
    }
    t.equal(looks.hits, 1)
    t.equal(sandbox.bill.accepted, 1)
    looks.remove()
  }
})

t.test('of a file that is stored here nobody asks the upstream', async t => {
  const { generate, sandbox } = await start(t, { env: { MEDIA_DIR: `${t.testdir({})}/media` } })
  await generate(seeded)
  const looks = sandbox.faults.add(vanished)
  t.match(statusOf(await generate(seeded)), /^falgate; hit/)
  t.equal(looks.hits, 0)
})

t.test('one that could not be stored is looked at where it is', async t => {
  const { generate, sandbox } = await start(t, { env: { MEDIA_DIR: `${t.testdir({})}/media` } })
  const fault = sandbox.faults.add(vanished)
  await generate(seeded)
  t.equal(fault.hits, 1, 'it was to be stored')
  t.equal(statusOf(await generate(seeded)), 'falgate; fwd=stale; stored; detail=dead-link')
})
