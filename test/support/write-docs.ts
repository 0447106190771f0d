// `npm run docs`: writes what the documentation takes from code.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { environmentExample, generated, withSection } from './docs.ts'
import { projectDir } from './paths.ts'

for (const { page, section, text } of generated()) {
  const file = join(projectDir, page)
  writeFileSync(file, withSection(readFileSync(file, 'utf8'), section, text))
}
writeFileSync(join(projectDir, '.env.example'), environmentExample())
