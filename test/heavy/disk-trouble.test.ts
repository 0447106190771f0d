// A gateway whose folder takes nothing any more, and later does again: nothing is bought meanwhile, what runs goes on, callers who wait get their pictures, and then the books
// have it all.

import { rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { times } from '../support/admission.ts'
import { tenant, type Reply } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'
import { freePort } from '../support/processes.ts'
import { deploy, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const PRICE = 60_000

interface Trouble {
  readonly says: string
  readonly fault: 'disk-full' | 'disk-failing'
  readonly begin: (where: Where) => Promise<void>
  readonly end: (where: Where) => Promise<void>
}

interface Where { readonly folder: string, readonly faultFile: string }

const broken = (says: string, fault: Trouble['fault'], code: string): Trouble => ({
  says,
  fault,
  begin: async ({ faultFile }) => { await writeFile(faultFile, code) },
  end: async ({ faultFile }) => { await writeFile(faultFile, '') }
})

const troubles: readonly Trouble[] = [
  broken('a disk that is full', 'disk-full', 'ENOSPC'),
  broken('a file system that became read-only', 'disk-failing', 'EROFS'),
  broken('a disk that fails', 'disk-failing', 'EIO'),
  {
    says: 'a folder that vanished',
    fault: 'disk-failing',
    begin: async ({ folder }) => { await rename(folder, `${folder}.away`) },
    end: async ({ folder }) => { await rename(`${folder}.away`, folder) }
  }
]

interface Scene extends Where {
  readonly sandbox: Awaited<ReturnType<typeof deploy>>['sandbox']
  readonly start: () => Promise<Serving>
}

interface Serving extends Replica { readonly ops: string }

async function scene (t: Test): Promise<Scene> {
  const { sandbox, tenantsFile, startReplica } = await deploy(t, {
    node: ['--import', join(projectDir, 'build/test/support/break-disk.js')],
    // What has to wait for the only place waits in line.
    env: { FAL_CONCURRENCY: '1', REDIS_URL: '', REDIS_NAMESPACE: '' },
    tenants: { tenants: [tenant('studio', { budget: { usd: 10, per: 'month' } })] }
  })
  const [folder, faultFile] = [join(dirname(tenantsFile), 'ledger'), join(dirname(tenantsFile), 'fault')]
  await writeFile(faultFile, '')
  const start = async (): Promise<Serving> => {
    const opsPort = await freePort()
    return { ops: `http://127.0.0.1:${opsPort}`, ...await startReplica({ DATA_DIR: folder, DISK_FAULT: faultFile, OPS_PORT: String(opsPort) }) }
  }
  return { faultFile, folder, sandbox, start }
}

const isRefused = (reply: Reply): boolean => reply.status === 503 && reply.json()['code'] === 'store-unavailable'
const ready = async ({ ops }: Serving): Promise<unknown> => await (await fetch(`${ops}/readyz`)).json()
/** The faults that the alert FalgateStoreUnfit goes by. */
const told = async ({ ops }: Serving): Promise<readonly string[]> =>
  [...(await (await fetch(`${ops}/metrics`)).text()).matchAll(/^falgate_store_fault\{fault="([^"]+)"\} 1$/gm)].map(([, fault = '']) => fault)
const picture = (seed: number): object => ({ prompt: 'a lighthouse', seed })

t.jobs = 4
t.setTimeout(600_000)

for (const trouble of troubles) {
  t.test(`${trouble.says}: nothing is bought, callers who wait get their pictures, what waits in line waits on, and later all of it is in the books`, { buffered: true }, async t => {
    const here = await scene(t)
    const { sandbox, start } = here
    const first = await start()
    const stored = await first.generate(picture(1))
    t.equal(stored.status, 200)
    const release = sandbox.faults.holdJobs()
    const running = first.generate(picture(2))
    await until(() => sandbox.bill.accepted === 2, { what: 'the second is at fal' })
    const inLine = await first.generate(picture(3), { headers: { prefer: 'respond-async' } })
    t.equal(inLine.status, 202)

    await trouble.begin(here)
    // Until it meets the trouble it may not know of it; what it answers so is in the folder.
    let bought = 0
    await until(async () => {
      const reply = await first.generate(picture(100 + bought), { headers: { prefer: 'respond-async' } })
      if (reply.status === 202) bought += 1
      return isRefused(reply)
    }, { what: 'nothing new is taken' })
    t.match(await ready(first), { store: 'down', store_faults: [trouble.fault] })
    t.same(await told(first), [trouble.fault], 'who is on call is told')
    t.match([(await first.generate(picture(1))).text, (await first.get(`/generations/${String(inLine.json()['id'])}`)).json()['status']], [stored.text, 'queued'], 'what is stored is given out, and what is in line is shown')
    release()
    const collected = await running
    t.equal(collected.status, 200, 'who waited has the picture')
    for (let times = 0; times < 3; times += 1) t.ok(isRefused(await first.generate(picture(4))), 'nothing is bought')
    t.equal(sandbox.bill.accepted, 2, 'and nothing was sent to fal')

    await trouble.end(here)
    await until(async () => Object(await ready(first)).store === 'up', { what: 'the folder takes writes again' })
    t.same(await told(first), [])
    const later = await until(async () => {
      const reply = await first.generate(picture(3))
      return !isRefused(reply) && reply
    })
    t.equal(later.status, 200, 'what waited in line is made')
    for (let number = 0; number < bought; number += 1) t.equal((await first.generate(picture(100 + number))).status, 200)
    t.equal((await first.generate(picture(4))).status, 200, 'and it buys again')
    t.equal(sandbox.bill.accepted, 4 + bought)
    first.child.kill('SIGKILL')
    await first.ended

    const second = await start()
    t.same((await Promise.all([1, 2, 3].map(async seed => await second.generate(picture(seed))))).map(({ text }) => text), [stored.text, collected.text, later.text], 'after a kill all of them are hits')
    t.equal(sandbox.bill.accepted, 4 + bought, 'and nothing is bought again')
    second.child.kill('SIGTERM')
    t.equal((await second.ended).code, 0)
    await checkBooks(t, here, 4 + bought)
  })
}

async function checkBooks (t: Test, { folder, sandbox }: Scene, pictures: number): Promise<void> {
  const { ledger } = await openDiskLedger({ folder, times, accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  const open = ledger.beside(null)
  t.equal(sandbox.bill.billedUnits, pictures)
  t.match(await open.balances([{ owner: 'studio', per: 'month' }]), [{ spent: pictures * PRICE, held: 0 }], 'the money is the bill')
  t.equal((await open.journal(0, Number.MAX_SAFE_INTEGER, 100)).reduce((sum, { amount }) => sum + amount, 0), pictures * PRICE, 'the journal explains it')
  t.same(open.audit(), [])
  await ledger.close()
}
