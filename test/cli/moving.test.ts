// Moving a ledger the user's way: stop, export --move, import, start. And whoever is killed on the way.

import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRedisLedger, type RedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'
import { parseObject } from '../support/gateway.ts'
import { runHere } from '../support/cli.ts'
import { generate, serve } from '../support/folder-gateway.ts'
import { cliFile } from '../support/paths.ts'
import { runCli, start } from '../support/processes.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

async function folderOf (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'falgate-moving-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

t.test('what runs at fal goes on in the ledger that it was moved to, by way of a folder, and is bought once', async t => {
  const world = await deploy(t, { sandbox: { runMs: 4000 } })
  const first = await world.startReplica()
  const caller = new AbortController()
  first.generate({ prompt: 'a lighthouse', seed: 7 }, { signal: caller.signal }).catch(() => {})
  const bought = await world.untilGeneration(row => row.requestId !== null)
  const folder = await folderOf(t)
  const [moved, again] = [join(folder, 'moved.jsonl'), join(folder, 'again.jsonl')]

  const early = await runCli(t, ['export', '--move', moved], world.operatorEnv)
  t.equal(early.code, 1)
  t.match(early.stderr, /gateways are running .*; stop all of them first/)
  caller.abort()
  first.child.kill('SIGTERM')
  await first.ended

  const data = { DATA_DIR: join(folder, 'data') }
  const other = { ...world.operatorEnv, REDIS_NAMESPACE: freshNamespace() }
  for (const [args, env] of [[['export', '--move', moved], world.operatorEnv], [['import', moved], data], [['export', '--move', again], data], [['import', again], other]] as const) {
    const { code, stderr } = await runCli(t, args, env)
    t.equal(code, 0, `falgate ${args.join(' ')}: ${stderr}`)
  }

  await t.rejects(world.startReplica(), /was moved away with falgate export --move/, 'no gateway starts on the old one')

  const next = await world.startReplica({ REDIS_NAMESPACE: other.REDIS_NAMESPACE })
  const status = await until(async () => {
    const { json } = await next.get(`/generations/${bought.id}`)
    return json()['status'] === 'succeeded' ? json() : null
  })
  t.ok(status)
  const hit = await next.generate({ prompt: 'a lighthouse', seed: 7 })
  t.equal(hit.status, 200)
  t.equal(world.sandbox.bill.accepted, 1, 'fal was asked once')
  const counted = await runCli(t, ['ledger', 'recount'], other)
  t.equal(counted.code, 0, counted.stdout)
})

/** A ledger on Redis in which there is something of everything, and its environment. */
async function filled (t: Test, count: number): Promise<{ readonly env: Readonly<Record<string, string>>, readonly ids: readonly string[] }> {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const ledger = await openLedger(t, url, namespace)
  const ids: string[] = []
  for (let nth = 0; nth < count; nth += 1) {
    const { id } = admissionOf()
    ids.push(id)
    await ledger.admit(admissionOf({ id, rate: { max: 10_000, windowSeconds: 60 }, maxQueued: 10_000 }))
    if (nth % 4 === 0) continue
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
  }
  const rows = await ledger.getMany(ids)
  for (const { id, phase } of rows) {
    if (phase !== 'submitting') continue
    await ledger.recordAccepted(id, 1, `request-${id}`)
    await ledger.finish(id, 1, `request-${id}`, successOf())
  }
  await ledger.release('r1', [])
  await ledger.close()
  return { env: { REDIS_URL: url, REDIS_NAMESPACE: namespace, FAL_ACCOUNT: 'main' }, ids }
}

async function openLedger (t: Test, url: string, namespace: string): Promise<RedisLedger> {
  const ledger = createRedisLedger({ url, namespace, times, account: { kind: 'fal', name: 'main' }, deadlineMs: 10_000 })
  t.teardown(ledger.close)
  await ledger.connect()
  return ledger
}

/** Runs a command and kills it after so long; gives whether it had ended by itself. */
async function killedAfter (t: Test, args: readonly string[], env: Readonly<Record<string, string>>, afterMs: number): Promise<boolean> {
  const { child, ended } = start(t, [cliFile, ...args], env)
  const timer = setTimeout(() => { child.kill('SIGKILL') }, afterMs)
  const { code } = await ended
  clearTimeout(timer)
  return code === 0
}

t.test('wherever an export or an import is killed, the ledger can be bought from in one place at most, and all of it arrives', async t => {
  for (let nth = 0; nth < 2; nth += 1) {
    const { env, ids } = await filled(t, 60)
    const path = join(await folderOf(t), 'ledger.jsonl')
    const target: Readonly<Record<string, string>> = nth % 2 === 0 ? { ...env, REDIS_NAMESPACE: freshNamespace() } : { DATA_DIR: join(await folderOf(t), 'data') }
    // From before its first call to after its end, on a machine of any speed.
    let kills = 0
    for (let afterMs = 150 + 40 * nth; !await killedAfter(t, ['export', '--move', path], env, afterMs) && !existsSync(path); afterMs += 150) kills += 1
    // Killed between the name of the file and the last mark, the ledger is marked as left all the same.
    const ledger = await openLedger(t, env['REDIS_URL'] ?? '', env['REDIS_NAMESPACE'] ?? '')
    await t.rejects(ledger.admit(admissionOf()), { code: 'foreign-ledger' }, 'nothing is bought in the old place')
    for (let afterMs = 150 + 40 * nth; !await killedAfter(t, ['import', path], target, afterMs); afterMs += 150) {
      const again = await runHere(['import', path], target)
      if (again.code === 0 || /there is a ledger already/.test(again.stderr)) break
      kills += 1
    }
    const back = nth % 2 === 1 ? join(await folderOf(t), 'back.jsonl') : null
    const final: Readonly<Record<string, string>> = back === null ? target : { ...env, REDIS_NAMESPACE: freshNamespace() }
    if (back !== null) {
      t.equal((await runHere(['export', '--move', back], target)).code, 0)
      t.equal((await runHere(['import', back], final)).code, 0)
    }
    const arrived = await openLedger(t, final['REDIS_URL'] ?? '', final['REDIS_NAMESPACE'] ?? '')
    t.equal((await arrived.getMany(ids)).length, ids.length, `all of it is there after ${kills} kills`)
    t.same(await arrived.audit(), [])
  }
})

t.test('what stands in the way is told in a sentence, and nothing is begun', async t => {
  const { env } = await filled(t, 1)
  const path = join(await folderOf(t), 'ledger.jsonl')
  for (const [args, given, expected] of [
    [['export', path], {}, /REDIS_URL, DATA_DIR: neither is set/],
    [['export', path], { ...env, DATA_DIR: '/tmp/nowhere' }, /DATA_DIR, REDIS_URL: the ledger is in one place/],
    [['export', path], { ...env, REDIS_NAMESPACE: freshNamespace() }, /there is no ledger/],
    [['export', join(path, 'file')], env, /file cannot be written: its folder is not there; make it, or choose another place, and run the command again/],
    [['import', path], { ...env, REDIS_NAMESPACE: freshNamespace() }, /cannot be read: ENOENT/],
    [['ledger', 'take-back'], env, /is not one that was moved away/]
  ] as const) {
    const { code, stderr } = await runHere(args, given)
    t.equal(code, 1)
    t.match(stderr, expected)
  }
  t.notOk(existsSync(path + '.part'), 'nothing is left of them')
  const backup = await runHere(['export'], env)
  t.equal(backup.code, 0)
  t.match(parseObject(backup.stdout.split('\n', 1).join('')), { falgateLedger: 1, isMoved: false, upstream: 'fal main' })
  t.match(backup.stderr, /a backup is written/)
  t.equal((await runHere(['export', path], env)).code, 0)
  t.equal(readFileSync(path, 'utf8').split('\n').length, backup.stdout.split('\n').length)
})

t.test('beside a gateway that has a folder a backup is written and a move is refused, and the gateway goes on', async t => {
  const above = await folderOf(t)
  const env = { DATA_DIR: join(above, 'data') }
  const { url } = await serve(t, env)
  const picture = { prompt: 'a lighthouse', seed: 7 }
  t.equal((await generate(url, picture)).status, 200)
  const path = join(above, 'backup.jsonl')
  t.match(await runHere(['export', '--move', path], env), { code: 1, stderr: /^falgate: DATA_DIR=\S+: a gateway is running there \(process \d+ on \S+, since \S+\); stop it first\. Without --move, falgate export writes a backup beside it\n$/ })
  t.match(await runHere(['export', path], env), { code: 0, stderr: /a backup is written; the file is \S+backup\.jsonl/ })
  t.match(await runHere(['import', '--backup', path], env), { code: 1, stderr: /a gateway is running there .*; stop it first\n$/ })
  t.equal((await generate(url, { prompt: 'another one' })).status, 200, 'it goes on')

  const copy = { DATA_DIR: join(above, 'copy') }
  t.equal((await runHere(['import', '--backup', path], copy)).code, 0)
  const restored = await serve(t, copy)
  const response = await fetch(`${restored.url}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json', 'falgate-cache': 'only' }, body: JSON.stringify(picture) })
  t.equal(response.status, 200, 'what was bought before the backup is a hit')
  await response.body?.cancel()
})
