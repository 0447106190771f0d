// What `docker compose --profile ops up` adds: two gateways behind HAProxy, and what shows how they are. `npm run test:world -- ops` runs the programs themselves.

import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import t from 'tap'
import { longestCloseMs } from '../../src/app/drain.ts'
import { parseConfig } from '../../src/config.ts'
import { variables } from '../../src/settings.ts'
import { nodeOptions, opsServices, readCompose } from '../support/compose.ts'
import { makeCertificate } from '../support/fal/certificate.ts'
import { readDockerfile } from '../support/image.ts'
import { readTargets, readYaml } from '../support/monitoring.ts'
import { projectDir } from '../support/paths.ts'
import { startProgram } from '../support/processes.ts'

const { services } = readCompose()
const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8')
const balanced = ['gateway-one', 'gateway-two'] as const

t.test('without the profile there are the gateway and Redis, as before', async t => {
  t.same(Object.entries(services).filter(([, { profiles }]) => profiles === undefined).map(([name]) => name), ['gateway', 'redis'])
  for (const name of opsServices) t.same(services[name].profiles, ['ops'], name)
})

t.test('both gateways are the one without the profile, but for what being behind HAProxy takes', async t => {
  for (const name of balanced) {
    const { profiles, command, environment, ports, volumes, depends_on: needed, ...same } = services[name]
    const { environment: before = {}, ports: published, volumes: mounted = [], depends_on: neededBefore, ...gateway } = services.gateway
    t.same(same, gateway, name)
    t.same(volumes, [...mounted, 'tracing:/tracing:ro'])
    t.same(needed, { ...neededBefore, tracing: { condition: 'service_completed_successfully' } })
    t.same(ports, [], 'nobody reaches them but through HAProxy')
    const differing = Object.entries(environment ?? {}).filter(([setting, value]) => before[setting] !== value).map(([setting]) => setting)
    t.same(differing.filter(setting => !setting.startsWith('OTEL_')), ['REDIS_NAMESPACE', 'TRUST_PROXY'])
    t.ok(published !== undefined && profiles !== undefined && command !== undefined)
  }
})

t.test('a gateway of the profile asks the shared sandbox in a trial, and never with a key of fal', async t => {
  const image = readDockerfile(read('Dockerfile'))
  for (const name of balanced) {
    const [shell = '', ...args] = services[name].command ?? []
    t.equal(args.at(-1)?.replaceAll('$$', '$').split('exec ')[1], image.command.join(' '), 'then it is the image\'s own command, in place of the shell')
    const bin = t.testdir({ node: '#!/bin/sh\necho "queue: $FAL_QUEUE_URL storage: $FAL_REST_URL"\n' })
    chmodSync(join(bin, 'node'), 0o755)
    const queueUrl = async (env: Readonly<Record<string, string>>): Promise<string> => (await startProgram(t, shell, args.map(arg => arg.replaceAll('$$', '$')), { PATH: `${bin}:${process.env['PATH'] ?? ''}`, ...env }).ended).stdout.trim()
    t.equal(await queueUrl({ FAL_KEY: 'sandbox' }), 'queue: http://sandbox:8080/queue storage: http://sandbox:8080')
    t.equal(await queueUrl({ FAL_KEY: '', FAL_KEY_FILE: '/run/secrets/fal-key' }), 'queue:  storage:')
    t.equal(await queueUrl({ FAL_KEY: 'id:secret' }), 'queue:  storage:')
  }
})

t.test('every process has more time to end than a stop takes at most, and HAProxy as long as callers wait', async t => {
  const defaults = parseConfig({ ...readDockerfile(read('Dockerfile')).env, FAL_KEY: 'sandbox' })
  if (!defaults.ok) throw new Error('the image\'s environment is not sound')
  for (const name of [...balanced, 'haproxy'] as const) t.ok(Number.parseInt(services[name].stop_grace_period ?? '', 10) * 1000 > longestCloseMs(defaults.config), name)
  const lastMs = Number(/hard-stop-after (\d+)s/.exec(read('docker/haproxy/haproxy.cfg'))?.[1]) * 1000
  t.ok(lastMs > defaults.config.waitMs && lastMs < longestCloseMs(defaults.config))
})

