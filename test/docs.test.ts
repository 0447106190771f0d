// The pages about the inside name what is there; that what they name exists, `pages.test.ts` holds.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openOperations } from '../src/generation/ledger.ts'
import { moves, phases } from '../src/generation/phases.ts'
import { codeBlocksOf } from './support/pages.ts'
import { projectDir } from './support/paths.ts'

const folder = join(projectDir, 'docs')

const ledgerPage = readFileSync(join(folder, 'ledger.md'), 'utf8')
const lua = join(projectDir, 'src', 'store', 'redis', 'lua')

/** What the first group of `pattern` finds, once each. */
function allIn (text: string, pattern: RegExp): readonly string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, found = '']) => found))]
}

function sourcesIn (path: string, ending: RegExp): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && ending.test(entry.name))
    .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
}

t.test('every rule that a comment cites stands in docs/ledger.md, once', async t => {
  const sources = [...sourcesIn(join(projectDir, 'src'), /\.(ts|lua)$/), ...sourcesIn(join(projectDir, 'test'), /\.ts$/)]
  // Comments only: tests call a price rule `rule 9`.
  const comments = sources.flatMap(text => text.split('\n').filter(line => /^\s*(\/\/|--|\*|\/\*\*)|\s(\/\/|--) /.test(line)))
  const cited = comments.flatMap(line => [...line.matchAll(/\brules? (\d+(?:(?:, | and | to )\d+)*)/g)].flatMap(([, numbers = '']) => numbers.match(/\d+/g) ?? []))
  t.ok(cited.length > 30, 'they were found')
  const written = [...ledgerPage.matchAll(/^\*\*Rule (\d+):/gm)].map(([, number = '']) => number)
  t.same([...new Set(cited)].filter(number => !written.includes(number)), [], 'none is cited that is not written')
  t.same(written.filter((number, place) => written.indexOf(number) !== place), [], 'none is written twice')
})

t.test('docs/ledger.md has the operations of the scripts, and no others', async t => {
  const [, table = ''] = /local operations = \{\n([^}]*)\n\}/.exec(readFileSync(join(lua, 'operations.lua'), 'utf8')) ?? []
  const operations = allIn(table, /(\w+) = /g)
  t.ok(operations.length > 30, 'they were found')
  const [, section = ''] = /\n## Operations\n([^]*?)\n## /.exec(ledgerPage) ?? []
  const rows = [...section.matchAll(/^\| `(\w+)`( \*)? \|/gm)].map(([, name = '', open]) => ({ name, isOpen: open !== undefined }))
  t.same(rows.map(({ name }) => name).toSorted(), operations.toSorted())
  t.same(rows.filter(({ isOpen }) => isOpen).map(({ name }) => name).toSorted(), [...openOperations].toSorted(), 'those are marked that a foreign process may use')
})

t.test('docs/ledger.md has every key that the scripts make', async t => {
  const [, section = ''] = /\n## Keys in Redis\n([^]*?)\n## /.exec(ledgerPage) ?? []
  const scripts = sourcesIn(lua, /\.lua$/).join('\n')
  const kinds = allIn(scripts, /\bkey\('(\w+)',/g)
  const single = allIn(scripts, /= prefix \.\. '(\w+)'/g)
  t.ok(kinds.length > 10 && single.length > 10, 'they were found')
  t.same(kinds.filter(kind => !section.includes(`\`${kind}:<`)), [])
  t.same(['glob', ...single].filter(name => !section.includes(`\`${name}\``)), [])
})

t.test('every move that the picture of docs/architecture.md draws is legal, and every phase is drawn', async t => {
  const picture = codeBlocksOf(readFileSync(join(folder, 'architecture.md'), 'utf8')).map(({ code }) => code).find(code => code.startsWith('stateDiagram')) ?? ''
  const drawn = [...picture.matchAll(/^ {2}(\w+) --> (\w+)(?:: .*)?$/gm)].map(([, from = '', to = '']) => ({ from, to }))
  t.ok(drawn.length > 10, 'they were found')
  t.same(drawn.filter(({ from, to }) => !phases.some(phase => phase === from && moves[phase].some(next => next === to))), [])
  t.same(phases.filter(phase => !drawn.some(({ from, to }) => from === phase || to === phase)), [])
})
