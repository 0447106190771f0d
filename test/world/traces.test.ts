// The instrumentations that OpenTelemetry publishes, loaded as docs/operations.md tells and as compose loads them, with an exporter that sends OTLP here. Needs npm and the way to its registry.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { nodeOptions, readCompose } from '../support/compose.ts'
import { CENTRAL_KEY, parseObject } from '../support/gateway.ts'
import { listen } from '../support/listen.ts'
import { pageAt } from '../support/pages.ts'
import { projectDir } from '../support/paths.ts'
import { deploy } from '../support/replicas.ts'
import { until } from '../support/until.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

t.setTimeout(900_000)

const [, named = ''] = /npm install --no-save (@opentelemetry\/auto-instrumentations-node@[\d.]+)/.exec(pageAt('docs/operations.md')) ?? []
const TRACE = 'a'.repeat(32)
const SPAN = 'b'.repeat(16)

const seen: Array<readonly [what: string, version: string, outcome: string]> = []

interface Exported { readonly name: string, readonly scope: string, readonly kind: number, readonly id: string, readonly parent: string }

interface Collector { readonly url: string, readonly spans: () => readonly Exported[], readonly bodies: string[] }

const listIn = (value: unknown, name: string): ReadonlyArray<Record<string, unknown>> => {
  const list: unknown = Reflect.get(Object(value), name)
  return Array.isArray(list) ? list.map(one => ({ ...Object(one) })) : []
}

async function collector (t: Test): Promise<Collector> {
  const bodies: string[] = []
  const server = createServer(async (request, response) => {
    bodies.push(await text(request))
    response.setHeader('content-type', 'application/json').end('{}')
  })
  const port = await listen(server)
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return {
    url: `http://127.0.0.1:${port}`,
    bodies,
    spans: () => bodies.flatMap(body => listIn(parseObject(body), 'resourceSpans').flatMap(one => listIn(one, 'scopeSpans')).flatMap(({ scope, ...of }) => listIn(of, 'spans')
      .filter(({ traceId }) => traceId === TRACE)
      .map(span => ({ name: String(span['name']), scope: String(Reflect.get(Object(scope), 'name')).replace('@opentelemetry/instrumentation-', ''), kind: Number(span['kind']), id: String(span['spanId']), parent: String(span['parentSpanId']) }))))
  }
}

await t.test('a generation is one trace below the server\'s span, whichever instrumentations are loaded, and nothing is told twice', async t => {
  const folder = workFolder(t)
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', named, '@opentelemetry/api@^1.9.0'], { cwd: folder })
  const packages = join(folder, 'node_modules', '@opentelemetry')
  const register = ['--import', join(packages, 'auto-instrumentations-node', 'build', 'src', 'register.js')]
  const cases = {
    'http alone, as the page has it': { node: register, env: { OTEL_NODE_ENABLED_INSTRUMENTATIONS: 'http' }, calls: false },
    'all of them, also in modules': { node: ['--experimental-loader', join(packages, 'instrumentation', 'hook.mjs'), ...register], env: {}, calls: true }
  }
  for (const [name, { node, env, calls }] of Object.entries(cases)) {
    const collected = await collector(t)
    const { sandbox, startReplica } = await deploy(t, { node, env: { ...env, OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_EXPORTER_OTLP_ENDPOINT: collected.url, OTEL_BSP_SCHEDULE_DELAY: '100' } })
    const replica = await startReplica()
    t.equal((await replica.generate({ prompt: 'a very private wish', seed: 1 }, { headers: { traceparent: `00-${TRACE}-${SPAN}-01` } })).status, 200)
    await until(() => ['POST', 'falgate.settlement', 'falgate.result'].every(one => collected.spans().some(span => span.name === one)))
    const spans = collected.spans()
    const one = (wanted: string): Exported | undefined => spans.find(span => span.name === wanted)
    const server = spans.filter(({ scope, kind }) => scope === 'http' && kind === 2)
    t.match(server, [{ parent: SPAN }], name)
    t.equal(server.length, 1, name)
    t.equal(one('falgate.admission')?.parent, server[0]?.id, name)
    const ours = spans.filter(({ scope }) => scope === 'falgate')
    t.equal(ours.length, 6, name)
    for (const span of ours.filter(span => span !== one('falgate.admission'))) t.equal(span.parent, one('falgate.admission')?.id, `${name}: ${span.name}`)
    for (const call of ['falgate.submit', 'falgate.result']) {
      t.equal(one(call)?.kind, calls ? 1 : 3, `${name}: ${call} is the client's where nothing else is`)
      t.equal(spans.filter(({ scope, parent }) => scope === 'undici' && parent === one(call)?.id).length, calls ? 1 : 0, `${name}: ${call}`)
    }
    t.equal(sandbox.bill.submits, 1)
    for (const secret of ['very private', CENTRAL_KEY, 'secret-of-studio']) t.notOk(collected.bodies.some(body => body.includes(secret)), `${name}: ${secret}`)
  }
  seen.push([`\`${named.slice(0, named.lastIndexOf('@'))}\``, named.slice(named.lastIndexOf('@') + 1), 'one trace, with `http` alone and with all instrumentations'])
})

await t.test('a gateway of the profile ops records its spans by what the profile installs, as a user without capabilities', async t => {
  const folder = workFolder(t)
  const volume = join(folder, 'tracing')
  const bin = join(folder, 'bin')
  mkdirSync(volume)
  mkdirSync(bin)
  writeFileSync(join(bin, 'node'), '#!/bin/sh\nprintf %s "$NODE_OPTIONS"\n')
  chmodSync(join(bin, 'node'), 0o755)
  await run('setpriv', ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all', 'sh', join(projectDir, 'docker', 'tracing', 'install.sh'), volume], {}, 'apt-get install util-linux')
  const options = await nodeOptions(t, 'gateway-one', volume, { PATH: `${bin}:${process.env['PATH'] ?? ''}` })
  t.match(options, volume)
  // Tests give Node no options but on its command line, where this one means the same.

  const collected = await collector(t)
  const settings = Object.fromEntries(Object.entries(readCompose().services['gateway-one'].environment ?? {}).filter(([name]) => name.startsWith('OTEL_')))
  // The exporter's usual encoding is one that this collector does not read.
  const { startReplica } = await deploy(t, { node: [options], env: { ...settings, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_EXPORTER_OTLP_ENDPOINT: collected.url, OTEL_BSP_SCHEDULE_DELAY: '100' } })
  const [one, two] = [await startReplica(), await startReplica()]
  const headers = { traceparent: `00-${TRACE}-${SPAN}-01` }
  t.same([(await one.generate({ prompt: 'a very private wish', seed: 1 }, { headers })).status, (await two.generate({ prompt: 'a very private wish', seed: 1 }, { headers })).status], [200, 200])
  await until(() => collected.spans().some(({ name }) => name === 'falgate.settlement') && collected.spans().filter(({ kind, scope }) => scope === 'http' && kind === 2).length === 2)
  for (const name of ['falgate.admission', 'falgate.submit', 'falgate.run', 'falgate.result']) t.ok(collected.spans().some(span => span.name === name), name)
  t.ok(collected.bodies.some(body => body.includes('"stringValue":"falgate"')), 'it has the service\'s name')
  for (const secret of ['very private', CENTRAL_KEY, 'secret-of-studio']) t.notOk(collected.bodies.some(body => body.includes(secret)), secret)
  seen.push(['`docker/tracing/install.sh`, without capabilities', named.slice(named.lastIndexOf('@') + 1), 'one trace of two replicas, with the settings of compose'])
})

writeLastRun('traces', seen)
