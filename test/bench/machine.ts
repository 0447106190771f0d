// The machine under the benchmark: cores, processes pinned to them, what they use, and how to describe it all.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** A process that was started here. */
export interface Started {
  readonly pid: number
  readonly stop: () => Promise<void>
  /** The same without a word to it. */
  readonly kill: () => Promise<void>
  /** Rejects when it ends by itself. */
  readonly died: Promise<never>
}

/** Where processes run: what is measured on one core, everything else on another. */
export interface Cores { readonly server: number | null, readonly load: number | null }

/** Files of this run; gone with `endAll`. */
export const folder = mkdtempSync(join(tmpdir(), 'falgate-bench-'))

const running = new Set<Started>()

/** Two cores when there are two and `taskset` can pin to them. */
export const cores: Cores = cpus().length >= 2 && inPath('taskset') !== null ? { server: 0, load: 1 } : { server: null, load: null }

export function inPath (name: string): string | null {
  for (const place of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    try {
      accessSync(join(place, name), constants.X_OK)
      return join(place, name)
    } catch {
      // not in this one
    }
  }
  return null
}

/** The command that runs on a core. */
export function pinned (core: number | null, command: readonly string[]): readonly string[] {
  return core === null ? command : ['taskset', '-c', String(core), ...command]
}

/** Puts this process, which is the load, on its core. */
export function pinSelf (): void {
  if (cores.load !== null) execFileSync('taskset', ['-a', '-c', '-p', String(cores.load), String(process.pid)], { stdio: 'ignore' })
}

/** Starts a process that writes to a file, as under a service manager. */
export function startProcess (name: string, core: number | null, command: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  const log = openSync(join(folder, name + '.log'), 'a')
  const [program = '', ...args] = pinned(core, command)
  const child = spawn(program, args, { env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env }, stdio: ['ignore', log, log] })
  closeSync(log)
  const ended = once(child, 'close')
  let isWanted = false
  const died = ended.then(() => {
    const said = isWanted ? '' : logOf(name)
    if (isWanted) return new Promise<never>(() => {})
    throw new Error(`${name} ended: ${said.slice(-2000)}`)
  })
  died.catch(() => {}) // heard by the code that waits for it
  const started: Started = {
    pid: child.pid ?? 0,
    died,
    stop: async () => {
      isWanted = true
      running.delete(started)
      child.kill('SIGTERM')
      const killer = setTimeout(() => { child.kill('SIGKILL') }, 3000)
      await ended
      clearTimeout(killer)
    },
    kill: async () => {
      isWanted = true
      running.delete(started)
      child.kill('SIGKILL')
      await ended
    }
  }
  running.add(started)
  return started
}

let measuredNode = process.execPath

/** The Node of what is measured. Load and upstream are always run by the one that runs this. */
export function nodeMeasured (): string {
  return measuredNode
}

/** Has everything that is measured from now on run by this Node. */
export function measureOn (program: string): void {
  measuredNode = program
}

/** Starts a program on the Node that is measured, and on its core. */
export function startServer (name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  return startProcess(name, cores.server, [measuredNode, ...args], env)
}

export function logOf (name: string): string {
  return readFileSync(join(folder, name + '.log'), 'utf8')
}

/** Ends every process that was started here. */
export async function stopAll (): Promise<void> {
  await Promise.all([...running].map(async ({ stop }) => { await stop() }))
}

/** Ends everything that was started here and takes its files away. */
export async function endAll (): Promise<void> {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}

/** Waits until an HTTP server answers anything at all. */
export async function answering (started: Started, url: string): Promise<void> {
  const ask = async (): Promise<void> => {
    for (let tries = 0; tries < 600; tries++) {
      const response = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => null)
      await response?.body?.cancel()
      if (response !== null && response.status !== 503) return
      await pause(25)
    }
    throw new Error(`${url} gave no answer`)
  }
  await Promise.race([ask(), started.died])
}

/** Kernel ticks, which are hundredths of a second on Linux. */
const TICK_US = 10_000

/** User and system time that a process has used, in microseconds; NaN where the kernel does not tell. */
export function cpuUsOf (pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_US
  } catch {
    return NaN
  }
}

/** Resident memory in MiB; NaN where the kernel does not tell. */
export function residentMibOf (pid: number): number {
  return statusMibOf(pid, /^VmRSS:\s+(\d+) kB/m)
}

/** The most that it ever was. */
export function mostResidentMibOf (pid: number): number {
  return statusMibOf(pid, /^VmHWM:\s+(\d+) kB/m)
}

function statusMibOf (pid: number, line: RegExp): number {
  try {
    return Number(line.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? NaN) / 1024
  } catch {
    return NaN
  }
}

/** One line for the report. */
export function describeMachine (): string {
  const [{ model = 'unknown' } = {}] = cpus()
  return `${cpus().length} × ${model.trim()}, ${process.platform} ${process.arch}`
}

/** The version of the Node that is measured, such as `v20.20.2`. */
export function versionMeasured (): string {
  return execFileSync(measuredNode, ['--version'], { encoding: 'utf8' }).trim()
}

/** How busy the machine is, over 1, 5 and 15 minutes. */
export function describeLoad (): string {
  return loadavg().map(load => load.toFixed(2)).join(', ')
}
