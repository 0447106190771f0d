// The commands of the documents, as they stand there, against gateways that were just started. Those for fal's own clients are run by
// `heavy/fal-examples.test.ts`; `pages.test.ts` lists where each code block is held.

import { execFile } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import t from 'tap'
import { describePrompt } from '../src/logger.ts'
import { parseObject, tenant } from './support/gateway.ts'
import { callOf, codeBlocksOf, pageAt, pages, sectionOf } from './support/pages.ts'
import { cliFile, projectDir } from './support/paths.ts'
import { answering, freePort, runCli, start, type Env, type Running } from './support/processes.ts'
import { plainClient } from './support/redis-store.ts'
import { startRedis } from './support/redis.ts'

// Starts seven processes, one after another.
t.setTimeout(300_000)

const run = promisify(execFile)

const DEMO = { authorization: 'Bearer fg_demo_sandbox', 'content-type': 'application/json' }

/** All commands of a page, in one shell, because a later one may need what an earlier one learned; it stops at the first that fails. */
function scriptOf (text: string): string {
  return codeBlocksOf(text).filter(({ language }) => language === 'sh').map(({ code }) => code).join('\n')
}

const scripts = pages.map(({ path, text }) => ({ path, script: scriptOf(text) })).filter(({ script }) => script.includes('http://127.0.0.1:8080/'))

/** What those of docs/api.md tell: a picture, the events of another one, and what both have cost. */
const apiTold = /"images":.*\nevent: generation\n.*"status":"succeeded".*"spent_usd":0\.18/s

interface Gateway extends Running { readonly port: string, readonly base: string }

/** A gateway with the sandbox, on a free port. */
async function serve (t: Test, env: Env = {}): Promise<Gateway> {
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], { PORT: port, ...env })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  return { ...running, port, base }
}

/** What a page's commands print when they are pasted; rejects when one fails. */
async function pasted (script: string, { port }: Gateway): Promise<string> {
  const { stdout } = await run('sh', ['-euc', script.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)], { env: { PATH: process.env['PATH'] ?? '' }, timeout: 60_000 })
  return stdout
}

t.test('pages with commands are found', async t => {
  t.same(scripts.map(({ path }) => path), ['docs/api.md', 'docs/sandbox.md', 'docs/tokens.md'])
})

