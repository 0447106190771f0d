// What takes part: falgate in its kinds of answers, and what it is measured against. Each is checked before anything is timed.

import { execFileSync } from 'node:child_process'
import { hash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readDockerfile } from '../support/image.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { freePort } from '../support/processes.ts'
import { findServer } from '../support/redis.ts'
import { openLine, type Reply } from './load.ts'
import { answering, cores, folder, inPath, nodeMeasured, pinned, startProcess, startServer, type Started } from './machine.ts'
import { bearer, fill, freshInput, hitOutput, post, sameInput, secretOf, tenantId, type RawRequest } from './requests.ts'

export interface Contestant {
  readonly name: string
  readonly what: string
  readonly port: number
  readonly pid: number
  readonly request: RawRequest
  /** What is wrong with an answer, or null. */
  readonly fault: (reply: Reply) => string | null
}

/** What cannot take part here, and why. */
export interface Absent { readonly name: string, readonly why: string }

/** What everybody stands on. */
export interface Ground { readonly redisPort: number, readonly upstreamPort: number }

const programs = new URL('./programs/', import.meta.url)

export function programFile (name: string): string {
  return fileURLToPath(new URL(name + '.js', programs))
}

/** Runs a program of this folder to its end, on the core of what is measured, and gives the numbers that it wrote, by name. */
export function numbersOf (name: string, args: readonly string[]): (name: string) => number {
  const [program = '', ...rest] = pinned(cores.server, [nodeMeasured(), '--expose-gc', programFile(name), ...args])
  const answer: unknown = JSON.parse(execFileSync(program, rest, { encoding: 'utf8' }))
  const numbers = new Map(Object.entries(Object(answer)))
  return key => Number(numbers.get(key))
}

export async function startGround (): Promise<Ground> {
  const [redisPort, upstreamPort] = [await freePort(), await freePort()]
  const data = mkdtempSync(join(folder, 'redis-'))
  // As ops are told to run it: every purchase on disk before it is answered.
  startProcess('redis', cores.load, [findServer(), '--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', data])
  await answering(startProcess('upstream', cores.load, [process.execPath, programFile('zero-delay-upstream'), String(upstreamPort)]), `http://127.0.0.1:${upstreamPort}/`)
  return { redisPort, upstreamPort }
}

// ------------------------------------------------------------------------------------------------ falgate

export interface Gateway extends Started { readonly port: number }

export interface GatewayOptions {
  readonly name: string
  /** How long a picture takes at the upstream. */
  readonly delayMs?: number
  readonly tenants?: number
  /** The program, when it is not this build's. */
  readonly cli?: string
  readonly env?: Readonly<Record<string, string>>
  readonly nodeArgs?: readonly string[]
}

/** Has Node write a CPU profile into a folder when the process ends. */
export function profiling (folder: string | undefined): Pick<GatewayOptions, 'nodeArgs'> {
  return folder === undefined ? {} : { nodeArgs: ['--cpu-prof', `--cpu-prof-dir=${folder}`] }
}

/** The options of Node that the image's command has. */
export function imageNodeArgs (): readonly string[] {
  return readDockerfile(readFileSync(join(projectDir, 'Dockerfile'), 'utf8')).command.filter(word => word.startsWith('--'))
}

/** Everything that production has: the ledger on Redis, limits, logs, metrics. Limits are so wide that none is reached. */
export async function startGateway ({ redisPort, upstreamPort }: Ground, { name, delayMs = 0, tenants = 1, cli = cliFile, env = {}, nodeArgs = [] }: GatewayOptions): Promise<Gateway> {
  const port = await freePort()
  const tenantsFile = join(folder, name + '-tenants.json')
  const most = { max: 1_000_000, windowSeconds: 1 }
  writeFileSync(tenantsFile, JSON.stringify({
    budget: { usd: 1_000_000, per: 'month' },
    tenants: Array.from({ length: tenants }, (_, index) => {
      const id = tenantId(index)
      return {
        id,
        keys: [{ id, sha256: hash('sha256', secretOf(id)) }],
        rateLimit: most,
        callLimit: most,
        maxInFlight: 10_000,
        maxQueued: 100_000,
        budget: { usd: 1_000_000, per: 'month' },
        cacheGroup: 'everybody'
      }
    })
  }))
  const started = startServer(name, [...nodeArgs, cli, 'serve'], {
    NODE_ENV: 'production',
    DRAIN_DELAY_SECONDS: '0',
    PORT: String(port),
    FAL_KEY: 'central-key-id:central-key-secret',
    FAL_QUEUE_URL: `http://127.0.0.1:${upstreamPort}${delayMs === 0 ? '' : `/delay-${delayMs}`}`,
    FAL_CONCURRENCY: '1000',
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    REDIS_NAMESPACE: randomUUID(),
    TENANTS_FILE: tenantsFile,
    ...env
  })
  await answering(started, `http://127.0.0.1:${port}/readyz`)
  return { ...started, port }
}

