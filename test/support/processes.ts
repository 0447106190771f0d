// Real processes for tests: started without the tester's environment, bounded in time, ended by their id.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { listen } from './listen.ts'
import { cliFile } from './paths.ts'
import { until } from './until.ts'

export type Env = Readonly<Record<string, string>>

/** How a process ended, and what it said. */
export interface Ended { readonly code: number | null, readonly stdout: string, readonly stderr: string }

/** A process under test. */
export interface Running {
  readonly child: ChildProcess
  /** Its end; killed when its time is up, and when the test is over. */
  readonly ended: Promise<Ended>
}

export interface StartOptions { readonly cwd?: string, readonly timeoutMs?: number }

/** Starts a Node program, for a minute at most unless told otherwise. */
export function start (t: Test, args: readonly string[], env: Env = {}, options: StartOptions = {}): Running {
  const folder = keepsByDefault(env) ? mkdtempSync(join(tmpdir(), 'falgate-data-')) : null
  if (folder !== null) t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  // tap puts itself into every child by NODE_OPTIONS, which doubles the time that a process takes to start.
  return startProgram(t, '/usr/bin/env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], folder === null ? env : { ...env, DATA_DIR: folder }, options)
}

/** With a real key a gateway keeps everything in a folder beside where it is started, which tests would share. */
function keepsByDefault (env: Env): boolean {
  const isReal = 'FAL_KEY_FILE' in env || !['', 'sandbox'].includes(env['FAL_KEY'] ?? '')
  return isReal && !['REDIS_URL', 'STORE', 'DATA_DIR'].some(name => name in env)
}

/** Starts a program of any kind. It has to have no children that outlive it when it is killed. */
export function startProgram (t: Test, program: string, args: readonly string[], env: Env = {}, { cwd, timeoutMs = 60_000 }: StartOptions = {}): Running {
  const child = spawn(program, [...args], { env: { ...env }, cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, stdout, stderr }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended }
}

/** Runs a falgate command to its end. */
export async function runCli (t: Test, args: readonly string[], env: Env = {}): Promise<Ended> {
  return await start(t, [cliFile, ...args], env).ended
}

/** A port that was free a moment ago. */
export async function freePort (): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until the process answers `GET url` with 200, and gives the body. Rejects when the process ends first. */
export async function answering ({ ended }: Running, url: string): Promise<string> {
  const gaveUp = ended.then(({ code, stderr }) => { throw new Error(`ended with ${code}: ${stderr}`) })
  const answered = until(async () => {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => null)
    if (response?.status === 200) return await response.text()
    await response?.body?.cancel()
    return null
  }, { what: `${url} answers` })
  return await Promise.race([answered, gaveUp])
}
