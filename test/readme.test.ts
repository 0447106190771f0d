// The generated parts of the documentation say what the code does, and the README stays short.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { environmentExample, generated, section } from './support/docs.ts'
import { pageAt, pages } from './support/pages.ts'
import { projectDir } from './support/paths.ts'

for (const { page, section: name, text } of generated()) {
  t.test(`the ${name} of ${page} are those of the code (npm run docs)`, async t => {
    t.equal(section(pageAt(page), name), text)
  })
}

t.test('.env.example names every variable with its default (npm run docs)', async t => {
  t.equal(readFileSync(join(projectDir, '.env.example'), 'utf8'), environmentExample())
})

t.test('the README is read in minutes: at most 150 lines, which lead to every page', async t => {
  const readme = pageAt('README.md')
  t.ok(readme.trimEnd().split('\n').length <= 150)
  for (const { path } of pages) if (path !== 'README.md') t.ok(readme.includes(`](${path})`), path)
})

t.test('the README tells the command that tests everything', async t => {
  t.match(pageAt('README.md'), /^npm ci && npm test$/m)
})
