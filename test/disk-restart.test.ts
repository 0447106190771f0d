// Everything in a folder: what was answered is there after a kill, and one process at a time has it.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runHere } from './support/cli.ts'
import { authorization, generate, serve } from './support/folder-gateway.ts'
import { parseObject, STUDIO_KEY, tenant } from './support/gateway.ts'
import { runCli } from './support/processes.ts'

// Many processes are started one after another, which takes a slow machine its time.
t.setTimeout(300_000)

/** Without what a process has saved since its start. */
async function usage (url: string): Promise<unknown> {
  const { saved, ...books } = parseObject(await (await fetch(`${url}/usage`, { headers: { authorization } })).text())
  return books
}

async function submits (ops: string): Promise<boolean> {
  return (await (await fetch(`${ops}/metrics`)).text()).includes('falgate_upstream_requests_total{operation="submit"')
}

t.test('after a kill a cached result is a hit, an idempotency key answers with the same, and what was spent is spent', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  const first = await serve(t, env)
  t.match(await (await fetch(`${first.ops}/readyz`)).json(), { state: 'ready', store: 'up', store_kind: 'disk', store_faults: [] })
  const bought = await generate(first.url, { prompt: 'a kept fox', seed: 7 }, { 'idempotency-key': 'k1' })
  t.equal(bought.status, 200)
  t.equal(await submits(first.ops), true)
  t.notMatch(await (await fetch(`${first.ops}/metrics`)).text(), /^falgate_redis_up /m, 'no Redis is told to be away where there is none')
  const before = await usage(first.url)
  first.running.child.kill('SIGKILL')
  await first.running.ended

  const second = await serve(t, env)
  t.same(await usage(second.url), before, 'the books are as they were')
  const replayed = await generate(second.url, { prompt: 'a kept fox', seed: 7 }, { 'idempotency-key': 'k1' })
  const hit = await generate(second.url, { prompt: 'a kept fox', seed: 7 })
  t.match([replayed.status, hit.status], [200, 200])
  t.equal(await submits(second.ops), false, 'nothing was bought again')
})

t.test('a second process on the folder is refused at once with what to do; the one that has it goes on', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  const { url } = await serve(t, env)
  const refused = await runCli(t, ['serve'], { ...env, PORT: '0' })
  t.match(refused, { code: 1, stderr: /^falgate: The folder \S+ is in use by process \d+ on .*stop that one, or give this one a folder of its own\.\n$/ })
  t.equal((await generate(url, { prompt: 'still here' })).status, 200)
})

t.test('a folder that cannot be used, or a ledger of another account, is a fault of the start', async t => {
  const dir = t.testdir({ file: '', 'tenants.json': '{"tenants":[{"id":"studio","keys":[]}]}' })
  t.match(await runCli(t, ['serve'], { DATA_DIR: join(dir, 'file'), PORT: '0' }), { code: 1, stderr: /^falgate: The folder \S+file cannot be used for the ledger: it is a file\. Choose another one\.\n$/ })

  const env = { DATA_DIR: join(dir, 'data') }
  const { running, url } = await serve(t, env)
  t.equal((await generate(url, { prompt: 'play money' })).status, 200)
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0 })
  const real = await runCli(t, ['serve'], { ...env, FAL_KEY: 'a:b', TENANTS_FILE: join(dir, 'tenants.json'), PORT: '0' })
  t.match(real, { code: 1, stderr: /falgate: DATA_DIR=\S+: the ledger there is that of the sandbox, account main, and this process is set to fal, account main, .*another DATA_DIR/ })
  t.match(await (await fetch((await serve(t, env)).ops + '/readyz')).json(), { state: 'ready' }, 'it was left as it was')
})

t.test('whatever prices the tenants file has at a start are those in force, earlier ones, too', async t => {
  const folder = t.testdir({})
  const studio = { authorization: `Bearer ${STUDIO_KEY}` }
  const env = { DATA_DIR: join(folder, 'data'), TENANTS_FILE: join(folder, 'tenants.json') }
  for (const [seed, price] of [0.06, 0.07, 0.06].entries()) {
    await writeFile(env.TENANTS_FILE, JSON.stringify({ prices: { 'fal-ai/imagen4/preview/ultra': price }, tenants: [tenant('studio')] }))
    const { running, url } = await serve(t, env)
    t.equal((await generate(url, { prompt: 'a dear fox', seed }, { ...studio, 'falgate-dry-run': '1' })).status, 200, `${price} would be paid`)
    t.equal((await generate(url, { prompt: 'a dear fox', seed }, studio)).status, 200, `${price} is paid`)
    running.child.kill('SIGTERM')
    t.match(await running.ended, { code: 0 })
  }
})

t.test('a folder belongs to the account that opened it first, also when nothing was bought and the process was killed', async t => {
  const dir = t.testdir({ 'tenants.json': '{"tenants":[{"id":"studio","keys":[]}]}' })
  const env = { DATA_DIR: join(dir, 'data') }
  const real = { ...env, FAL_KEY: 'a:b', TENANTS_FILE: join(dir, 'tenants.json') }
  const { running } = await serve(t, real)
  running.child.kill('SIGKILL')
  await running.ended
  t.match(await runCli(t, ['serve'], { ...env, PORT: '0' }), { code: 1, stderr: /falgate: DATA_DIR=\S+: the ledger there is that of fal, account main, and this process is set to the sandbox, account main, .*a sandbox takes another DATA_DIR/ })
  t.match(await (await fetch((await serve(t, real)).ops + '/readyz')).json(), { state: 'ready' })
})

t.test('STORE=memory with a real key is said, on the terminal and in the log', async t => {
  const dir = t.testdir({ 'tenants.json': '{"tenants":[{"id":"studio","keys":[]}]}' })
  const { running } = await serve(t, { FAL_KEY: 'a:b', TENANTS_FILE: join(dir, 'tenants.json'), STORE: 'memory' })
  running.child.kill('SIGTERM')
  const { stdout } = await running.ended
  t.match(stdout, /"msg":"STORE=memory, with a real key: paid pictures, budgets and idempotency keys end with this process"/)
  t.match(stdout, /WARNING: in this process \(STORE=memory\)/)
})

t.test('usage, unknown, settle, correct and recount work beside the gateway that has the folder, and without one', async t => {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  t.match(await runCli(t, ['usage', '--csv'], env), { code: 1, stderr: /^falgate: DATA_DIR: there is no ledger in \S+\n$/ })
  const { running, url } = await serve(t, env)
  t.equal((await generate(url, { prompt: 'an asked fox' })).status, 200)
  const commands = [['usage', '--csv'], ['unknown'], ['settle', 'nothing-here', '--billed'], ['correct', 'nothing-here', '--confirm'], ['ledger', 'recount']]
  const beside = await Promise.all(commands.map(async args => await runHere(args, env)))
  t.match(beside, [
    { code: 0, stdout: /^time,kind,generation/, stderr: '' },
    { code: 0, stdout: 'nothing is unknown\n', stderr: '' },
    { code: 1, stdout: '', stderr: 'falgate: there is no generation nothing-here\n' },
    { code: 1, stdout: '', stderr: 'falgate: there is no generation nothing-here (any more)\n' },
    { code: 0, stdout: '1 generations are counted: every counter and index is right\n', stderr: '' }
  ])
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0 })
  for (const [index, args] of commands.entries()) t.same(await runHere(args, env), beside[index], args.join(' '))
})
