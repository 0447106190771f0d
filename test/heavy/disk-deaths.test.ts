// A gateway with its ledger on disk dies before and after every write, those of a checkpoint, too, and while every call to fal is under way; started again on the same folder it
// goes on.

import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { Operation } from '../../src/sandbox/fault-schema.ts'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { checkpointMoments, moments } from '../support/die-at-disk.ts'
import { times } from '../support/admission.ts'
import { patiently } from '../support/crowd.ts'
import { key, tenant, type Reply } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'
import { deploy, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'

const PRICE = 60_000

/** Who asks, and asks again: with a seed, or with an idempotency key. */
const callers = {
  seeded: { body: { prompt: 'a lighthouse', seed: 7 }, headers: {} },
  keyed: { body: { prompt: 'a lighthouse' }, headers: { 'idempotency-key': 'once' } }
} as const

type Who = keyof typeof callers

interface Place extends Deployment { readonly folder: string, readonly env: Readonly<Record<string, string>> }

/** A folder, a sandbox and a bill of its own. */
async function place (t: Test): Promise<Place> {
  const deployment = await deploy(t, {
    node: ['--import', join(projectDir, 'build/test/support/die-at-disk.js')],
    sandbox: { queueMs: 100, runMs: 100 },
    tenants: { budget: { usd: 1000, per: 'month' }, tenants: [tenant('studio', { budget: { usd: 10, per: 'month' } })] }
  })
  const folder = join(dirname(deployment.tenantsFile), 'ledger')
  return { ...deployment, folder, env: { REDIS_URL: '', REDIS_NAMESPACE: '', DATA_DIR: folder } }
}

/** Asks until the process that is asked is gone (`null`) or has answered. */
async function ask (replica: Replica, who: Who): Promise<Reply | null> {
  return await patiently(async () => await replica.generate(callers[who].body, { key: key('studio'), headers: callers[who].headers })).catch(() => null)
}

/**
 * Begins a story that ends with the process, at the latest when it has answered and idled for long enough to write what nobody waits for. Gives whether it died. With a
 * checkpoint it is one in which the first sync after the start fails: the admission is refused, asked for again, and a checkpoint is made meanwhile.
 */
async function diesOnItsWay ({ startReplica, env, folder }: Place, dieAt: string, who: Who, hasCheckpoint: boolean): Promise<{ readonly died: boolean, readonly answer: Reply | null }> {
  const doomed = await startReplica({ ...env, DIE_AT: dieAt, ...(hasCheckpoint ? { SYNC_FAILS: '2' } : {}) }).catch((error: unknown) => {
    if (String(error).includes('ended with null')) return null
    throw error
  })
  if (doomed === null) return { died: true, answer: null }
  const answer = await ask(doomed, who)
  const isOver = (): boolean => doomed.child.exitCode !== null || doomed.child.signalCode !== null
  if (hasCheckpoint) await until(async () => isOver() || (await readdir(folder)).some(name => name.endsWith('.snapshot')), { what: 'there is a checkpoint, or it died' })
  // A stop writes what is left, and may die of it.
  doomed.child.kill('SIGTERM')
  const { code } = await doomed.ended
  return { died: code !== 0, answer }
}

/** Another process on the same folder: what was asked for is there, or nobody knows; it was bought once at most, and every sum is the bill. */
async function goesOn (t: Test, here: Place, who: Who, first: Reply | null): Promise<void> {
  const { sandbox, startReplica, env, folder } = here
  const next = await startReplica(env)
  const again = await until(async () => {
    const reply = await ask(next, who)
    return reply !== null && (reply.status !== 504 || reply.json()['code'] !== 'still-running') && reply
  })
  const isKnown = again.status === 200
  if (!isKnown) t.match(again.json(), { code: 'outcome-unknown' }, 'who asks again is told that nobody knows')
  if (first !== null) t.equal(again.text, first.text, 'what was answered is answered again')
  t.ok(sandbox.bill.accepted <= 1, 'bought once at most')
  if (isKnown) t.equal(sandbox.bill.accepted, 1, 'a picture is paid for')
  next.child.kill('SIGTERM')
  t.equal((await next.ended).code, 0, 'it stops as usual')

  const { ledger } = await openDiskLedger({ folder, times, accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  const open = ledger.beside(null)
  const { rows } = await open.list({ tenant: 'studio', subject: '' }, { limit: 10, cursor: null, status: null })
  // What was refused because it could not be written down has left the line unspent.
  const refused = rows.filter(({ phase, cost }) => phase === 'failed' && cost === 0)
  t.same(rows.filter(row => !refused.includes(row)).map(({ phase }) => phase), [isKnown ? 'succeeded' : 'unknown'], 'one intent, one generation')
  const [own, company] = await open.balances([{ owner: 'studio', per: 'month' }, { owner: '*', per: 'month' }])
  const money = isKnown ? { held: 0, spent: sandbox.bill.billedUnits * PRICE } : { held: PRICE, spent: 0 }
  t.match(own, money, 'the money is the bill')
  t.match(company, money, 'and the company\'s')
  t.equal((await open.journal(0, Number.MAX_SAFE_INTEGER, 100)).reduce((sum, { amount }) => sum + amount, 0), PRICE, 'the journal explains it')
  t.match(await open.gauges(), { atUpstream: 0, asideBytes: 0 }, 'nothing is left behind')
  t.same(open.audit(), [], 'the audit is clean')
  await ledger.close()
}

t.jobs = 3
t.setTimeout(600_000)

const stories = [
  ...moments.flatMap(moment => [[moment, 'seeded', false], [moment, 'keyed', false]] as const),
  ...checkpointMoments.map(moment => [moment, 'seeded', true] as const)
]

/** How often it has to die at least: at a request's admission, acceptance and end and at the stop; of a checkpoint at what is on its way. */
function leastDeaths (moment: string, hasCheckpoint: boolean): number {
  return !hasCheckpoint ? 4 : moment.endsWith('rename') ? 1 : 2
}

for (const [moment, who, hasCheckpoint] of stories) {
  t.test(`killed ${moment}, each one after the other (${who}${hasCheckpoint ? ', with a checkpoint' : ''})`, { buffered: true }, async t => {
    let deaths = 0
    for (let [number, lives] = [1, false]; !lives; number += 1) {
      await t.test(`${moment} ${number}`, async t => {
        const here = await place(t)
        const { died, answer } = await diesOnItsWay(here, `${moment} ${number}`, who, hasCheckpoint)
        await goesOn(t, here, who, answer)
        if (died) deaths += 1
        else lives = true
      })
    }
    t.ok(deaths >= leastDeaths(moment, hasCheckpoint), `${deaths} deaths`)
  })
}

t.test('killed while a call to fal is under way', { buffered: true }, async t => {
  const calls: ReadonlyArray<readonly [Operation, boolean]> = [['submit', false], ['submit', true], ['stream', false], ['result', false]]
  for (const [operation, accepted] of calls) {
    await t.test(`${operation}${accepted ? ', accepted' : ''}`, async t => {
      const here = await place(t)
      const doomed = await here.startReplica(here.env)
      const hit = here.sandbox.faults.add({ kind: 'hang', operation, ...(accepted ? { accepted } : {}) })
      const answer = ask(doomed, 'seeded')
      await hit.untilHit()
      doomed.child.kill('SIGKILL')
      await doomed.ended
      here.sandbox.faults.clear()
      await goesOn(t, here, 'seeded', await answer)
    })
  }
})
