// What was changed between two starts on a folder, while pictures were at fal and in line, loses none of them and buys none twice.

import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { times } from '../support/admission.ts'
import { key, tenant } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'
import { deploy, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const PRICE = 60_000
const tenants = { tenants: [tenant('studio'), tenant('press')] }

interface Scene extends Deployment { readonly folder: string, readonly start: (env?: Readonly<Record<string, string>>) => Promise<Replica> }

async function scene (t: Test): Promise<Scene> {
  // What has to wait for the only place waits in line.
  const deployment = await deploy(t, { node: ['--import', join(projectDir, 'build/test/support/shift-clock.js')], env: { FAL_CONCURRENCY: '1', REDIS_URL: '', REDIS_NAMESPACE: '' }, tenants })
  const folder = join(dirname(deployment.tenantsFile), 'ledger')
  return { ...deployment, folder, start: async env => await deployment.startReplica({ DATA_DIR: folder, ...env }) }
}

const keyed = { 'idempotency-key': 'once', prefer: 'respond-async' }

/** A picture is at fal and another one in line when it is killed. Gives their ids, and a function that lets fal go on. */
async function killedAtWork ({ sandbox, start }: Scene, env: Readonly<Record<string, string>> = {}): Promise<{ readonly ids: readonly string[], readonly release: () => void }> {
  const first = await start(env)
  const release = sandbox.faults.holdJobs()
  const running = await first.generate({ prompt: 'at fal' }, { headers: keyed })
  const inLine = await first.generate({ prompt: 'in line', seed: 7 }, { headers: { prefer: 'respond-async' } })
  const ids = [running, inLine].map(reply => String(reply.json()['id']))
  await until(async () => (await first.get(`/generations/${ids[0]}`)).json()['status'] === 'running', { what: 'it is at fal' })
  first.child.kill('SIGKILL')
  await first.ended
  return { ids, release }
}

async function checkBooks (t: Test, { folder, sandbox }: Scene, replica: Replica, pictures: number): Promise<void> {
  replica.child.kill('SIGTERM')
  t.equal((await replica.ended).code, 0)
  const { ledger } = await openDiskLedger({ folder, times, accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  const open = ledger.beside(null)
  t.match([sandbox.bill.accepted, sandbox.bill.billedUnits], [pictures, pictures], 'each is bought once')
  const journal = await open.journal(0, Number.MAX_SAFE_INTEGER, 100)
  t.equal(journal.reduce((sum, { amount }) => sum + amount, 0), pictures * PRICE, 'the journal is the bill')
  t.match(await open.gauges(), { atUpstream: 0, unknownOpen: 0 })
  t.same(open.audit(), [])
  await ledger.close()
}

t.jobs = 2
t.setTimeout(600_000)

t.test('a tenant that is taken out of the file: what it has at fal and in line is made and booked, and is there when the tenant is back', { buffered: true }, async t => {
  const here = await scene(t)
  const { ids, release } = await killedAtWork(here)
  await writeFile(here.tenantsFile, JSON.stringify({ tenants: [tenant('press')] }))
  const second = await here.start()
  release()
  t.equal((await second.get(`/generations/${ids[0]}`)).status, 401)
  await until(() => here.sandbox.bill.billedUnits === 2, { what: 'both are made' })
  t.equal((await second.generate({ prompt: 'of others' }, { key: key('press') })).status, 200)
  second.child.kill('SIGKILL')
  await second.ended
  await writeFile(here.tenantsFile, JSON.stringify(tenants))
  const third = await here.start()
  await until(async () => (await Promise.all(ids.map(async id => (await third.get(`/generations/${id}`)).json()['status']))).every(status => status === 'succeeded'), { what: 'both are there' })
  t.equal((await third.generate({ prompt: 'at fal' }, { headers: { 'idempotency-key': 'once' } })).status, 200, 'and its key answers')
  await checkBooks(t, here, third, 3)
})

for (const [title, shiftMs] of [['set back by an hour', -3_600_000], ['set back by two months', -61 * 86_400_000], ['set forward by ten minutes', 600_000]] as const) {
  t.test(`a clock that was ${title}: what is at fal and in line is made, keys and stored results answer, nothing is bought twice`, { buffered: true }, async t => {
    const here = await scene(t)
    const { ids, release } = await killedAtWork(here)
    release()
    const second = await here.start({ CLOCK_SHIFT_MS: String(shiftMs) })
    await until(async () => (await Promise.all(ids.map(async id => (await second.get(`/generations/${id}`)).json()['status']))).every(status => status === 'succeeded'), { what: 'both are there' })
    t.equal((await second.generate({ prompt: 'at fal' }, { headers: { 'idempotency-key': 'once' } })).status, 200)
    t.equal((await second.generate({ prompt: 'in line', seed: 7 })).status, 200)
    t.equal(second.log().includes('the ledger has seen a later time than this machine'), shiftMs < 0, 'a ledger that is ahead of its machine says so')
    t.match((await second.get('/usage')).json(), { month: { spent_usd: 0.12, reserved_usd: 0 } }, 'and the month is that of the ledger')
    await checkBooks(t, here, second, 2)
  })
}