/** From spawning the process to its first answer. It is ended then. */
export async function startTimeMs (ground: Ground, options: GatewayOptions): Promise<number> {
  const beganMs = performance.now()
  const gateway = await startGateway(ground, options)
  const tookMs = performance.now() - beganMs
  await gateway.stop()
  await pause(100)
  return tookMs
}

export const hitRequest = post('/generate', sameInput, bearer(tenantId(0)))

export function missRequest (): RawRequest {
  return post('/generate', freshInput(randomUUID()), bearer(tenantId(0)))
}

export function falgateHit ({ port, pid }: Gateway): Contestant {
  return {
    name: 'falgate, hit',
    what: 'a stored result, through authentication, limits, cache, logs and metrics',
    port,
    pid,
    request: hitRequest,
    fault: reply => wrongOutput(reply) ?? (/\r\ncache-status: falgate; hit/i.test(reply.head) ? null : 'it is no hit')
  }
}

export function falgateMiss ({ port, pid }: Gateway): Contestant {
  return {
    name: 'falgate, miss',
    what: 'a whole generation: admitted, journalled, submitted, followed, fetched, settled and kept on Redis (appendfsync always)',
    port,
    pid,
    request: missRequest(),
    fault: reply => unlike(reply, /detail=bought/i) ?? (reply.body.includes('"images"') ? null : 'it has no picture')
  }
}

// ------------------------------------------------------------------------------------------------ what it is compared with

async function startRival (name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ readonly port: number, readonly pid: number }> {
  const port = await freePort()
  const started = startServer(name, args.map(arg => arg.replace('PORT', String(port))), env)
  await answering(started, `http://127.0.0.1:${port}/`)
  return { port, pid: started.pid }
}

export async function bareFastify ({ nodeArgs = [], env = {} }: Pick<GatewayOptions, 'nodeArgs' | 'env'> = {}): Promise<Contestant> {
  return {
    name: 'bare Fastify',
    what: 'one route with the same schema, no logs, the answer at hand',
    ...await startRival('bare-fastify', [...nodeArgs, programFile('bare-fastify'), 'PORT'], env),
    request: hitRequest,
    fault: wrongOutput
  }
}

export async function composition ({ redisPort }: Ground): Promise<Contestant> {
  return {
    name: 'Fastify composition',
    what: 'Fastify, @fastify/rate-limit on Redis and one GET of the stored result, no logs',
    ...await startRival('composition', [programFile('composition'), 'PORT', String(redisPort)]),
    request: hitRequest,
    fault: wrongOutput
  }
}

export async function expressProxy ({ upstreamPort }: Ground, packages: string): Promise<Contestant> {
  return {
    name: '@fal-ai/server-proxy',
    what: 'version 1.2.1 on Express 4, forwarding to an upstream that answers at once',
    ...await startRival('express-proxy', [programFile('express-proxy'), 'PORT', packages], { NODE_ENV: 'production' }),
    request: post('/api/fal/proxy', freshInput('proxy'), { 'x-fal-target-url': `http://127.0.0.1:${upstreamPort}/run/fal-ai/imagen4/preview/ultra` }),
    fault: reply => unlike(reply, /^/) ?? (reply.body.includes('"images"') ? null : 'it has no picture')
  }
}

