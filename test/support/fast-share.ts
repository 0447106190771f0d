// Runs fast test files in this process, one after the other, each the next that no other such process has begun, and tells its progress on standard error:
// node fast-share.js <folder in which the processes mark what they begin>

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { fastTests } from './fast.ts'

const dir = fileURLToPath(new URL('..', import.meta.url))
const [begun = ''] = process.argv.slice(2)
const all = fastTests(dir)

for (const [index, file] of all.entries()) {
  if (!begin(index)) continue
  const sinceMs = performance.now()
  await import(pathToFileURL(join(dir, file)).href)
  // A limit that a file sets for its process is not meant for this one.
  t.setTimeout(0)
  // The tests of a file wait in a queue, and this is its end.
  await t.test(`the end of ${file}`, async () => {
    process.stderr.write(`# ${((performance.now() - sinceMs) / 1000).toFixed(1).padStart(5)} s  ${file} (${index + 1} of ${all.length})\n`)
  })
}

/** A folder is made by one process only. */
function begin (index: number): boolean {
  try {
    mkdirSync(join(begun, String(index)))
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}
