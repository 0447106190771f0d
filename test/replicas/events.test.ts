// Event streams over replicas: whichever serves one, the story goes on elsewhere when it stops or dies, with no line twice.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { followAt, type ReadStream } from '../support/event-stream.ts'
import { STUDIO_KEY } from '../support/gateway.ts'
import { deploy, ownerAmong, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

interface Scene extends Deployment {
  readonly owner: Replica
  readonly other: Replica
  readonly id: string
  readonly release: () => void
  /** Follows it at the replica that owns it, to where it runs and has logged. */
  readonly stream: ReadStream
}

async function followedAtOwner (t: Parameters<typeof deploy>[0]): Promise<Scene> {
  const deployment = await deploy(t)
  const { sandbox, startReplica, untilGeneration } = deployment
  const replicas = await Promise.all([startReplica(), startReplica()])
  const release = sandbox.faults.holdJobs()
  const reply = await replicas[0].generate({ prompt: 'a story', seed: 1 }, { headers: { prefer: 'respond-async' } })
  const id = String(reply.json()['id'])
  const row = await untilGeneration(({ phase, logged }) => phase === 'running' && logged === 1)
  const { owner, others: [other] } = ownerAmong(replicas, row)
  if (other === undefined) throw new Error('there is no other replica')
  const stream = await followAt(owner.base, id)
  await until(() => stream.told('log').length === 1 && stream.told('generation').length > 0)
  return { ...deployment, owner, other, id, release, stream }
}

t.test('any replica tells the story of a generation that another one looks after', async t => {
  const { other, id, release, stream } = await followedAtOwner(t)
  const elsewhere = await followAt(other.base, id)
  await until(() => elsewhere.told('log').length === 1)
  release()
  await Promise.all([stream.over, elsewhere.over])
  t.same(elsewhere.told('log'), stream.told('log'))
  for (const one of [stream, elsewhere]) t.match(one.told('generation').at(-1), { status: 'succeeded', output: { images: [{}] } })
})

t.test('the replica stops: its stream ends, and goes on at another with no line twice', async t => {
  const { owner, other, id, release, stream, sandbox, ledger } = await followedAtOwner(t)
  owner.child.kill('SIGTERM')
  await stream.over
  t.equal(stream.comments.at(-1), 'this process shuts down, connect again')
  const next = await followAt(other.base, id, { lastEventId: stream.events.at(-1)?.id ?? '' })
  await until(async () => (await ledger.getMany([id]))[0]?.owner === other.name)
  release()
  await next.over
  t.same(next.told('log'), [], 'all lines were told before')
  t.match(next.told('generation').at(-1), { status: 'succeeded' })
  t.equal(sandbox.bill.submits, 1)
  t.same(await ledger.audit(), [])
})

t.test('the replica is killed: the same, and the replica that takes the generation over tells no line again', async t => {
  const { owner, other, id, release, stream, sandbox, ledger } = await followedAtOwner(t)
  owner.child.kill('SIGKILL')
  await t.rejects(stream.over)
  const next = await followAt(other.base, id, { lastEventId: stream.events.at(-1)?.id ?? '' })
  await until(async () => (await ledger.getMany([id]))[0]?.owner === other.name)
  release()
  await next.over
  t.same(next.told('log'), [])
  t.match(next.told('generation').at(-1), { status: 'succeeded' })
  t.match((await ledger.getMany([id]))[0], { logged: 1, takeovers: 1 })
  t.equal((await followAt(other.base, id, { lastEventId: next.events.at(-1)?.id ?? '' })).status, 204)
  t.equal(sandbox.bill.submits, 1)
})

t.test('readers that hang up while the ledger is asked leave nothing behind', async t => {
  const { sandbox, startReplica } = await deploy(t)
  const gateway = await startReplica()
  const release = sandbox.faults.holdJobs()
  const id = String((await gateway.generate({ prompt: 'a story', seed: 1 }, { headers: { prefer: 'respond-async' } })).json()['id'])
  const { hostname, port } = new URL(gateway.base)
  for (const path of [`/generations/${id}/events`, `/fal/queue/fal-ai/imagen4/requests/${id}/status/stream`]) {
    for (let nth = 0; nth < 50; nth++) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Key ${STUDIO_KEY}\r\n\r\n`, () => { socket.resetAndDestroy() })
      await once(socket, 'close')
    }
  }
  // One that stays is counted alone in the end.
  const stays = await followAt(gateway.base, id)
  await until(async () => /^falgate_event_streams 1$/m.test((await gateway.get('/metrics')).text))
  release()
  await stays.over
  await until(async () => /^falgate_event_streams 0$/m.test((await gateway.get('/metrics')).text))
})
