// What the tests below `test/world` share: programs of the outside, and the file that says which versions the last run met.

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { projectDir } from './paths.ts'

const execute = promisify(execFile)

/** Long enough to install what comes from a registry on a busy machine: it only ends what hangs. */
const PROGRAM_TIMEOUT_MS = 600_000

/** How much of what a program said is told when it fails. */
const TOLD_CHARACTERS = 2_000

export interface ProgramOptions { readonly cwd?: string, readonly env?: Readonly<Record<string, string>> }

/** Runs a program to its end and gives what it printed. Throws, with the end of what it said. `needs`: where a missing one comes from. */
export async function run (program: string, args: readonly string[], { cwd, env = {} }: ProgramOptions = {}, needs = 'see the head of this test'): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], { ...cwd === undefined ? {} : { cwd }, env: { ...process.env, ...env }, timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 })
    return stdout
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw new Error(`${program} is not on this machine (${needs})`, { cause: error })
    const said = error instanceof Error && 'stdout' in error && 'stderr' in error ? `${String(error.stdout)}\n${String(error.stderr)}`.trim() : ''
    throw new Error(`${program} ${args.join(' ')} failed: ${said.slice(-TOLD_CHARACTERS)}`, { cause: error })
  }
}

/** A folder outside of the project, for what is installed and made; it goes with the test. */
export function workFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'falgate-world-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

const file = join(projectDir, 'test', 'world', 'last-run.md')

const HEAD = '# The last runs\n\nWritten by `npm run test:world -- <shard>`, a part for each shard: what it met, and what came of it.\n'

/** Writes a shard's part of the file: its day, and a line for each thing of the outside. */
export function writeLastRun (shard: string, rows: ReadonlyArray<readonly [what: string, version: string, outcome: string]>): void {
  const written = existsSync(file) ? readFileSync(file, 'utf8') : HEAD
  const [head = HEAD, ...parts] = written.split(/\n(?=## )/)
  const table = ['| what | version | outcome |', '| --- | --- | --- |', ...rows.map(cells => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`)]
  const own = `## ${shard}\n\n${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}\n\n${table.join('\n')}\n`
  const others = parts.filter(part => !part.startsWith(`## ${shard}\n`)).map(part => part.trimEnd() + '\n')
  writeFileSync(file, [head.trimEnd() + '\n', ...[...others, own].toSorted()].join('\n'))
}
