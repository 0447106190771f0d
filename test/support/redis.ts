// A Redis for tests: the one that REDIS_URL names, that of the run, or a private server on a free port that ends with the test process.

import { execFileSync, spawn, type ExecFileSyncOptions } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { commandsIn, ledgerCommands, moveCommands, readScripts } from '../../src/store/redis/script.ts'
import { freePort } from './processes.ts'
import { until } from './until.ts'

/** A server of one's own, to be stopped, filled and cut. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** The variable that names the Redis of a whole run (with-redis.ts). A test process without one starts its own. */
export const SHARED_URL = 'TEST_REDIS_URL'

/** The URL of a Redis that may be shared with other tests: use a namespace of your own. */
export async function redisUrl (): Promise<string> {
  return givenUrl() ?? named(SHARED_URL) ?? await ownUrl()
}

let own: Promise<RedisServer> | null = null

/** That of a server for this process alone. */
async function ownUrl (): Promise<string> {
  own ??= launch([]).then(server => {
    server.letGo()
    return server
  })
  return (await own).url
}

/** A Redis for all processes of a run, until it is stopped. */
export async function startSharedRedis (): Promise<RedisServer> {
  return await launch([])
}

/** A Redis that is not ours, from REDIS_URL. */
function givenUrl (): string | null {
  return named('REDIS_URL')
}

function named (variable: string): string | null {
  const value = process.env[variable] ?? ''
  return value === '' ? null : value
}

let limited: Promise<string> | null = null

/**
 * A Redis for a user that may do no more than a gateway and an audit have to; with a REDIS_URL that was given its own user. It is not that of the run:
 * an audit looks through all keys of a server, so among those of other tests it would take ten times as long, and contract and walks audit after each step.
 */
export async function limitedRedisUrl (): Promise<string> {
  const given = givenUrl()
  if (given !== null) return given
  limited ??= (async () => {
    const url = await ownUrl()
    const redis = new Redis(url)
    const forTests = commandsIn(readScripts().audit.source + readScripts().library).map(command => '+' + command.toLowerCase())
    await redis.call('ACL', 'SETUSER', 'gate', ...aclRules({ password: 'gate', namespace: '*' }), '+eval', '+evalsha', '+scan', ...[...moveCommands().map(command => '+' + command.toLowerCase()), ...forTests])
    redis.disconnect()
    const { port } = new URL(url)
    return `redis://gate:gate@127.0.0.1:${port}`
  })()
  return await limited
}

/** What the docs tell to allow it in a cluster beside that: which node has which slots. */
export const clusterRights = ['+cluster|slots'] as const

/** What the docs tell to allow a gateway's user. */
export function aclRules ({ password, namespace }: { readonly password: string, readonly namespace: string }): readonly string[] {
  const commands = ['fcall', 'function|load', ...ledgerCommands().map(command => command.toLowerCase())]
  return ['on', '>' + password, `~{${namespace}}:*`, 'resetchannels', `&{${namespace}}:*`, '-@all', ...commands.map(command => '+' + command)]
}

/** A server for one test, ended with it. `args` are those of redis-server. */
export async function startRedis (t: Test, args: readonly string[] = [], port?: number): Promise<RedisServer> {
  const server = await launch(args, port)
  t.teardown(server.stop)
  return server
}

interface Launched extends RedisServer {
  /** The test process does not stay for it. */
  readonly letGo: () => void
}

/** Another process may take a port between choosing and listening, so it is tried again with another one. */
async function launch (args: readonly string[], port?: number): Promise<Launched> {
  for (let attempt = 1; ; attempt += 1) {
    const server = await spawnServer(args, port ?? await freePort())
    try {
      await untilListening(server.port, server.pid)
      return server
    } catch (error) {
      await server.stop()
      if (attempt === 5) throw error
    }
  }
}

async function spawnServer (args: readonly string[], port: number): Promise<Launched> {
  const folder = mkdtempSync(join(tmpdir(), 'falgate-redis-'))
  const command = [findServer(), '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, '--logfile', 'redis.log', ...args]
  // The shell ends the server and its folder when its input ends, which happens however this process dies.
  const script = 'folder=$1; shift; "$@" & echo $!; read -r _; kill -CONT $!; kill -KILL $!; wait; rm -rf "$folder"'
  const child = spawn('sh', ['-c', script, 'sh', folder, ...command], { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'close')
  const [line] = await once(createInterface(child.stdout), 'line')
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: Number(line),
    letGo: () => {
      child.unref()
      for (const stream of [child.stdin, child.stdout]) if ('unref' in stream && typeof stream.unref === 'function') stream.unref()
    },
    stop: async () => {
      child.stdin.end()
      await ended
    }
  }
}

/** redis-server or valkey-server from the PATH; as root on Debian it is installed when there is none. */
export function findServer (): string {
  const found = inPath('redis-server') ?? inPath('valkey-server')
  if (found !== null) return found
  if (process.getuid?.() === 0 && inPath('apt-get') !== null) {
    process.stderr.write('# Installing redis-server with apt-get: the tests of the ledger need it.\n')
    const quiet: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
    execFileSync('apt-get', ['update'], quiet)
    execFileSync('apt-get', ['install', '--yes', '--no-install-recommends', 'redis-server'], quiet)
    const installed = inPath('redis-server')
    if (installed !== null) return installed
  }
  throw new Error('The tests of the ledger need a Redis: install redis-server or valkey-server 7 or newer, or set REDIS_URL.')
}

function inPath (name: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // not in this one
    }
  }
  return null
}

/**
 * Waits until Redis answers: any answer but that it is still loading, one that asks for a password too; with `pid` only one of that very process,
 * since another may have taken the port.
 */
export async function untilListening (port: number, pid?: number): Promise<void> {
  await until(async () => {
    const said = await infoOf(port)
    if (said === null || pid === undefined) return said !== null && !said.startsWith('-LOADING')
    const id = /process_id:(\d+)/.exec(said)?.[1]
    if (id !== undefined && id !== String(pid)) throw new Error(`another process listens on port ${port}`)
    return id !== undefined
  }, { what: `redis-server listens on port ${port}`, patienceMs: 20_000 })
}

/** What a server says about itself; `null` while there is none. */
async function infoOf (port: number): Promise<string | null> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write('INFO server\r\n')
    const [data] = await once(socket, 'data')
    return String(data)
  } catch {
    return null
  } finally {
    socket.destroy()
  }
}
