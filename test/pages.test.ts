// What the documents name is there, and their examples are sound.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import t from 'tap'
import { readArguments } from '../src/cli/arguments.ts'
import { variables } from '../src/config.ts'
import { isProblemCode, problems } from '../src/errors.ts'
import { Fault, operations } from '../src/sandbox/fault-schema.ts'
import { parseTenants } from '../src/tenants.ts'
import { metrics } from './support/docs.ts'
import { anchorsOf, codeBlocksOf, linksOf, pageAt, pages } from './support/pages.ts'
import { projectDir } from './support/paths.ts'

const read = (path: string): string => readFileSync(join(projectDir, path), 'utf8')

/** All that matches in any page, with the page that it stands in. */
function found (pattern: RegExp): ReadonlyArray<{ readonly path: string, readonly match: RegExpMatchArray }> {
  return pages.flatMap(({ path, text }) => [...text.matchAll(pattern)].map(match => ({ path, match })))
}

for (const { path, text } of pages) {
  t.test(`every file and folder that ${path} names exists`, async t => {
    const named = [...text.matchAll(/`((?:src|test|docker|docs|openapi)\/[\w./-]*)`/g)].map(([, path = '']) => path)
    if (['docs/architecture.md', 'docs/ledger.md'].includes(path)) t.ok(named.length > 0, 'it names some')
    t.same([...new Set(named)].filter(path => !existsSync(join(projectDir, path))), [])
  })

  t.test(`every link of ${path} leads to a file, and to a heading of it`, async t => {
    for (const link of linksOf(text)) {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), file))
      t.ok(existsSync(join(projectDir, target)), link)
      if (anchor !== undefined) t.ok(anchorsOf(read(target)).has(anchor), link)
    }
  })
}

t.test('links and blocks are found', async t => {
  t.ok(pages.flatMap(({ text }) => linksOf(text)).length > 50)
  t.ok(pages.flatMap(({ text }) => codeBlocksOf(text)).length > 15)
})

/** Those of compose, and of the tests. */
const others = ['FAL_KEY_FILE_PATH', 'TENANTS_FILE_PATH', 'REDIS_PASSWORD_FILE_PATH', 'CHROMIUM', 'PATH']

/** Those of fal's Python client. */
const clients = ['FAL_RUN_HOST', 'FAL_QUEUE_RUN_HOST']

t.test('every setting that a page names is one', async t => {
  const known = new Set([...variables.map(({ name }) => name), ...others, ...clients])
  const named = [...found(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g), ...found(/(?<![\w$])([A-Z][A-Z0-9_]{3,})=/g)]
  t.ok(named.length > 40, 'they were found')
  t.same(named.filter(({ match }) => !known.has(match[1] ?? '') && !/_$/.test(match[1] ?? '')).map(({ path, match }) => `${path}: ${match[1]}`), [])
})

t.test('every metric that a page names is one', async t => {
  const known = new Set(metrics().map(({ name }) => name))
  t.ok(known.size > 20)
  t.same(found(/\bfalgate_[a-z_]+(?!\w|\*)/g).filter(({ match: [name] }) => !known.has(name)).map(({ path, match }) => `${path}: ${match[0]}`), [])
})

t.test('every code that a page names beside a status has that status', async t => {
  const named = found(/\b([45]\d\d) `([a-z-]+)`/g)
  t.ok(named.length > 10, 'they were found')
  for (const { path, match: [, status, code = ''] } of named) t.ok(isProblemCode(code) && problems[code].status === Number(status), `${path}: ${status} ${code}`)
})

t.test('every command of falgate in a code block is one that it understands', async t => {
  const commands = pages.flatMap(({ path, text }) => codeBlocksOf(text).flatMap(({ code }) => [...code.matchAll(/^(?:[A-Z_]+=\S* )*(?:npx --no-install )?falgate ((?:(?! +#).)*)/gm)].map(([, args = '']) => ({ path, args }))))
    .filter(({ args }) => !args.includes('listens on'))
  t.ok(commands.length > 5, 'they were found')
  for (const { path, args } of commands) {
    const asked = readArguments(args.trim().replaceAll('<id>', '01a20450-0b62-7611-9b51-7a1d0c9e6f10').split(/ +/))
    t.equal(asked.kind, 'run', `${path}: ${args}`)
  }
})

t.test('every script of npm that a page names is one', async t => {
  const scripts = new Set(Object.keys(JSON.parse(read('package.json')).scripts))
  const named = found(/npm run ([\w:]+)/g)
  t.ok(named.length > 5, 'they were found')
  t.same(named.filter(({ match }) => !scripts.has(match[1] ?? '')).map(({ path, match }) => `${path}: ${match[0]}`), [])
})

t.test('the tenants files of the documents are sound with a real key', async t => {
  for (const path of ['README.md', 'docs/tenants.md']) {
    const [file] = codeBlocksOf(pageAt(path)).filter(({ language }) => language === 'json')
    let keys = 0
    const text = file?.code.replaceAll('<hex>', () => String(++keys).repeat(64)) ?? ''
    t.ok(keys > 0)
    t.match(parseTenants(text, { isReal: true }), { ok: true }, path)
  }
})

t.test('the page of the sandbox shows sound faults, and names every kind and operation', async t => {
  const page = pageAt('docs/sandbox.md')
  const [list] = codeBlocksOf(page).filter(({ language }) => language === 'json')
  const faults: unknown = JSON.parse(list?.code ?? '')
  if (!Array.isArray(faults)) throw new Error('there is no list of faults')
  for (const fault of faults) t.ok(Value.Check(Fault, fault), JSON.stringify(fault))
  for (const { properties } of Fault.anyOf) for (const field of Object.keys(properties)) t.ok(page.includes(`\`${field}\``), field)
  for (const { properties } of Fault.anyOf) t.ok(page.includes(`| \`${properties.kind.const}\` |`), properties.kind.const)
  for (const operation of operations) t.ok(page.includes(`\`${operation}\``), operation)
})

t.test('the user of Redis in the documents may run every command of the ledger', async t => {
  const [rule] = codeBlocksOf(pageAt('docs/deployment.md')).filter(({ code }) => code.startsWith('ACL SETUSER'))
  const granted = new Set([...rule?.code.matchAll(/\+([a-z]+)/g) ?? []].map(([, command = '']) => command))
  const folder = 'src/store/redis/lua'
  const forTests = ['audit.lua', 'recount.lua']
  const used = readdirSync(join(projectDir, folder)).filter(name => !forTests.includes(name))
    .flatMap(name => [...read(`${folder}/${name}`).matchAll(/redis\.call\('([A-Z]+)'/g)].map(([, command = '']) => command.toLowerCase()))
  t.ok(used.length > 100, 'they were found')
  t.same([...new Set(used)].filter(command => !granted.has(command)), [])
})

t.test('every sentence of the runbook is one that a log line says', async t => {
  const sources = readdirSync(join(projectDir, 'src'), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).map(name => read(join('src', name)).replaceAll('\\\'', '\'')).join('\n')
  const [, runbook = ''] = /^## Runbook\n(.*)/ms.exec(pageAt('docs/operations.md')) ?? []
  const seen = [...runbook.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, said = '']) => said))
  t.ok(seen.length > 15, 'they were found')
  for (const said of seen) t.ok(sources.includes(said), said)
})
