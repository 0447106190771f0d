// Which tests are fast: a rule about what they import, so that no list has to be kept.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'

/** What a fast test may not load, itself or through files beside it: whatever starts a process, and the client of Redis. */
const slowPackages = new Set(['node:child_process', 'node:cluster', 'node:worker_threads', 'ioredis', 'playwright-core'])

/** Tests that are made to take long, or that need a machine to themselves. */
const slowFolders = ['heavy', 'bench', 'world']

/** The compiled tests below `dir` that start no process, talk to no Redis, and do not say by their name (`….slow.test.js`) that they take long; as paths below `dir`. */
export function fastTests (dir: string): readonly string[] {
  const loads = reader(dir)
  return testsIn(dir).filter(file => !isSlowByName(file) && reach(file, loads).packages.every(name => !slowPackages.has(name)))
}

/** Every compiled test below `dir`. */
export function testsIn (dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.js')).toSorted()
}

export function isSlowByName (file: string): boolean {
  return file.endsWith('.slow.test.js') || slowFolders.some(folder => file.startsWith(folder + '/'))
}

/** What a file imports while it runs: files below `dir`, and packages. */
export interface Loads { readonly files: readonly string[], readonly packages: readonly string[] }

/** All that is loaded with a file, itself included. */
export function reachOf (dir: string, file: string): Loads {
  return reach(file, reader(dir))
}

function reach (file: string, loads: (file: string) => Loads): Loads {
  const files = new Set([file])
  // A set gives out what was added while it is walked.
  for (const one of files) for (const next of loads(one).files) files.add(next)
  return { files: [...files], packages: [...new Set([...files].flatMap(one => loads(one).packages))] }
}

function reader (dir: string): (file: string) => Loads {
  const known = new Map<string, Loads>()
  return file => {
    const found = known.get(file) ?? read(dir, file)
    known.set(file, found)
    return found
  }
}

/** Types are gone from compiled files. Files of `src` are not looked into: what they start, they start only when a test asks. */
function read (dir: string, file: string): Loads {
  const names = ts.preProcessFile(readFileSync(join(dir, file), 'utf8'), true, true).importedFiles.map(({ fileName }) => fileName)
  const files = names.filter(name => name.startsWith('.')).map(name => join(dirname(file), name))
  return { files: files.filter(name => !name.startsWith('..') && existsSync(join(dir, name))), packages: names.filter(name => !name.startsWith('.')) }
}
