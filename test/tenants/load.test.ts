// Files named by the configuration are read at the start, and what is wrong with them is told by variable.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseFalKeys } from '../../src/fal-keys.ts'
import { builtInModels as models } from '../../src/models/built-in.ts'
import { loadFalKeys, loadTenants } from '../../src/tenants/load.ts'
import { projectDir } from '../support/paths.ts'

t.test('without a file there is the demo tenant', async t => {
  t.match(await loadTenants({ models, tenantsFile: null, isReal: false }), { ok: true, book: { tenants: new Map([['demo', {}]]) } })
})

t.test('a tenants file that is missing or faulty is told by variable and place', async t => {
  const dir = t.testdir({ 'tenants.json': '{"tenants":[]}' })
  t.same(await loadTenants({ models, tenantsFile: join(dir, 'none.json'), isReal: true }), { ok: false, faults: ['TENANTS_FILE: the file cannot be read (ENOENT)'] })
  t.same(await loadTenants({ models, tenantsFile: dir, isReal: true }), { ok: false, faults: ['TENANTS_FILE: the file cannot be read (EISDIR)'] })
  t.same(await loadTenants({ models, tenantsFile: join(dir, 'tenants.json'), isReal: true }), { ok: false, faults: ['TENANTS_FILE: /tenants: expected a list of at least one tenant'] })
})

const account = { kind: 'fal', name: 'main' } as const

t.test('the central key comes from its variable or its file, and the sandbox has none', async t => {
  const dir = t.testdir({ key: 'abc:def\n', none: '\n', word: 'sandbox', pasted: 'FAL_KEY=abc:def\n', quoted: '\'abc:def\'', reference: '$FAL_KEY', commented: '# the key of the studio\n\nabc:def\n' })
  const fromFile = (name: string): ReturnType<typeof loadFalKeys> => loadFalKeys({ fal: { kind: 'key-file', file: join(dir, name) }, account })
  t.same(await loadFalKeys({ fal: { kind: 'sandbox' }, account }), { ok: true, keys: null })
  t.same(await loadFalKeys({ fal: { kind: 'key', key: () => 'a:b' }, account }), { ok: true, keys: [{ name: 'main', key: 'a:b', slots: null }] })
  for (const name of ['key', 'commented']) t.same(await fromFile(name), { ok: true, keys: [{ name: 'main', key: 'abc:def', slots: null }] })
  t.same(await fromFile('none'), { ok: false, faults: ['FAL_KEY_FILE: the file does not hold a key'] })
  t.same(await fromFile('word'), { ok: false, faults: ['FAL_KEY_FILE: the file holds the word sandbox; use FAL_KEY=sandbox'] })
  for (const name of ['pasted', 'quoted', 'reference']) t.match(await fromFile(name), { ok: false, faults: [/^FAL_KEY_FILE: its content (repeats its own name|stands in quotes|holds a reference)/] }, name)
  t.same(await fromFile('absent'), { ok: false, faults: ['FAL_KEY_FILE: the file cannot be read (ENOENT)'] })
})

t.test('a file may hold a key for each account, with slots of its own', async t => {
  const text = '# name, key, slots\nmain   abc:def\r\n\n  second\tghi:jkl  concurrency=20\nidle mno:pqr concurrency=0\n'
  t.same(parseFalKeys(text, 'unused'), {
    ok: true,
    keys: [{ name: 'main', key: 'abc:def', slots: null }, { name: 'second', key: 'ghi:jkl', slots: 20 }, { name: 'idle', key: 'mno:pqr', slots: 0 }]
  })
  t.same(parseFalKeys('studio abc:def', 'unused'), { ok: true, keys: [{ name: 'studio', key: 'abc:def', slots: null }] }, 'one may have a name, too')
})

t.test('the file of keys in docs/operations.md is one', async t => {
  const [, block = ''] = /## Several accounts[^]*?```\n([^]*?)```/.exec(readFileSync(join(projectDir, 'docs', 'operations.md'), 'utf8')) ?? []
  t.match(parseFalKeys(block, 'unused'), { ok: true, keys: [{ name: 'main', slots: null }, { name: 'studio', slots: 20 }] })
})

t.test('a mistake in the file of keys is told by its line, without a word of what stands there', async t => {
  for (const [text, fault] of [
    ['main abc:secret\nghi:secret', /^line 2: where there are several keys, each line is a name, a key/],
    ['abc:secret main\nsecond ghi:secret', /^line 1: first comes the name of the account/],
    ['main abc:secret\nmain ghi:secret', /^lines 1 and 2: the same name twice$/],
    ['main abc:secret\n\nsecond abc:secret', /^lines 1 and 3: the same key twice$/],
    ['main "abc:secret"\nsecond ghi:secret', /^line 1: the key stands in quotes/],
    ['main abc:secret 20\nsecond ghi:secret', /^line 1: expected a name, a key/],
    ['main abc:secret concurrency=many\nsecond ghi:secret', /^line 1: concurrency: expected a whole number from 0 to 10000$/],
    ['main abc:secret concurrency=1 more\nsecond ghi:secret', /^line 1: expected a name, a key/],
    ['main sandbox\nsecond ghi:secret', /^line 1: the sandbox is no account/],
    [Array.from({ length: 17 }, (_, n) => `a${n} k:secret${n}`).join('\n'), /^17 lines with keys: there may be at most 16$/]
  ] as const) {
    const read = parseFalKeys(text, 'main')
    t.match(read, { ok: false, faults: [fault] }, String(fault))
    t.notMatch(JSON.stringify(read), 'secret')
  }
  t.match(parseFalKeys('a\nb\n', 'main'), { ok: false, faults: [/^line 1:/, /^line 2:/] }, 'all at once')
})