t.test('a gateway of the profile records spans where their packages are, and sends them to the collector', async t => {
  const [, receiver = ''] = /http:\n\s+endpoint: 0\.0\.0\.0:(\d+)/.exec(read('docker/otel-collector/config.yaml')) ?? []
  for (const name of balanced) {
    t.equal(services[name].environment?.['OTEL_EXPORTER_OTLP_ENDPOINT'], `http://otel-collector:${receiver}`)
    const folder = t.testdir({ bin: { node: '#!/bin/sh\necho "$NODE_OPTIONS"\n' } })
    chmodSync(join(folder, 'bin', 'node'), 0o755)
    const options = async (): Promise<string> => (await nodeOptions(t, name, folder, { PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}` })).trim()
    t.equal(await options(), '', 'without the packages it serves without spans')
    writeFileSync(join(folder, 'installed'), '')
    t.equal(await options(), `--import=${folder}/node_modules/@opentelemetry/auto-instrumentations-node/build/src/register.js`)
  }
})

t.test('the packages are installed once and whole; gateways start without them when that fails', async t => {
  const [shell = '', ...args] = services.tracing.command ?? []
  t.same([shell, ...args], ['sh', '/install.sh', '/tracing'])
  const folder = t.testdir({ bin: { npm: '#!/bin/sh\n[ ! -e "$FAILS" ] || exit 1\necho "$@" >> "$CALLS"\nmkdir "$(dirname "$CALLS")/volume/node_modules"\n' }, volume: {} })
  chmodSync(join(folder, 'bin', 'npm'), 0o755)
  const [calls, fails, volume] = [join(folder, 'calls'), join(folder, 'fails'), join(folder, 'volume')]
  const install = (): string => execFileSync('sh', [join(projectDir, 'docker/tracing/install.sh'), volume], { encoding: 'utf8', env: { ...process.env, CALLS: calls, FAILS: fails, PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}` }, stdio: ['ignore', 'pipe', 'ignore'] })
  const marked = (): readonly string[] => readdirSync(volume)

  writeFileSync(fails, '')
  install()
  t.same(marked(), [], 'it ends well, and nothing is loaded')
  rmSync(fails)
  install()
  install()
  t.same(marked(), ['installed', 'node_modules'])
  const [call = '', ...more] = readFileSync(calls, 'utf8').trim().split('\n')
  t.same(more, [], 'a later start asks no registry')
  const packages = readFileSync(join(volume, 'installed'), 'utf8').trim()
  t.ok(call.endsWith(packages) && call.includes('--ignore-scripts'), call)
  for (const one of packages.split(' ')) t.match(one, /@\d+\.\d+\.\d+$/, 'its version is said')
  const documented = /npm install --no-save (\S+)/.exec(read('docs/operations.md'))?.[1]
  t.equal(packages.split(' ')[0], documented, 'the version that the page names')

  writeFileSync(join(volume, 'installed'), 'other packages')
  install()
  t.equal(readFileSync(join(volume, 'installed'), 'utf8').trim(), packages, 'other ones are replaced')
  t.equal(readFileSync(calls, 'utf8').trim().split('\n').length, 2)
})

t.test('what the profile tells falgate are settings', async t => {
  const known = variables.map(({ name }) => name)
  const given = [...balanced, 'sandbox' as const].flatMap(name => Object.keys(services[name].environment ?? {}))
  t.ok(given.length > 10, 'they were found')
  // Those of OpenTelemetry are read by its packages.
  t.same(given.filter(name => !known.includes(name) && !name.startsWith('OTEL_')), [])
})

t.test('everybody reaches HAProxy, and only this machine what has no TLS', async t => {
  const published = Object.fromEntries(opsServices.map(name => [name, services[name].ports ?? []]).filter(([, ports]) => ports?.length !== 0))
  t.same(published, { sandbox: ['127.0.0.1:8081:8080'], haproxy: ['8443:8443'], prometheus: ['127.0.0.1:9090:9090'], grafana: ['127.0.0.1:3000:3000'] })
  t.match(read('docker/haproxy/haproxy.cfg'), / bind :8443 ssl /)
})

