// `npm run docs`: writes what the documentation takes from code.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { environmentExample, environmentTable, problemsTable, withSection } from './docs.ts'
import { projectDir } from './paths.ts'

const readme = join(projectDir, 'README.md')
const sections = { environment: environmentTable(), problems: problemsTable() }

let document = readFileSync(readme, 'utf8')
for (const [name, text] of Object.entries(sections)) document = withSection(document, name, text)
writeFileSync(readme, document)
writeFileSync(join(projectDir, '.env.example'), environmentExample())