t.test('the commands of docs/sandbox.md work with the sandbox alone, one after another', async t => {
  const port = String(await freePort())
  const running = start(t, [cliFile, 'sandbox'], { PORT: port })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/healthz`)
  t.match(await pasted(scriptOf(pageAt('docs/sandbox.md')), { ...running, port, base }), /"error":"internal_error".*"hits":0.*\{"faults":\[\]\}.*"billedUnits":0/s)
})

t.test('with one gateway as `npm start` starts it', async t => {
  const gateway = await serve(t)
  const { base } = gateway

  await t.test('the commands of docs/api.md work, one after another', async t => {
    const told = await pasted(scriptOf(pageAt('docs/api.md')), gateway)
    t.match(told, apiTold)
    const [shown = ''] = codeBlocksOf(pageAt('docs/api.md')).map(({ code }) => code).filter(code => code.startsWith('{"dry_run"'))
    const [answered = ''] = /\{"dry_run".*\}\}/.exec(told) ?? []
    // What is left depends on what was bought before.
    const lasting = (text: string): Readonly<Record<string, unknown>> => ({ ...parseObject(text), budget: null, rate_limit: null, queue: null })
    t.same(lasting(answered), lasting(shown), 'a dry run answers what is shown')
    t.same(Object.keys(parseObject(answered)), Object.keys(parseObject(shown)))
  })

  await t.test('the commands of docs/tokens.md give out a token, draw with it, and tell what is left', async () => {
    t.match(await pasted(scriptOf(pageAt('docs/tokens.md')), gateway), /"images":.*"subject":"visitor 7".*"pictures":3,"pictures_left":2/s)
  })

  await t.test('the answer that the README shows is the one that its request gets', async t => {
    const readme = pageAt('README.md')
    const [shown = ''] = codeBlocksOf(readme).map(({ code }) => code).filter(code => code.startsWith('HTTP/1.1 200 OK\n'))
    const [head = '', body = ''] = shown.split('\n\n')
    const [, request = ''] = /-d '(.*)'/.exec(readme) ?? []
    const ask = async (): Promise<Response> => await fetch(`${base}/generate`, { method: 'POST', headers: DEMO, body: request })

    const first = await ask()
    t.equal(first.status, 200)
    const names = head.split('\n').slice(1).map(line => line.slice(0, line.indexOf(':')))
    t.ok(names.length > 5, 'headers were found')
    for (const name of names) t.ok(first.headers.has(name), name)
    for (const name of ['cache-status', 'falgate-cost-usd', 'falgate-saved-usd', 'ratelimit-policy', 'content-type']) t.ok(head.includes(`${name}: ${first.headers.get(name)}`), `${name} has the value that is shown`)
    const withoutAddress = (text: string): string => text.replace(/"url":"[^"]*"/, '').trim()
    t.equal(withoutAddress(await first.text()), withoutAddress(body))

    const [, again = ''] = /^Send it again: (.*)/m.exec(readme) ?? []
    const { headers } = await ask()
    const told = `\`cache-status: ${headers.get('cache-status')}\`, \`falgate-cost-usd: ${headers.get('falgate-cost-usd')}\`, \`falgate-saved-usd: ${headers.get('falgate-saved-usd')}\``
    t.equal(told.replace(/ttl=\d+/, ''), again.replace(/ttl=\d+/, '').replace(/\.$/, ''))
  })

  await t.test('every header of an answer, and every field of a log line about a request or a generation, is explained', async t => {
    const call = async (headers: Readonly<Record<string, string>>): Promise<Response> => await fetch(`${base}/generate`, { method: 'POST', headers: { ...DEMO, ...headers }, body: '{"prompt":"p","seed":1}' })
    const answers = [await call({ 'idempotency-key': 'k' }), await call({ 'idempotency-key': 'k' }), await call({}), await call({ prefer: 'respond-async', 'falgate-cache': 'refresh' }), await call({ 'falgate-cache': 'nonsense' })]
    t.same(answers.map(({ status }) => status), [200, 200, 200, 202, 400])
    const page = pageAt('docs/api.md').toLowerCase()
    // What HTTP itself has, and what every answer says alike.
    const usual = ['cache-control', 'connection', 'content-length', 'content-type', 'date', 'keep-alive', 'vary', 'x-content-type-options']
    const names = new Set(answers.flatMap(({ headers }) => [...headers.keys()]))
    t.same([...names].filter(name => !usual.includes(name) && !page.includes(`\`${name}\``)), [])

    gateway.child.kill('SIGTERM')
    const lines = (await gateway.ended).stdout.split('\n').filter(line => line.startsWith('{')).map((line): object => JSON.parse(line))
    const section = sectionOf(pageAt('docs/logs.md'), 'Fields')
    const explained = new Set([...section.matchAll(/`([a-z_0-9]+)`/g)].map(([, name = '']) => name))
    const fields = new Set(lines.filter(line => ['request', 'generation'].includes(String(Reflect.get(line, 'msg')))).flatMap(line => Object.keys(line)))
    t.ok(fields.has('saved_usd') && fields.has('phase_seconds'), 'both kinds were logged')
    t.same([...fields].filter(name => !explained.has(name)), [])
  })
})

