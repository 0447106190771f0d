// fal's clients repeat what got no answer, purchases too, and nothing in a repeated request says that it is one. It has to cost nothing all the same.

import { createFalClient, type FalClient } from '@fal-ai/client'
import t, { type Test } from 'tap'
import { onePicture } from '../support/fal/one-picture.ts'
import { pythonWithFalClient } from '../support/fal/python.ts'
import { STUDIO_KEY } from '../support/gateway.ts'
import { deploy, USUAL_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

t.setTimeout(600_000)

const MODEL = 'fal-ai/imagen4/preview/ultra'

/** The first line of each call's requests. */
const calls = {
  run: /^POST \/fal\/fal-ai\//,
  submit: /^POST \/fal\/queue\//,
  status: /^GET \S+\/status\?/,
  stream: /^GET \S+\/status\/stream\?/,
  result: /^GET \S+\/requests\/[0-9a-f-]{36} /,
  cancel: /^PUT \S+\/cancel /
} as const

interface Scene { readonly deployment: Deployment, readonly replica: Replica, readonly proxy: TcpProxy, readonly base: string }

/** Jobs that are there to be cancelled when somebody tries to. */
async function scene (t: Test): Promise<Scene> {
  const deployment = await deploy(t, { env: USUAL_LEASE, sandbox: { queueMs: 100, runMs: 400 } })
  const replica = await deployment.startReplica()
  const proxy = await startTcpProxy(t, Number(new URL(replica.base).port))
  return { deployment, replica, proxy, base: `http://127.0.0.1:${proxy.port}` }
}

/** Cuts the connection of the next such call: a purchase before its answer can go out, any other when its answer comes. */
async function cutOne ({ proxy }: Scene, call: keyof typeof calls): Promise<void> {
  await (call === 'run' || call === 'submit' ? proxy.cutBehind(calls[call]) : proxy.loseAnswerTo(calls[call]))
}

function clientAt (base: string): FalClient {
  return createFalClient({
    credentials: STUDIO_KEY,
    requestMiddleware: async request => ({ ...request, url: request.url.replace('https://queue.fal.run', `${base}/fal/queue`).replace('https://fal.run', `${base}/fal`) })
  })
}

async function assertBoughtOnce (t: Test, { deployment, replica }: Scene, units = 1): Promise<void> {
  const { submits, accepted, billedUnits } = deployment.sandbox.bill
  t.same({ submits, accepted, billedUnits }, { submits: 1, accepted: 1, billedUnits: units })
  const { generations } = (await replica.get('/generations')).json()
  t.equal([generations].flat().length, 1, 'there is one generation')
}

const unseeded = { prompt: 'made once, whatever is lost' }

t.test('JavaScript: the answer of each call in turn is lost after the gateway got it', async t => {
  for (const call of ['run', 'submit', 'status', 'stream', 'result'] as const) {
    await t.test(call, async t => {
      const at = await scene(t)
      const client = clientAt(at.base)
      const cut = cutOne(at, call)
      const how = call === 'stream' ? { mode: 'streaming' } as const : { pollInterval: 50 }
      const made = call === 'run' ? client.run(MODEL, { input: unseeded }) : client.subscribe(MODEL, { input: unseeded, ...how })
      await cut
      t.match((await made).data, { images: [{ url: /^http/ }] })
      await assertBoughtOnce(t, at)
    })
  }

  await t.test('cancel', async t => {
    const at = await scene(t)
    const client = clientAt(at.base)
    const { request_id: requestId } = await client.queue.submit(MODEL, { input: unseeded })
    await at.deployment.sandbox.bill.untilAccepted(1)
    const cut = cutOne(at, 'cancel')
    await Promise.all([cut, client.queue.cancel(MODEL, { requestId })])
    await client.queue.subscribeToStatus(MODEL, { requestId, pollInterval: 50 })
    t.equal(await client.queue.result(MODEL, { requestId }).catch((error: unknown) => Reflect.get(Object(error), 'status')), 499)
    await assertBoughtOnce(t, at, 0)
  })
})

t.test('JavaScript: a synchronous call loses its connection while the picture is made', async t => {
  const at = await scene(t)
  const release = at.deployment.sandbox.faults.holdJobs()
  const made = clientAt(at.base).run(MODEL, { input: unseeded })
  const { id, connection: first } = await at.deployment.untilGeneration(({ requestId }) => requestId !== null)
  at.proxy.setOpen(false)
  at.proxy.setOpen(true)
  // The retry is reattached to what is under way.
  await until(async () => {
    const [row] = await at.deployment.ledger.getMany([id])
    return row !== undefined && row.connection !== null && row.connection.connection !== first?.connection
  })
  release()
  t.match((await made).data, { images: [{ url: /^http/ }] })
  await assertBoughtOnce(t, at)
})

t.test('Python: the answer of each call in turn is lost after the gateway got it', async t => {
  const found = await pythonWithFalClient()
  if ('missing' in found) {
    t.fail(found.missing)
    return
  }
  for (const call of ['run', 'submit', 'status', 'result', 'cancel'] as const) {
    await t.test(call, async t => {
      const at = await scene(t)
      const cut = cutOne(at, call)
      const made = onePicture({ python: found.python, call, base: at.base, model: MODEL, input: unseeded })
      await Promise.all([cut, made])
      if (call === 'cancel') t.equal(await made, null)
      else t.match(await made, { images: [{ url: /^http/ }] })
      await assertBoughtOnce(t, at, call === 'cancel' ? at.deployment.sandbox.bill.billedUnits : 1)
    })
  }
})

t.test('two identical requests whose callers are both there are two pictures', async t => {
  const at = await scene(t)
  const client = clientAt(at.base)
  const [one, other] = await Promise.all([client.subscribe(MODEL, { input: unseeded, pollInterval: 50 }), client.subscribe(MODEL, { input: unseeded, pollInterval: 50 })])
  t.not(one.requestId, other.requestId)
  t.equal(at.deployment.sandbox.bill.accepted, 2)
})
