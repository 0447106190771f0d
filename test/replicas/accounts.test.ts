// Several accounts at fal: generations go to the one that has room, a blocked one is left out, and what was begun with one is followed with its key, by whichever replica.

import { writeFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { mainLine, queueOf, ROTATED_KEY, secondLine, SECOND_KEY } from '../support/accounts.ts'
import { CENTRAL_KEY, type Reply } from '../support/gateway.ts'
import { freePort } from '../support/processes.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy, LONG_LEASE, USUAL_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { startSandbox, type RunningSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

interface Accounts extends Deployment {
  readonly second: RunningSandbox
  /** Keys that the second account takes; may be changed. */
  readonly secondKeys: string[]
  readonly writeKeys: (...lines: readonly string[]) => void
  readonly startBoth: (env?: Readonly<Record<string, string>>) => Promise<Replica>
  /** A replica that has the key of the account `main` alone. */
  readonly startMain: (env?: Readonly<Record<string, string>>) => Promise<Replica>
}

async function accountsOf (t: Test, env: Readonly<Record<string, string>>): Promise<Accounts> {
  const deployment = await deploy(t, { env, sandbox: { concurrency: 100 } })
  const secondKeys = [SECOND_KEY]
  const second = await startSandbox(t, { keys: secondKeys, concurrency: 100 })
  const queue = await queueOf(t, deployment.sandbox, second)
  const keyFile = deployment.tenantsFile + '.keys'
  const writeKeys = (...lines: readonly string[]): void => { writeFileSync(keyFile, lines.join('\n') + '\n') }
  writeKeys('# both', mainLine, secondLine)
  return {
    ...deployment,
    second,
    secondKeys,
    writeKeys,
    startBoth: async (env = {}) => await deployment.startReplica({ FAL_KEY: '', FAL_KEY_FILE: keyFile, FAL_QUEUE_URL: queue, ...env }),
    startMain: async (env = {}) => await deployment.startReplica({ FAL_QUEUE_URL: queue, ...env })
  }
}

function pictures (replica: Replica, count: number, from = 0): Promise<readonly (Reply | null)[]> {
  return Promise.all(Array.from({ length: count }, async (_, nth) => await replica.generate({ prompt: 'a picture', seed: from + nth }).catch(() => null)))
}

async function used ({ ledger }: Deployment): Promise<readonly number[]> {
  return (await ledger.gauges()).accounts.map(({ used }) => used)
}

async function running ({ ledger }: Deployment): Promise<number> {
  return (await ledger.list({ tenant: 'studio', subject: '' }, { limit: 100, cursor: null, status: 'running' })).rows.filter(({ phase }) => phase === 'running').length
}

t.test('work is shared: each account has no more than its slots, what is more waits, and everything is bought once', async t => {
  const deployment = await accountsOf(t, { ...USUAL_LEASE, FAL_CONCURRENCY: '4' })
  const { sandbox, second, ledger, startBoth, writeKeys } = deployment
  writeKeys(mainLine, `${secondLine} concurrency=2`)
  const opsPort = String(await freePort())
  const replica = await startBoth({ OPS_PORT: opsPort })
  const releases = [sandbox.faults.holdJobs(), second.faults.holdJobs()]
  const calls = pictures(replica, 8)
  await until(async () => (await running(deployment)) === 6)
  t.same(await used(deployment), [4, 2])
  t.same([sandbox.bill.accepted, second.bill.accepted], [4, 2])
  const metrics = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text()
  for (const line of ['falgate_slots{account="main"} 4', 'falgate_slots{account="second"} 2', 'falgate_slots_used{account="second"} 2', 'falgate_upstream_state{account="second",state="ok"} 1']) t.ok(metrics.includes(line), line)
  for (const release of releases) release()
  t.same((await calls).map(reply => reply?.status), Array(8).fill(200))
  t.equal(sandbox.bill.accepted + second.bill.accepted, 8)
  t.equal(sandbox.bill.billedUnits + second.bill.billedUnits, 8)
  t.same(await used(deployment), [0, 0])
  t.same(await ledger.audit(), [])
})

t.test('a blocked account is left out and nobody notices; SIGHUP lets one try, and it is bought with again', async t => {
  const { sandbox, second, ledger, startBoth } = await accountsOf(t, { ...USUAL_LEASE, BREAKER_BLOCKED_SECONDS: '3600' })
  const opsPort = String(await freePort())
  const replica = await startBoth({ OPS_PORT: opsPort })
  const locked = second.faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  t.same((await pictures(replica, 20)).map(reply => reply?.status), Array(20).fill(200))
  t.equal(second.bill.accepted, 0)
  t.equal(sandbox.bill.accepted, 20)
  await until(async () => (await (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).text()).includes('account-blocked'))
  const ready: unknown = await (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).json()
  t.match(ready, { state: 'ready', accounts: ['main', 'second'], breakers: [{ scope: 'account:second', account: 'second', state: 'account-blocked' }] })
  t.match(await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text(), /^falgate_upstream_state\{account="second",state="account-blocked"\} 1$/m)

  locked.remove()
  replica.child.kill('SIGHUP')
  let seed = 100
  await until(async () => {
    await pictures(replica, 1, seed++)
    return replica.log().includes('fal takes generations again')
  })
  t.not(second.bill.accepted, 0)
  t.match((await ledger.breakers()).find(({ scope }) => scope === 'account:second'), { state: 'ok' })
  t.same(await ledger.audit(), [])
})

t.test('when all accounts are blocked, callers are refused as with one', async t => {
  const { sandbox, second, startBoth } = await accountsOf(t, { ...USUAL_LEASE, BREAKER_BLOCKED_SECONDS: '3600' })
  const replica = await startBoth()
  for (const each of [sandbox, second]) each.faults.add({ kind: 'answer', operation: 'submit', error: 'locked', times: 'always' })
  const first = await replica.generate({ prompt: 'x', seed: 1 })
  t.match([first.status, first.json()['code']], [503, 'upstream-account-blocked'])
  t.equal(sandbox.bill.submits + second.bill.submits, 2, 'it was tried with both')
  const next = await replica.generate({ prompt: 'x', seed: 2 })
  t.match([next.status, next.json()['code']], [503, 'upstream-account-blocked'])
  t.equal(sandbox.bill.submits + second.bill.submits, 2)
})

t.test('an owner is killed: another replica follows what was begun with each account with that one\'s key, and nothing is bought twice', async t => {
  const deployment = await accountsOf(t, LONG_LEASE)
  const { sandbox, second, ledger, startBoth } = deployment
  const releases = [sandbox.faults.holdJobs(), second.faults.holdJobs()]
  const killed = await startBoth()
  const first = pictures(killed, 8)
  await until(async () => (await running(deployment)) === 8)
  t.same([sandbox.bill.accepted, second.bill.accepted], [4, 4])
  killed.child.kill('SIGKILL')
  await killed.ended
  t.ok((await first).every(reply => reply === null))
  const next = await startBoth()
  for (const release of releases) release()
  t.same((await pictures(next, 8)).map(reply => reply?.status), Array(8).fill(200))
  t.same([sandbox.bill.accepted, second.bill.accepted], [4, 4])
  t.same(await ledger.audit(), [])
})

t.test('a replica without an account\'s key leaves alone what was begun with it, and one that has it goes on', async t => {
  const deployment = await accountsOf(t, {})
  const { sandbox, second, ledger, startBoth, startMain } = deployment
  const releases = [sandbox.faults.holdJobs(), second.faults.holdJobs()]
  const killed = await startBoth()
  pictures(killed, 4)
  await until(async () => (await running(deployment)) === 4)
  killed.child.kill('SIGKILL')
  await killed.ended
  const poor = await startMain()
  for (const release of releases) release()
  const { rows } = await ledger.list({ tenant: 'studio', subject: '' }, { limit: 10, cursor: null, status: null })
  const ofSecond = (await ledger.getMany(rows.map(({ id }) => id))).filter(({ upstream }) => upstream === 'fal second').map(({ id }) => id)
  t.equal(ofSecond.length, 2)
  await until(async () => (await used(deployment))[0] === 0)
  // By now it has looked at all that is due, since it has taken over and ended what it can follow.
  t.same((await ledger.getMany(ofSecond)).map(({ phase }) => phase), ['running', 'running'])
  t.notMatch(poor.log(), /looking again/)
  const rich = await startBoth()
  await until(async () => (await ledger.getMany(ofSecond)).every(({ phase }) => phase === 'succeeded'))
  t.same([sandbox.bill.accepted, second.bill.accepted], [2, 2])
  t.equal((await rich.generate({ prompt: 'a picture', seed: 0 })).headers.get('falgate-cost-usd'), '0')
  t.same(await ledger.audit(), [])
})

t.test('SIGHUP: a key is rotated, an account is taken away and added again, and what runs meanwhile is followed to its end', async t => {
  const deployment = await accountsOf(t, { ...USUAL_LEASE, FAL_CONCURRENCY: '2' })
  const { sandbox, second, secondKeys, ledger, startBoth, writeKeys } = deployment
  const replica = await startBoth()
  const hold = (): Array<() => void> => [sandbox.faults.holdJobs(), second.faults.holdJobs()]

  let releases = hold()
  const first = pictures(replica, 4)
  await until(async () => (await running(deployment)) === 4)
  secondKeys.splice(0, 1, ROTATED_KEY)
  writeKeys(mainLine, `second ${ROTATED_KEY}`)
  replica.child.kill('SIGHUP')
  for (const release of releases) release()
  t.same((await first).map(reply => reply?.status), Array(4).fill(200), 'the new key follows what the old one bought')
  t.equal(second.bill.accepted, 2)

  releases = hold()
  const others = pictures(replica, 4, 10)
  await until(async () => (await running(deployment)) === 4)
  writeKeys(mainLine)
  replica.child.kill('SIGHUP')
  await until(() => replica.log().includes('accounts of fal taken away'))
  for (const release of releases) release()
  t.same((await others).map(reply => reply?.status), Array(4).fill(200), 'what runs is followed to its end')
  t.equal(second.bill.accepted, 4)
  t.same((await pictures(replica, 4, 20)).map(reply => reply?.status), Array(4).fill(200))
  t.equal(second.bill.accepted, 4, 'nothing more is bought with it')

  writeKeys(mainLine, 'second')
  replica.child.kill('SIGHUP')
  await until(() => replica.log().includes('key file refused'))
  writeKeys(mainLine, `second ${ROTATED_KEY}`)
  replica.child.kill('SIGHUP')
  await until(() => replica.log().includes('accounts of fal added'))
  t.same((await pictures(replica, 4, 30)).map(reply => reply?.status), Array(4).fill(200))
  t.not(second.bill.accepted, 4)
  t.same(await ledger.audit(), [])
})

t.test('no key reaches log, metrics, answers or the ledger', async t => {
  const { second, startBoth, operatorEnv } = await accountsOf(t, { ...USUAL_LEASE, LOG_LEVEL: 'trace' })
  const opsPort = String(await freePort())
  const replica = await startBoth({ OPS_PORT: opsPort })
  second.faults.add({ kind: 'answer', operation: 'submit', error: 'unauthorized' })
  await pictures(replica, 6)
  const said = [replica.log(), ...await Promise.all(['metrics', 'readyz'].map(async path => await (await fetch(`http://127.0.0.1:${opsPort}/${path}`)).text()))]
  const redis = new Redis(await redisUrl())
  t.teardown(() => { redis.disconnect() })
  for (const key of await redis.keys(`{${operatorEnv['REDIS_NAMESPACE']}}:*`)) {
    const dump = await redis.dumpBuffer(key)
    said.push(dump?.toString('latin1') ?? '')
  }
  for (const secret of [CENTRAL_KEY, SECOND_KEY, 'central-key-secret', 'second-key-secret']) t.notOk(said.some(text => text.includes(secret)), secret)
})
