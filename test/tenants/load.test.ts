// Files named by the configuration are read at the start, and what is wrong with them is told by variable.

import { join } from 'node:path'
import t from 'tap'
import { builtInModels as models } from '../../src/models/built-in.ts'
import { loadFalKey, loadTenants } from '../../src/tenants/load.ts'

t.test('without a file there is the demo tenant', async t => {
  t.match(await loadTenants({ models, tenantsFile: null, isReal: false }), { ok: true, book: { tenants: new Map([['demo', {}]]) } })
})

t.test('a tenants file that is missing or faulty is told by variable and place', async t => {
  const dir = t.testdir({ 'tenants.json': '{"tenants":[]}' })
  t.same(await loadTenants({ models, tenantsFile: join(dir, 'none.json'), isReal: true }), { ok: false, faults: ['TENANTS_FILE: the file cannot be read (ENOENT)'] })
  t.same(await loadTenants({ models, tenantsFile: dir, isReal: true }), { ok: false, faults: ['TENANTS_FILE: the file cannot be read (EISDIR)'] })
  t.same(await loadTenants({ models, tenantsFile: join(dir, 'tenants.json'), isReal: true }), { ok: false, faults: ['TENANTS_FILE: /tenants: expected a list of at least one tenant'] })
})

t.test('the central key comes from its variable or its file, and the sandbox has none', async t => {
  const dir = t.testdir({ key: 'abc:def\n', none: '\n', word: 'sandbox', pasted: 'FAL_KEY=abc:def\n', quoted: '\'abc:def\'', reference: '$FAL_KEY' })
  const fromFile = (name: string): ReturnType<typeof loadFalKey> => loadFalKey({ kind: 'key-file', file: join(dir, name) })
  t.same(await loadFalKey({ kind: 'sandbox' }), { ok: true, key: null })
  t.same(await loadFalKey({ kind: 'key', key: () => 'a:b' }), { ok: true, key: 'a:b' })
  t.same(await fromFile('key'), { ok: true, key: 'abc:def' })
  t.same(await fromFile('none'), { ok: false, fault: 'FAL_KEY_FILE: the file does not hold a key' })
  t.same(await fromFile('word'), { ok: false, fault: 'FAL_KEY_FILE: the file holds the word sandbox; use FAL_KEY=sandbox' })
  for (const name of ['pasted', 'quoted', 'reference']) t.match(await fromFile(name), { ok: false, fault: /^FAL_KEY_FILE: its content (repeats its own name|stands in quotes|holds a reference)/ }, name)
  t.same(await fromFile('absent'), { ok: false, fault: 'FAL_KEY_FILE: the file cannot be read (ENOENT)' })
})
