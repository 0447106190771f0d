// The sandbox and fal, or two accounts, by mistake on one Redis: the second one stays away from the first one's money.

import t, { type Test } from 'tap'
import type { Generation } from '../../src/generation/generation.ts'
import { runHere } from '../support/cli.ts'
import { buyingNothing, keyless, waitingGeneration } from '../support/foreign.ts'
import { deploy, type Deployment } from '../support/replicas.ts'
import { startSandbox } from '../support/sandbox.ts'
import { until } from '../support/until.ts'

/** Why a process did not start. */
async function whyNot ({ startReplica }: Deployment, env: Readonly<Record<string, string>>): Promise<string> {
  return await startReplica(env).then(({ base }) => `started at ${base}`, (error: unknown) => error instanceof Error ? error.message : '')
}

/** That nobody has touched it, and nothing was bought. */
async function assertUntouched (t: Test, { ledger, sandbox }: Deployment, row: Generation): Promise<void> {
  t.match(await ledger.getMany([row.id]), [{ phase: 'waiting', version: row.version, attempt: 0 }])
  t.match(await ledger.balances([{ owner: 'studio', per: 'month' }]), [{ spent: 0 }])
  t.equal(sandbox.bill.submits, 0)
}

const takeAnother = /another REDIS_NAMESPACE or Redis/

for (const [title, first, seconds] of [
  ['a sandbox, or another account, on production\'s Redis does not start, and production\'s waiting picture waits for production', {}, [
    [keyless, /that of fal, account main, and this process is set to the sandbox.*set FAL_KEY/],
    [{ FAL_ACCOUNT: 'another' }, /that of fal, account main, and this process is set to fal, account another.*set FAL_ACCOUNT=main/]
  ]],
  ['a real gateway on a trial\'s Redis does not start, and the trial\'s waiting picture is not bought', keyless, [
    [{}, /that of the sandbox, account main, and this process is set to fal.*play money and drawn pictures/]
  ]]
] as const) {
  t.test(title, async t => {
    const scene = await deploy(t)
    const row = await waitingGeneration(await scene.startReplica({ ...first, ...buyingNothing }), scene)
    for (const [second, why] of seconds) {
      const reason = await whyNot(scene, second)
      t.match(reason, /^ended with 1: falgate: REDIS_URL, REDIS_NAMESPACE=/)
      t.match(reason, why)
      t.match(reason, takeAnother)
      const checked = await runHere(['check'], { ...scene.operatorEnv, FAL_KEY: 'a:b', TENANTS_FILE: scene.tenantsFile, ...second })
      t.same(checked, { code: 1, stdout: '', stderr: reason.replace('ended with 1: ', '') }, 'check says the same')
    }
    await assertUntouched(t, scene, row)
  })
}

t.test('a rotated key and another way to fal are no other account', async t => {
  const scene = await deploy(t)
  const egress = await startSandbox(t, { keys: ['rotated:key'] })
  const one = await scene.startReplica(buyingNothing)
  const row = await waitingGeneration(one, scene)
  await scene.startReplica({ FAL_KEY: 'rotated:key', FAL_QUEUE_URL: `${egress.base}/queue` })
  await until(async () => (await scene.ledger.getMany([row.id]))[0]?.phase === 'succeeded')
  t.match(await scene.ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 60_000 }])
})

t.test('going live on the trial\'s ledger is refused; under a namespace of its own it begins with nothing spent and nothing drawn', async t => {
  const scene = await deploy(t)
  const trial = await scene.startReplica(keyless)
  t.equal((await trial.generate({ prompt: 'x', seed: 1 })).status, 200)
  trial.child.kill('SIGTERM')
  await trial.ended
  t.match(await whyNot(scene, {}), /play money and drawn pictures/)
  const live = await scene.startReplica({ REDIS_NAMESPACE: `${scene.operatorEnv['REDIS_NAMESPACE']}-live` })
  const reply = await live.generate({ prompt: 'x', seed: 1 })
  t.match([reply.status, reply.headers.get('cache-status')], [200, /fwd=miss/])
  t.equal(scene.sandbox.bill.submits, 1)
})
