// Ends: what is under way is answered, what was sent is accounted for, and nothing is left.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startApp } from '../src/app.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { demoTenants } from '../src/tenants/book.ts'
import { CENTRAL_KEY, STUDIO_KEY, configOf, tenant } from './support/gateway.ts'
import { listen } from './support/listen.ts'
import { cliFile, projectDir } from './support/paths.ts'
import { answering, freePort, start, type Running } from './support/processes.ts'
import { startSandbox, type RunningSandbox } from './support/sandbox.ts'
import { until } from './support/until.ts'

interface Process extends Running {
  readonly base: string
  readonly sandbox: RunningSandbox
  readonly generate: (body: object, headers?: Readonly<Record<string, string>>, signal?: AbortSignal) => Promise<Response>
}

async function open (t: Test, env: Readonly<Record<string, string>> = {}): Promise<Process> {
  const sandbox = await startSandbox(t, { keys: [CENTRAL_KEY] })
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('studio')] }))
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], { PORT: port, FAL_KEY: CENTRAL_KEY, FAL_QUEUE_URL: `${sandbox.base}/queue`, TENANTS_FILE: tenantsFile, ...env })
  const base = `http://127.0.0.1:${port}`
  await answering(running, `${base}/readyz`)
  return {
    ...running,
    base,
    sandbox,
    generate: async (body, headers = {}, signal) => await fetch(`${base}/generate`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', ...headers },
      ...(signal === undefined ? {} : { signal })
    })
  }
}

async function isDraining (base: string): Promise<boolean> {
  const response = await fetch(`${base}/readyz`)
  return response.status === 503 && await response.text() === 'draining'
}

t.test('SIGTERM: callers that wait are answered, new work is refused, what is stored is served, and the process ends with 0', async t => {
  const gateway = await open(t)
  await (await gateway.generate({ prompt: 'stored', seed: 1 })).text()
  const release = gateway.sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'waiting', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(2)
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  const refused = await gateway.generate({ prompt: 'new', seed: 1 })
  t.equal(refused.status, 503)
  t.match(await refused.json(), { code: 'draining' })
  t.ok(refused.headers.get('retry-after'))
  t.equal((await gateway.generate({ prompt: 'stored', seed: 1 })).status, 200)
  release()
  t.equal((await waiting).status, 200)
  const { code, stderr } = await gateway.ended
  t.equal(code, 0)
  t.equal(stderr, '')
  t.equal(gateway.sandbox.bill.accepted, 2)
})

t.test('DRAIN_DELAY_SECONDS: after SIGTERM /readyz says so at once, and work is still taken, before it is refused', async t => {
  const gateway = await open(t, { DRAIN_DELAY_SECONDS: '5' })
  const release = gateway.sandbox.faults.holdJobs()
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  const late = gateway.generate({ prompt: 'late', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(1)
  t.equal((await gateway.generate({ prompt: 'later', seed: 1 }, { prefer: 'respond-async' })).status, 202)
  await until(async () => (await gateway.generate({ prompt: 'later', seed: 1 }, { prefer: 'respond-async' })).status === 503)
  release()
  t.equal((await late).status, 200)
  t.equal((await gateway.ended).code, 0)
})

t.test('in production SIGTERM leaves load balancers time to hear of it, unless told otherwise: work is still taken meanwhile', async t => {
  const gateway = await open(t, { NODE_ENV: 'production' })
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  t.equal((await gateway.generate({ prompt: 'late', seed: 1 })).status, 200)
  t.equal((await gateway.ended).code, 0)
})

t.test('Ctrl-C waits for no load balancer: work is refused at once', async t => {
  const gateway = await open(t, { DRAIN_DELAY_SECONDS: '600' })
  const release = gateway.sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'waiting', seed: 1 })
  await gateway.sandbox.bill.untilAccepted(1)
  gateway.child.kill('SIGINT')
  await until(async () => await isDraining(gateway.base))
  t.equal((await gateway.generate({ prompt: 'new', seed: 1 }, { prefer: 'respond-async' })).status, 503)
  release()
  t.equal((await waiting).status, 200)
  t.equal((await gateway.ended).code, 0)
})