t.test('images of others are pinned by version, and none may do more than it has to', async t => {
  for (const name of opsServices) {
    const { image, build, cap_drop: dropped, security_opt: security } = services[name]
    t.ok(build === '.' || /:v?\d+\.\d+\.\d+$/.test(image ?? ''), `${name}: ${image}`)
    t.same({ dropped, security }, { dropped: ['ALL'], security: ['no-new-privileges:true'] }, name)
  }
  t.same(opsServices.filter(name => services[name].cap_add !== undefined), ['certificate'])
})

t.test('HAProxy has every setting of docker/proxies/haproxy.cfg, which is tried with callers', async t => {
  const settingsOf = (file: string): readonly string[] => read(file).split('\n').map(line => line.trim()).filter(line => line !== '' && !line.startsWith('#'))
  const theirs = new Set(settingsOf('docker/haproxy/haproxy.cfg'))
  const isPlace = (line: string): boolean => /^(bind|server|http-check send|default-server) /.test(line)
  const proved = settingsOf('docker/proxies/haproxy.cfg')
  t.ok(proved.length > 15, 'they were found')
  t.same(proved.filter(line => !isPlace(line) && !theirs.has(line)), [])
  const [check = ''] = proved.filter(line => line.startsWith('default-server '))
  t.ok([...theirs].some(line => line.startsWith(`${check} `)), check)
  t.same([...theirs].filter(line => line.startsWith('retry-on')), ['retry-on conn-failure'], 'no POST is sent twice')
})

t.test('Prometheus asks what compose starts, and Grafana asks Prometheus', async t => {
  const targets = readTargets()
  t.same(targets, ['gateway-one:9464', 'gateway-two:9464', 'haproxy:8405', 'otel-collector:8888'])
  for (const target of targets) t.ok(Object.hasOwn(services, target.split(':')[0] ?? ''), target)
  t.equal(readDockerfile(read('Dockerfile')).env['OPS_PORT'], '9464')
  t.match(readYaml('docker/grafana/provisioning/datasources/prometheus.yml'), { datasources: [{ type: 'prometheus', url: 'http://prometheus:9090' }] })
  t.match(readYaml('docker/grafana/provisioning/dashboards/falgate.yml'), { providers: [{ type: 'file', options: { path: '/var/lib/grafana/dashboards' } }] })
  const mounts = services.grafana.volumes ?? []
  t.ok(mounts.includes('./docker/grafana/dashboard.json:/var/lib/grafana/dashboards/falgate.json:ro'))
  t.ok(mounts.includes('./docker/grafana/provisioning:/etc/grafana/provisioning:ro'))
})

t.test('the certificate is made once, for this machine\'s names; one that is given takes its place; only HAProxy reads the key', async t => {
  const folder = t.testdir({ none: '' })
  const owner = `${process.getuid?.()}:${process.getgid?.()}`
  const lay = (given: string): void => { execFileSync('sh', [join(projectDir, 'docker/haproxy/certificate.sh'), given, folder, owner], { stdio: 'pipe' }) }
  const laid = (): string => readFileSync(join(folder, 'falgate.pem'), 'utf8')

  lay(join(folder, 'none'))
  const made = laid()
  const certificate = new X509Certificate(made)
  t.equal(certificate.checkHost('localhost'), 'localhost')
  t.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1')
  t.doesNotThrow(() => createSecureContext({ cert: made, key: made }), 'its key stands beside it')
  t.equal(statSync(join(folder, 'falgate.pem')).mode & 0o077, 0)
  t.notMatch(readFileSync(join(folder, 'falgate.crt'), 'utf8'), 'PRIVATE', 'what is handed out has no key')

  lay(join(folder, 'none'))
  t.equal(laid(), made, 'browsers that trust it go on trusting it')

  const { certFile, keyFile } = makeCertificate(t, folder)
  const given = join(folder, 'given.pem')
  writeFileSync(given, readFileSync(certFile, 'utf8') + readFileSync(keyFile, 'utf8'))
  lay(given)
  t.equal(laid(), readFileSync(given, 'utf8'))
  writeFileSync(given, 'no certificate')
  t.throws(() => { lay(given) }, 'HAProxy is not started with what is none')
  t.match(laid(), 'BEGIN CERTIFICATE', 'and the one before stays')
})
