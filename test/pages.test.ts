// What the documents name is there, and their examples are sound.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { readArguments } from '../src/cli/arguments.ts'
import { parseConfig } from '../src/config.ts'
import { isProblemCode, problems } from '../src/errors.ts'
import { FILE_BODY_LIMIT_BYTES } from '../src/http/body-bytes.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { Fault, operations } from '../src/sandbox/fault-schema.ts'
import { guardOf } from '../src/schema.ts'
import { variables } from '../src/settings.ts'
import { parseTenants } from '../src/tenants/book.ts'
import { readCompose, variableIn } from './support/compose.ts'
import { metrics } from './support/docs.ts'
import { anchorsOf, codeBlocksOf, linksOf, pageAt, pages } from './support/pages.ts'
import { projectDir } from './support/paths.ts'

const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8')

/** All that matches in any page, with the page that it stands in. */
function found (pattern: RegExp): ReadonlyArray<{ readonly path: string, readonly match: RegExpMatchArray }> {
  return pages.flatMap(({ path, text }) => [...text.matchAll(pattern)].map(match => ({ path, match })))
}

for (const { path, text } of pages) {
  t.test(`every file and folder that ${path} names exists`, async t => {
    const named = [...text.matchAll(/`((?:src|test|docker|docs|examples|openapi)\/[\w./-]*)`/g)].map(([, path = '']) => path)
    if (['docs/architecture.md', 'docs/ledger.md'].includes(path)) t.ok(named.length > 0, 'it names some')
    t.same([...new Set(named)].filter(path => !existsSync(join(projectDir, path))), [])
  })

  t.test(`every link of ${path} leads to a file, and to a heading of it`, async t => {
    for (const link of linksOf(text)) {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), file))
      t.ok(existsSync(join(projectDir, target)), link)
      if (anchor !== undefined) t.ok(anchorsOf(read(target)).has(anchor), link)
    }
  })
}

t.test('links and blocks are found', async t => {
  t.ok(pages.flatMap(({ text }) => linksOf(text)).length > 50)
  t.ok(pages.flatMap(({ text }) => codeBlocksOf(text)).length > 15)
})

/** Those of compose, and of the tests. */
const others = ['FAL_KEY_FILE_PATH', 'TENANTS_FILE_PATH', 'MODELS_DIR_PATH', 'REDIS_PASSWORD_FILE_PATH', 'TLS_FILE_PATH', 'GRAFANA_PASSWORD', 'CHROMIUM', 'PATH', 'NODE_EXTRA_CA_CERTS', 'SOAK_MINUTES']

/** Those of the example's backend. */
const examples = ['FALGATE_URL', 'FALGATE_KEY', 'ORIGIN']

/** Those of fal's Python client. */
const clients = ['FAL_RUN_HOST', 'FAL_QUEUE_RUN_HOST', 'FAL_KEY_ID', 'FAL_KEY_SECRET']

/** That of the receivers of webhooks. */
const receivers = ['WEBHOOK_SECRET']