t.test('SIGTERM with a submit under way and nobody waiting: its answer is waited for', async t => {
  const gateway = await open(t)
  const slow = gateway.sandbox.faults.add({ kind: 'hang', operation: 'submit', accepted: true })
  t.equal((await gateway.generate({ prompt: 'x' }, { prefer: 'respond-async' })).status, 202)
  await slow.untilHit()
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  slow.release()
  const { code, stdout } = await gateway.ended
  t.equal(code, 0)
  t.match(stdout, /"to":"accepted"/)
  t.notMatch(stdout, /"to":"unknown"/)
})

t.test('SIGTERM: a status stream of fal\'s queue, whose reader does not come back, is told the end', async t => {
  const gateway = await open(t)
  const release = gateway.sandbox.faults.holdJobs()
  const headers = { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json' }
  const submitted: unknown = await (await fetch(`${gateway.base}/fal/queue/fal-ai/imagen4/preview/ultra`, { method: 'POST', headers, body: '{"prompt":"x"}' })).json()
  await gateway.sandbox.bill.untilAccepted(1)
  const stream = await fetch(`${String(Reflect.get(Object(submitted), 'status_url'))}/stream`, { headers })
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  release()
  t.match(await stream.text(), /"status":"COMPLETED".*\n\n$/)
  t.equal((await gateway.ended).code, 0)
})

t.test('a second signal ends the process at once', async t => {
  const gateway = await open(t)
  gateway.sandbox.faults.holdJobs()
  const waiting = gateway.generate({ prompt: 'x', seed: 1 })
  const cut = t.rejects(waiting)
  await gateway.sandbox.bill.untilAccepted(1)
  gateway.child.kill('SIGTERM')
  await until(async () => await isDraining(gateway.base))
  gateway.child.kill('SIGTERM')
  t.equal((await gateway.ended).code, 1)
  await cut
})

t.test('callers who leave have their log line', async t => {
  const gateway = await open(t)
  const release = gateway.sandbox.faults.holdJobs()
  const leaving = new AbortController()
  const cut = t.rejects(gateway.generate({ prompt: 'x', seed: 1 }, { 'x-request-id': 'the-one-who-left' }, leaving.signal))
  await gateway.sandbox.bill.untilAccepted(1)
  leaving.abort()
  await cut
  release()
  let logged = ''
  gateway.child.stdout?.on('data', text => { logged += String(text) })
  await until(() => logged.includes('the-one-who-left'))
  t.match(logged, /"request_id":"the-one-who-left".*"status":499,"aborted":true/)
  gateway.child.kill('SIGTERM')
  await once(gateway.child, 'close')
})

t.test('a gateway that finds its second port taken lets go of the first', async t => {
  const taken = createServer()
  const opsPort = await listen(taken)
  t.teardown(() => { taken.close() })
  const port = await freePort()
  const env = { PORT: String(port), OPS_PORT: String(opsPort) }
  await t.rejects(startApp({ config: configOf(env), models: builtInModels, tenants: demoTenants(builtInModels), falKeys: null, redisUrl: null, version: '0.0.0-test' }), { code: 'EADDRINUSE' })
  await t.rejects(fetch(`http://127.0.0.1:${port}/readyz`), 'nobody listens there any more')
})

t.test('a start that fails leaves nothing that keeps its process', async t => {
  const taken = createServer()
  const port = await listen(taken)
  t.teardown(() => { taken.close() })
  const program = `
    import { startApp } from '${projectDir}build/src/app.js'
    import { parseConfig } from '${projectDir}build/src/config.js'
    import { builtInModels } from '${projectDir}build/src/models/built-in.js'
    import { demoTenants } from '${projectDir}build/src/tenants/book.js'
    const { config } = parseConfig({ LOG_LEVEL: 'silent', PORT: '0', OPS_PORT: '${port}' })
    await startApp({ config, models: builtInModels, tenants: demoTenants(builtInModels), falKeys: null, redisUrl: null, version: '0.0.0-test' }).catch(error => { console.log(error.code) })`
  const { code, stdout } = await start(t, ['--input-type=module', '--eval', program]).ended
  t.equal(stdout, 'EADDRINUSE\n')
  t.equal(code, 0, 'it ended by itself')
})
