// fal's own Python client, as published, in an environment of its own outside of the project; made once and used again.

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The version that the suites were written against. */
export const FAL_CLIENT_VERSION = '1.0.3'

const INSTALL_TIMEOUT_MS = 240_000

/** The interpreter of an environment that has the client, or one line that says why there is none. */
export async function pythonWithFalClient (): Promise<{ readonly python: string } | { readonly missing: string }> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = join(cache, 'falgate', `fal-client-${FAL_CLIENT_VERSION}`)
  const python = join(folder, 'bin', 'python')
  if (existsSync(python)) return { python }
  // Made beside its place, so that one that was broken off is never taken for a whole one.
  const draft = `${folder}.${process.pid}`
  mkdirSync(join(cache, 'falgate'), { recursive: true })
  try {
    await run('python3', ['-m', 'venv', draft], { timeout: INSTALL_TIMEOUT_MS })
    await run(join(draft, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `fal_client==${FAL_CLIENT_VERSION}`], { timeout: INSTALL_TIMEOUT_MS })
    if (!existsSync(folder)) renameSync(draft, folder)
    return { python }
  } catch (error) {
    // Another suite may have been faster.
    if (existsSync(python)) return { python }
    return { missing: `fal_client ${FAL_CLIENT_VERSION} could not be installed from PyPI: ${firstLine(error)}` }
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function firstLine (error: unknown): string {
  const said = error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr.trim() !== '' ? error.stderr.trim() : String(error)
  return said.split('\n').at(-1) ?? said
}
