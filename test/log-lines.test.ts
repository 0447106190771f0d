// Every line that the gateway writes to its log is explained in docs/logs.md: nobody meets one at night that no page knows.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { storeFaults } from '../src/store-faults.ts'
import { pageAt } from './support/pages.ts'
import { projectDir } from './support/paths.ts'

const LEVELS = new Set(['fatal', 'error', 'warn', 'info', 'debug'])

/** Where sentences come from elsewhere: all that these files say is looked for in the page. */
const TABLES = ['generation/run/observe.ts', 'app/lifecycle.ts', 'app/disk-store.ts']

/** Sentences that are said by a name, and where the page has them. */
const elsewhere: Readonly<Record<string, string>> = {
  'app/store.ts sentence': 'the faults of Redis, by name',
  'app/lifecycle.ts message': 'a table of that file',
  'logger.ts message': 'the callers of createLineLog',
  'logger.ts sentence': 'the table of troubles',
  'app/sandbox-alone.ts message': 'the sandbox\'s own',
  'app/doors.ts message': 'the sandbox\'s own'
}

interface Found { readonly file: string, readonly texts: readonly string[] }

const src = join(projectDir, 'src')
const files = new Map(readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts') && !name.startsWith('http/pages/'))
  .map(name => [name, ts.createSourceFile(name, readFileSync(join(src, name), 'utf8'), ts.ScriptTarget.Latest, true)]))
const page = pageAt('docs/logs.md')

t.test('every sentence that a line of the log says is in docs/logs.md', async t => {
  const found = [...files].flatMap(([file, source]) => linesIn(file, source))
  t.ok(found.length > 35, `${found.length} were found`)
  for (const { file, texts } of found) for (const text of texts) t.ok(page.includes(text), `${file}: ${text}`)
})

t.test('every fault of Redis that is logged is named there', async t => {
  for (const fault of storeFaults) t.ok(page.includes(`\`${fault}\``), fault)
})

t.test('every field of such a line is named there', async t => {
  const fields = [...files].flatMap(([file, source]) => fieldsIn(file, source))
  t.ok(fields.length > 30, `${fields.length} were found`)
  for (const { file, texts } of fields) for (const text of texts) t.ok(page.includes(`\`${text}\``), `${file}: ${text}`)
})

/** The sentences of a file's calls of the log, cut where something is put in. */
function linesIn (file: string, source: ts.SourceFile): readonly Found[] {
  const found: Found[] = []
  visit(source, node => {
    if (TABLES.includes(file) && ts.isStringLiteral(node) && node.text.includes(' ') && node.text.length > 20) found.push({ file, texts: [node.text] })
    if (!isLogCall(node)) return
    const message = node.arguments.at(-1)
    if (message === undefined || ts.isObjectLiteralExpression(message)) return
    const texts = textsOf(message)
    if (texts === null && elsewhere[`${file} ${lastName(message)}`] === undefined && !TABLES.includes(file)) throw new Error(`${file}: what does ${message.getText(source)} say?`)
    if (texts !== null) found.push({ file, texts })
  })
  return found
}

/** The names of the members that a file's calls of the log write. */
function fieldsIn (file: string, source: ts.SourceFile): readonly Found[] {
  const found: Found[] = []
  visit(source, node => {
    const facts = isLogCall(node) ? node.arguments[0] : undefined
    if (facts === undefined || !ts.isObjectLiteralExpression(facts)) return
    const names = facts.properties.flatMap(({ name }) => name !== undefined && ts.isIdentifier(name) ? [name.text] : [])
    found.push({ file, texts: names })
  })
  return found
}

function visit (node: ts.Node, look: (node: ts.Node) => void): void {
  look(node)
  ts.forEachChild(node, child => { visit(child, look) })
}

/** `log.warn(…)`, `app.log.info(…)`, `log[level](…)`. */
function isLogCall (node: ts.Node): node is ts.CallExpression {
  if (!ts.isCallExpression(node)) return false
  const { expression: called } = node
  if (ts.isPropertyAccessExpression(called)) return LEVELS.has(called.name.text) && lastName(called.expression) === 'log'
  return ts.isElementAccessExpression(called) && lastName(called.expression) === 'log'
}

function lastName (node: ts.Node): string {
  return ts.isIdentifier(node) ? node.text : ts.isPropertyAccessExpression(node) ? node.name.text : ''
}

/** What a message says, without what is put into it; null when it is only a name. */
function textsOf (message: ts.Expression): readonly string[] | null {
  if (ts.isStringLiteralLike(message)) return [message.text]
  if (ts.isTemplateExpression(message)) return [message.head.text, ...message.templateSpans.map(({ literal }) => literal.text)].map(text => text.trim()).filter(text => text !== '')
  return null
}
