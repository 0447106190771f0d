// Moving a ledger the user's way: stop, export --move, import, start.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseObject } from '../support/gateway.ts'
import { runHere } from '../support/cli.ts'
import { generate, serve } from '../support/folder-gateway.ts'
import { filled, folderOf } from '../support/moving-scene.ts'
import { runCli } from '../support/processes.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

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

t.test('what stands in the way is told in a sentence, and nothing is begun', async t => {
  const { env } = await filled(t, 1)
  const path = join(await folderOf(t), 'ledger.jsonl')
  for (const [args, given, expected] of [
    [['export', path], {}, /REDIS_URL, DATA_DIR: neither is set/],
    [['export', path], { ...env, DATA_DIR: '/tmp/nowhere' }, /DATA_DIR, REDIS_URL: the ledger is in one place/],
    [['export', path], { ...env, REDIS_NAMESPACE: freshNamespace() }, /there is no ledger/],
    [['export', join(path, 'file')], env, /file cannot be written: its folder is not there; make it, or choose another place, and run the command again/],
    [['import', path], { ...env, REDIS_NAMESPACE: freshNamespace() }, /ledger\.jsonl cannot be read: there is no such file\n$/],
    [['import', path], {}, /REDIS_URL, DATA_DIR: neither is set.*\n.*ledger\.jsonl cannot be read: there is no such file\n$/],
    [['import', join(path, '..')], { ...env, REDIS_NAMESPACE: freshNamespace() }, /cannot be read: it is a folder, and falgate export writes a file\n$/],
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

  // Also one that has bought nothing.
  const { running: opened } = await serve(t, { DATA_DIR: join(above, 'opened') })
  opened.child.kill('SIGTERM')
  await opened.ended
  t.match(await runHere(['import', '--backup', path], { DATA_DIR: join(above, 'opened') }), { code: 1, stderr: /opened: there is a ledger already, and an import goes into an empty folder only; take another DATA_DIR\n$/ })

  const copy = { DATA_DIR: join(above, 'copy') }
  t.equal((await runHere(['import', '--backup', path], copy)).code, 0)
  const restored = await serve(t, copy)
  const response = await fetch(`${restored.url}/generate`, { method: 'POST', headers: { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json', 'falgate-cache': 'only' }, body: JSON.stringify(picture) })
  t.equal(response.status, 200, 'what was bought before the backup is a hit')
  await response.body?.cancel()
})