/** Those of OpenTelemetry's SDK. */
const sdk = ['OTEL_SERVICE_NAME', 'OTEL_NODE_ENABLED_INSTRUMENTATIONS', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_TRACES_SAMPLER', 'NODE_OPTIONS']

t.test('every setting that a page names is one', async t => {
  const known = new Set([...variables.map(({ name }) => name), ...others, ...examples, ...clients, ...receivers, ...sdk])
  const named = [...found(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g), ...found(/(?<![\w$])([A-Z][A-Z0-9_]{3,})=/g)]
  t.ok(named.length > 40, 'they were found')
  t.same(named.filter(({ match }) => !known.has(match[1] ?? '') && !/_$/.test(match[1] ?? '')).map(({ path, match }) => `${path}: ${match[1]}`), [])
})

t.test('every metric that a page names is one', async t => {
  const known = new Set(metrics().map(({ name }) => name))
  t.ok(known.size > 20)
  t.same(found(/\bfalgate_[a-z_]+(?!\w|\*)/g).filter(({ match: [name] }) => !known.has(name)).map(({ path, match }) => `${path}: ${match[0]}`), [])
})

t.test('every code that a page names beside a status has that status', async t => {
  const named = found(/\b([45]\d\d) `([a-z-]+)`/g)
  t.ok(named.length > 10, 'they were found')
  for (const { path, match: [, status, code = ''] } of named) t.ok(isProblemCode(code) && problems[code].status === Number(status), `${path}: ${status} ${code}`)
})

t.test('every command of falgate in a code block is one that it understands', async t => {
  const commands = pages.flatMap(({ path, text }) => codeBlocksOf(text).flatMap(({ code }) => [...code.matchAll(/^(?:[A-Z_]+=\S* )*(?:npx --no-install )?falgate ((?:(?! +#).)*)/gm)].map(([, args = '']) => ({ path, args }))))
    .filter(({ args }) => !args.includes('listens on'))
  t.ok(commands.length > 5, 'they were found')
  for (const { path, args } of commands) {
    const asked = readArguments(args.trim().replaceAll('<id>', '01a20450-0b62-7611-9b51-7a1d0c9e6f10').split(/ +/))
    t.equal(asked.kind, 'run', `${path}: ${args}`)
  }
})

t.test('every script of npm that a page names is one', async t => {
  const scripts = new Set(Object.keys(JSON.parse(read('package.json')).scripts))
  const named = found(/npm run ([\w:]+)/g)
  t.ok(named.length > 5, 'they were found')
  t.same(named.filter(({ match }) => !scripts.has(match[1] ?? '')).map(({ path, match }) => `${path}: ${match[0]}`), [])
})

/** Where each code block is held, by its page and how it begins; `not run` where that takes what no test may ask for, with what is held instead. */
const heldBy: ReadonlyArray<readonly [page: string, begins: string, by: string]> = [
  ['docs/deployment.md', 'echo whsec_', 'docs-commands.test.ts'],
  ['docs/deployment.md', 'openssl rand -hex 32 > link-keys', 'cli/doctor-media.test.ts: such settings, with a bucket of its own'],
  ['README.md', 'npm ci && npm start', 'first-minute.test.ts starts it; npm test is what runs this'],
  ['README.md', 'falgate 0.1.0 listens on', 'first-minute.test.ts'],
  ['README.md', 'HTTP/1.1 200 OK', 'docs-commands.test.ts'],
  ['README.md', 'falgate key', 'docs-commands.test.ts'],
  ['README.md', '{', 'docs-commands.test.ts'],
  ['README.md', 'FAL_KEY_FILE=./fal-key', 'docs-commands.test.ts'],
  ['README.md', 'FAL_KEY= FAL_KEY_FILE_PATH=', 'not run: docker needs an engine. Below: compose knows its settings; docker/compose.test.ts and docker/image.test.ts run what it starts'],
  ['README.md', 'NODE_ENV=production', 'docs-commands.test.ts'],
  ['CONTRIBUTING.md', 'npm run test:one', 'not run: it would compile into what is being run. Below: the test that it names exists, and so do the scripts'],
  ['docs/api.md', 'curl', 'docs-commands.test.ts'],
  ['docs/api.md', 'id=$(curl', 'docs-commands.test.ts'],
  ['docs/api.md', 'unwanted=$(curl', 'docs-commands.test.ts'],
  ['docs/api.md', '{"dry_run"', 'docs-commands.test.ts'],
  ['docs/api.md', 'import { createServer }', 'heavy/webhook-receivers.test.ts'],
  ['docs/api.md', 'import os', 'world/webhooks.test.ts'],
  ['docs/architecture.md', 'flowchart', 'not run: a picture. The files that it names exist, see above'],
  ['docs/architecture.md', 'stateDiagram', 'docs.test.ts'],
  ['docs/billing.md', 'falgate usage', 'docs-commands.test.ts'],
  ['docs/debugging.md', 'printf', 'docs-commands.test.ts'],
  ['docs/deployment.md', 'kubectl create namespace', 'not run: it needs a cluster. docker/kubernetes.test.ts and world/ops.test.ts hold the files'],
  ['docs/deployment.md', 'docker compose --profile ops up', 'not run: docker needs an engine. docker/ops.test.ts holds what is started, world/ops.test.ts runs HAProxy and Prometheus with their files'],
  ['docs/deployment.md', 'curl --request PUT http://127.0.0.1:8081', 'world/ops.test.ts'],
  ['docs/deployment.md', 'FAL_KEY= FAL_KEY_FILE_PATH', 'not run: docker needs an engine. docker/ops.test.ts: compose knows its settings'],
  ['docs/deployment.md', 'redis-cli ACL SETUSER', 'docs-commands.test.ts'],
  ['docs/fal-clients.md', 'curl', 'heavy/fal-examples.test.ts'],
  ['docs/fal-clients.md', 'FAL_HOSTS', 'http/fal/hosts.test.ts'],
  ['docs/fal-clients.md', 'export FAL_RUN_HOST', 'heavy/fal-examples.test.ts'],
  ['docs/fal-clients.md', 'import fal_client', 'heavy/fal-examples.test.ts'],
  ['docs/fal-clients.md', 'import { fal }', 'heavy/fal-examples.test.ts, heavy/fal-browser-token.test.ts'],
  ['docs/openai-clients.md', 'curl', 'world/openai.test.ts'],
  ['docs/openai-clients.md', 'from openai', 'world/openai.test.ts'],
  ['docs/openai-clients.md', 'import OpenAI', 'world/openai.test.ts'],
  ['docs/models.md', 'export MODELS_DIR', 'cli/model.test.ts'],
  ['docs/models.md', '{', 'cli/model.test.ts'],
  ['docs/operations.md', '# 1. Stop all gateways', 'cli/moving.test.ts runs it'],
  ['docs/operations.md', 'falgate export ledger-backup.jsonl', 'cli/moving.test.ts'],
  ['docs/operations.md', 'falgate top', 'cli/top.test.ts'],
  ['docs/operations.md', 'falgate doctor', 'cli/doctor.test.ts'],
  ['docs/operations.md', '# name', 'tenants/load.test.ts'],
  ['docs/operations.md', 'npm install --no-save @opentelemetry', 'world/traces.test.ts'],
  ['docs/sandbox.md', 'curl', 'docs-commands.test.ts'],
  ['docs/sandbox.md', '[', 'below'],
  ['docs/tenants.md', '{', 'below'],
  ['docs/tokens.md', 'token=$(curl', 'docs-commands.test.ts'],
  ['docs/tokens.md', 'const answer', 'heavy/event-source.test.ts'],
  ['examples/page/README.md', 'npm ci', 'heavy/example-page.test.ts']
]

t.test('every code block is held by a test, or it is told why not', async t => {
  const isHeld = (path: string, code: string): boolean => heldBy.some(([page, begins]) => page === path && code.startsWith(begins))
  const blocks = pages.flatMap(({ path, text }) => codeBlocksOf(text).map(({ code }) => ({ path, code })))
  t.same(blocks.filter(({ path, code }) => !isHeld(path, code)), [], 'none is left out')
  t.same(heldBy.filter(([page, begins]) => !blocks.some(({ path, code }) => path === page && code.startsWith(begins))), [], 'none is told that is not there')
  for (const [, , by] of heldBy) for (const [file] of by.matchAll(/[\w/-]+\.test\.ts/g)) t.ok(existsSync(join(projectDir, 'test', file)), file)
})

t.test('the settings that the documents give to compose are those that it takes, and those that it gives to the gateway are settings', async t => {
  const { services: { gateway, grafana }, secrets } = readCompose()
  const given = Object.entries(gateway.environment ?? {})
  const taken = new Set([...given.map(([, text]) => text), ...Object.values(grafana.environment ?? {}), ...gateway.volumes ?? [], ...Object.values(secrets).map(({ file }) => file)].map(text => variableIn(text)?.name))
  const lines = found(/^ *(.*?) (?:\\\n *)?docker compose (?:--profile ops )?up/gm)
  t.ok(lines.length > 1, 'they were found')
  for (const { path, match: [, settings = ''] } of lines) for (const [, name] of settings.matchAll(/([A-Z_]+)=/g)) t.ok(taken.has(name), `${path}: ${name}`)
  t.ok(given.length > 5, 'they were found')
  t.same(given.map(([name]) => name).filter(name => !variables.some(variable => variable.name === name)), [])
})

t.test('the numbers of the files for proxies fit those of the gateway', async t => {
  const textOf = (file: string): string => readFileSync(join(projectDir, 'docker', 'proxies', file), 'utf8')
  const secondsIn = (file: string, setting: RegExp): number => Number(setting.exec(textOf(file))?.[1])
  const defaults = parseConfig({})
  if (!defaults.ok) throw new Error('the defaults are not sound')
  const { waitMs, keepAliveMs } = defaults.config
  const patience = { 'nginx.conf': /proxy_read_timeout (\d+)s;/, 'haproxy.cfg': /timeout server (\d+)s/, 'envoy.yaml': / idle_timeout: (\d+)s\n/ }
  for (const [file, setting] of Object.entries(patience)) t.ok(secondsIn(file, setting) * 1000 > waitMs, `${file} waits longer than a caller does`)
  const idle = { 'nginx.conf': /keepalive_timeout (\d+)s;/, Caddyfile: /keepalive (\d+)s\n/, 'traefik.yaml': /idleConnTimeout: (\d+)s\n/, 'envoy.yaml': /\{ idle_timeout: (\d+)s \}/ }
  for (const [file, setting] of Object.entries(idle)) t.ok(secondsIn(file, setting) * 1000 < keepAliveMs, `${file} closes idle connections first`)
  t.ok(secondsIn('nginx.conf', /client_max_body_size (\d+)m;/) * 1024 * 1024 > FILE_BODY_LIMIT_BYTES, 'what is too large is refused by the gateway')
})

t.test('the test that CONTRIBUTING.md runs alone exists', async t => {
  const named = [...pageAt('CONTRIBUTING.md').matchAll(/npm run test:one -- (\S+?\.test\.ts)/g)].map(([, path = '']) => path)
  t.ok(named.length > 0, 'it names one')
  for (const path of named) t.ok(existsSync(join(projectDir, path)), path)
})

t.test('the tenants files of the documents are sound with a real key', async t => {
  for (const path of ['README.md', 'docs/tenants.md']) {
    const [file] = codeBlocksOf(pageAt(path)).filter(({ language }) => language === 'json')
    let keys = 0
    const text = file?.code.replaceAll('<hex>', () => String(++keys).repeat(64)) ?? ''
    t.ok(keys > 0)
    t.match(parseTenants(text, { models: builtInModels, isReal: true }), { ok: true }, path)
  }
})

t.test('the page of the sandbox shows sound faults, and names every kind and operation', async t => {
  const page = pageAt('docs/sandbox.md')
  const [list] = codeBlocksOf(page).filter(({ language }) => language === 'json')
  const faults: unknown = JSON.parse(list?.code ?? '')
  if (!Array.isArray(faults)) throw new Error('there is no list of faults')
  for (const fault of faults) t.ok(guardOf(Fault)(fault), JSON.stringify(fault))
  for (const { properties } of Fault.anyOf) for (const field of Object.keys(properties)) t.ok(page.includes(`\`${field}\``), field)
  for (const { properties } of Fault.anyOf) t.ok(page.includes(`| \`${properties.kind.const}\` |`), properties.kind.const)
  for (const operation of operations) t.ok(page.includes(`\`${operation}\``), operation)
})

t.test('every sentence of the runbook is one that a log line says', async t => {
  const sources = readdirSync(join(projectDir, 'src'), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).map(name => read(join('src', name)).replaceAll('\\\'', '\'')).join('\n')
  const [, runbook = ''] = /^## Runbook\n(.*)/ms.exec(pageAt('docs/operations.md')) ?? []
  const seen = [...runbook.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, said = '']) => said))
  t.ok(seen.length > 15, 'they were found')
  for (const said of seen) t.ok(sources.includes(said), said)
})
