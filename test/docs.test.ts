// What the documents name is there.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectDir } from './support/paths.ts'

const folder = join(projectDir, 'docs')

for (const page of readdirSync(folder).filter(name => name.endsWith('.md'))) {
  t.test(`every file and folder that docs/${page} names exists`, async t => {
    const named = [...readFileSync(join(folder, page), 'utf8').matchAll(/`((?:src|test|docker|openapi)\/[\w./-]*)`/g)].map(([, path = '']) => path)
    t.ok(named.length > 0, 'it names some')
    t.same([...new Set(named)].filter(path => !existsSync(join(projectDir, path))), [])
  })
}
