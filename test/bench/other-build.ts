// Another commit of this repository, built in a folder of its own.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { projectDir } from '../support/paths.ts'
import { folder } from './machine.ts'
import { refuse } from './plan.ts'

/** Builds what git calls `ref`; gives the folder, which goes with those of this run. Dependencies are this build's where the lock files are equal, else they are installed. */
export function buildCommit (ref: string): string {
  const commit = commitOf(ref)
  const place = join(folder, `build-of-${commit.slice(0, 12)}`)
  mkdirSync(place)
  // Not a work tree: that would leave a trace in the repository when this process is killed.
  execFileSync('tar', ['-x', '-C', place], { input: execFileSync('git', ['archive', commit], { cwd: projectDir, maxBuffer: 1e9 }) })
  const lockIn = (at: string): string => readFileSync(join(at, 'package-lock.json'), 'utf8')
  const isSame = lockIn(place) === lockIn(projectDir)
  if (isSame) symlinkSync(join(projectDir, 'node_modules'), join(place, 'node_modules'))
  // Installing builds, too.
  execFileSync('npm', isSame ? ['run', 'build'] : ['ci', '--no-audit', '--no-fund'], { cwd: place, stdio: ['ignore', 'ignore', 'inherit'] })
  return place
}

function commitOf (ref: string): string {
  try {
    return execFileSync('git', ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`], { cwd: projectDir, encoding: 'utf8' }).trim()
  } catch {
    return refuse(`--compare: git knows no commit "${ref}"`)
  }
}
