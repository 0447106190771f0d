// Webhooks of a deployment: two replicas with real money on one Redis, behind an egress proxy, and a receiver with TLS. Every word arrives, whichever replica dies.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { makeCertificate } from '../support/fal/certificate.ts'
import { tenant } from '../support/gateway.ts'
import { signatureOf, startEgress, startReceiver } from '../support/receiver.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'
import { workFolder } from '../support/world.ts'

const SECRET = `whsec_${Buffer.alloc(32, 'studio').toString('base64')}`

// A delivery whose process died is another one's after a minute.
t.setTimeout(300_000)

t.test('a replica that is killed while it sends leaves the word to the other one, through the proxy and by the name that the tenant lists', async t => {
  const folder = workFolder(t)
  writeFileSync(join(folder, 'secrets'), SECRET)
  const certificate = makeCertificate(t, folder, ['hooks.example'])
  const receiver = await startReceiver(t, (response, ordinal) => { if (ordinal > 1) response.writeHead(204).end() }, certificate)
  const port = Number(new URL(receiver.url).port)
  const { ledger, startReplica } = await deploy(t, { tenants: { tenants: [tenant('studio', { webhooks: ['hooks.example'], webhookSecretFile: join(folder, 'secrets') })] } })
  const sides = await Promise.all([0, 1].map(async () => {
    const egress = await startEgress(t, { 'hooks.example:443': port })
    return { egress, replica: await startReplica({ HTTPS_PROXY: egress.url, NODE_EXTRA_CA_CERTS: certificate.caFile }) }
  }))
  const reply = await sides[0]?.replica.generate({ prompt: 'x', seed: 1 }, { headers: { 'falgate-webhook': 'https://hooks.example/pictures?team=a' } })
  t.equal(reply?.status, 200)
  await receiver.until(1)
  const sending = sides.find(({ egress }) => egress.asked.length > 0)
  const other = sides.find(side => side !== sending)
  sending?.replica.child.kill('SIGKILL')
  await sending?.replica.ended
  const told = await receiver.until(2)
  t.same(other?.egress.asked, ['hooks.example:443'])
  t.equal(new Set(told.map(({ headers }) => headers['webhook-id'])).size, 1, 'the same word')
  for (const one of told) {
    t.match(new Webhook(SECRET).verify(one.raw, signatureOf(one)), { type: 'generation.succeeded', data: { id: reply?.headers.get('falgate-generation') } })
    t.equal(one.url, '/pictures?team=a')
  }
  await until(async () => (await ledger.hooks({ tenant: null, stuck: false, limit: 10 })).length === 0, { what: 'nothing is left to be told' })
  t.same(await ledger.audit(), [])
})