t.test('the user of Redis that docs/deployment.md makes is enough for the commands of docs/api.md, and with its additions for those of docs/billing.md', async t => {
  const server = await startRedis(t)
  const root = plainClient(t, server.url)
  const deployment = pageAt('docs/deployment.md')
  // What the shell makes of the command: a `redis-cli` that says what it was given.
  const folder = t.testdir({ 'redis-cli': '#!/bin/sh\nprintf \'%s\\n\' "$@"\n' })
  chmodSync(join(folder, 'redis-cli'), 0o755)
  const { stdout } = await run('sh', ['-euc', scriptOf(deployment)], { env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` } })
  const [command = '', ...rule] = stdout.trim().split('\n')
  await root.call(command, ...rule)

  const env = { REDIS_URL: `redis://falgate:PASSWORD@127.0.0.1:${server.port}` }
  const gateway = await serve(t, env)
  const told = await pasted(scriptOf(pageAt('docs/api.md')), gateway)
  t.match(told, apiTold)

  const [, needed = ''] = /^\* `falgate ledger recount` needs (.*) beside these/m.exec(deployment) ?? []
  const more = [...needed.matchAll(/`([A-Z]+)`/g)].map(([, name = '']) => `+${name.toLowerCase()}`)
  t.ok(more.length > 2, 'the additions were found')
  await root.call('ACL', 'SETUSER', 'falgate', ...more)

  const id = /"id":"([\w-]+)"/.exec(told)?.[1] ?? ''
  const [block] = codeBlocksOf(pageAt('docs/billing.md'))
  const commands = block?.code.trim().split('\n').map(line => callOf(line.replaceAll('<id>', id)).words.slice(1)) ?? []
  const ends = new Map(await Promise.all(commands.map(async args => [args[0], await runCli(t, args, env)] as const)))
  t.match(ends.get('usage'), { code: 0, stdout: /^time,kind,generation,/ })
  t.match(ends.get('unknown'), { code: 0 })
  t.match(ends.get('settle'), { code: 1, stderr: /not unknown|has ended|known/ }, 'fal has answered, so there is nothing to settle')
  t.match(ends.get('correct'), { code: 0 })
  t.match(ends.get('ledger'), { code: 0 })

  // ioredis gives its connections a name where it may, and goes on where it may not.
  const refused = JSON.stringify(await root.call('ACL', 'LOG')).match(/"object","[^"]*"/g) ?? []
  t.same(refused.filter(entry => !entry.includes('client|setname')), [], 'nothing was refused')
})

t.test('the files that docs/deployment.md makes for webhooks are taken', async t => {
  const folder = t.testdir({ 'tenants.json': JSON.stringify({ tenants: [tenant('studio', { webhooks: ['hooks.example'], webhookSecretFile: 'studio-webhooks' })] }) })
  const [code = ''] = codeBlocksOf(sectionOf(pageAt('docs/deployment.md'), 'Webhooks')).map(({ code }) => code)
  const env = { TENANTS_FILE: 'tenants.json', WEBHOOK_KEY_FILE: 'webhook-keys' }
  t.match(await start(t, [cliFile, 'check'], env, { cwd: folder }).ended, { code: 1, stderr: /WEBHOOK_KEY_FILE: the file cannot be read \(ENOENT\)/ })
  await run('sh', ['-euc', code], { cwd: folder, env: { PATH: process.env['PATH'] ?? '' } })
  t.match(await start(t, [cliFile, 'check'], env, { cwd: folder }).ended, { code: 0, stdout: /the configuration is sound/ })
})

t.test('the steps to production lead to a gateway that takes the new key', async t => {
  const section = sectionOf(pageAt('README.md'), 'Production in ten minutes')
  const blocks = codeBlocksOf(section)
  const lineWith = (text: string): ReturnType<typeof callOf> => callOf(blocks.map(({ code }) => code.trim()).find(code => code.includes(text)) ?? '')
  const folder = t.testdir({ 'fal-key': 'a-key-of-nobody\n' })
  const server = await startRedis(t)
  const here = (env: Env): Env => ({ ...env, REDIS_URL: env['REDIS_URL']?.replace('127.0.0.1:6379', `127.0.0.1:${server.port}`) ?? '' })

  const made = await runCli(t, lineWith('falgate key').words.slice(1))
  const key = /^ {2}(fg_\S+)$/m.exec(made.stdout)?.[1] ?? ''
  const [, line = ''] = /^ {2}(\{.*\})$/m.exec(made.stdout) ?? []
  const { id, sha256 }: { readonly id: string, readonly sha256: string } = JSON.parse(line)
  const file = blocks.find(({ language }) => language === 'json')?.code ?? ''
  writeFileSync(join(folder, 'tenants.json'), file.replace('"k1"', JSON.stringify(id)).replace('<hex>', sha256))

  const check = lineWith('falgate check')
  t.match(await start(t, [cliFile, ...check.words.slice(1)], here(check.env), { cwd: folder }).ended, { code: 0, stdout: /the configuration is sound/ })

  const { env, words } = lineWith('npm start')
  t.same(words, ['npm', 'start'])
  t.equal(JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')).scripts.start, 'node build/src/cli.js serve')
  const port = String(await freePort())
  // Nothing is asked of fal, and nothing could be.
  const running = start(t, [cliFile, 'serve'], { ...here(env), PORT: port, FAL_QUEUE_URL: 'http://127.0.0.1:9' }, { cwd: folder })
  await answering(running, `http://127.0.0.1:${port}/readyz`)
  const usage = await fetch(`http://127.0.0.1:${port}/usage`, { headers: { authorization: `Bearer ${key}` } })
  t.equal(usage.status, 200)
  t.match(await usage.json(), { tenant: 'studio', budget: { usd: 50, per: 'month' } })
})

t.test('a prompt is found in the log by the hash that the documents tell to make', async t => {
  const script = scriptOf(pageAt('docs/debugging.md'))
  const [, prompt = ''] = /'(.*)'/.exec(script) ?? []
  const { stdout } = await run('sh', ['-euc', script])
  t.equal(stdout.split(' ')[0], describePrompt(prompt, 'hash').prompt_sha256)
})
