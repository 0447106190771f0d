// The generated parts of the documentation say what the code does.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { environmentExample, environmentTable, problemsTable, section } from './support/docs.ts'
import { projectDir } from './support/paths.ts'

const readme = readFileSync(join(projectDir, 'README.md'), 'utf8')

t.test('the README lists every variable as the code reads it (npm run docs)', async t => {
  t.equal(section(readme, 'environment'), environmentTable())
})

t.test('the README answers "May I send it again?" for every problem (npm run docs)', async t => {
  t.equal(section(readme, 'problems'), problemsTable())
})

t.test('.env.example names every variable with its default (npm run docs)', async t => {
  t.equal(readFileSync(join(projectDir, '.env.example'), 'utf8'), environmentExample())
})