export async function portkey ({ upstreamPort }: Ground, packages: string): Promise<Contestant> {
  return {
    name: 'Portkey gateway',
    what: `version ${PORTKEY}, forwarding a chat completion to an upstream that answers at once`,
    ...await startRival('portkey', [join(packages, 'node_modules/@portkey-ai/gateway/build/start-server.js'), '--port=PORT', '--headless'], { NODE_ENV: 'production' }),
    request: post('/v1/chat/completions', '{"model":"zero-delay","messages":[{"role":"user","content":"{n}"}]}', {
      authorization: 'Bearer key',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`
    }),
    fault: reply => unlike(reply, /^/) ?? (reply.body.includes('chat.completion') ? null : 'it is no completion')
  }
}

/** Debian's nginx as the ceiling: a cache of POST answers and nothing else. */
export async function nginxCache ({ upstreamPort }: Ground): Promise<Contestant | Absent> {
  const name = 'nginx proxy_cache'
  const nginx = inPath('nginx')
  if (nginx === null) return { name, why: 'nginx is not installed: apt-get install --no-install-recommends nginx-light' }
  const port = await freePort()
  const place = join(folder, 'nginx')
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'nginx.conf'), `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; master_process off; pid ${place}/pid; error_log ${place}/error.log;
    events { worker_connections 1024; }
    http {
      access_log off; keepalive_requests 100000000;
      client_body_temp_path ${place}/body; proxy_temp_path ${place}/proxy; fastcgi_temp_path ${place}/f; uwsgi_temp_path ${place}/u; scgi_temp_path ${place}/s;
      proxy_cache_path ${place}/cache keys_zone=results:1m;
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass http://127.0.0.1:${upstreamPort}/run/;
          proxy_cache results; proxy_cache_methods POST; proxy_cache_key "$request_uri $request_body"; proxy_cache_valid 200 1h;
          client_body_in_single_buffer on;
        }
      }
    }`)
  const started = startProcess('nginx', cores.server, [nginx, '-p', place, '-c', join(place, 'nginx.conf')])
  await answering(started, `http://127.0.0.1:${port}/`)
  return { name, what: 'Debian\'s nginx with one worker, answering POST from its cache: the ceiling', port, pid: started.pid, request: hitRequest, fault: wrongOutput }
}

// ------------------------------------------------------------------------------------------------ packages that only the benchmark needs

const PORTKEY = '1.15.2'
const PACKAGES = ['@fal-ai/server-proxy@1.2.1', 'express@4', `@portkey-ai/gateway@${PORTKEY}`]

/** A folder with the rivals' packages, fetched by npm the first time; or why there is none. */
export function fetchPackages (mayFetch: boolean): { readonly packages: string } | { readonly why: string } {
  const packages = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'falgate-bench')
  if (existsSync(join(packages, 'node_modules/@portkey-ai/gateway')) && existsSync(join(packages, 'node_modules/@fal-ai/server-proxy'))) return { packages }
  if (!mayFetch) return { why: `its package is not in ${packages} yet: run the whole benchmark once` }
  try {
    mkdirSync(packages, { recursive: true })
    writeFileSync(join(packages, 'package.json'), '{"private":true}\n')
    execFileSync('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', ...PACKAGES], { cwd: packages, stdio: ['ignore', 'ignore', 'pipe'], timeout: 180_000 })
    return { packages }
  } catch (error) {
    return { why: `npm could not fetch it: ${error instanceof Error ? error.message.split('\n', 1)[0] : 'unknown'}` }
  }
}

// ------------------------------------------------------------------------------------------------ checks

/** Asks twice, since the first answer may be the one that fills a cache. Throws when the second is wrong. */
export async function check ({ name, port, request, fault }: Contestant): Promise<void> {
  const line = await openLine(port)
  try {
    await line.ask(fill(request.text, 0))
    const wrong = fault(await line.ask(fill(request.text, 1)))
    if (wrong !== null) throw new Error(`${name}: ${wrong}`)
  } finally {
    line.close()
  }
}

function wrongOutput (reply: Reply): string | null {
  return unlike(reply, /^/) ?? (reply.body === hitOutput ? null : `it answered ${reply.body.slice(0, 100)}`)
}

function unlike ({ status, head, body }: Reply, pattern: RegExp): string | null {
  return status === 200 && pattern.test(head) ? null : `it answered ${status} ${body.slice(0, 200)}`
}
