// Keys are recognised by id and hash, and nothing else gets in.

import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { demoTenants, parseTenants, type TenantBook } from '../../src/tenants/book.ts'
import { createKey, credentialOf, identify } from '../../src/tenants/keys.ts'

function bookWith (...keys: readonly string[]): TenantBook {
  const read = parseTenants(`{"tenants":[{"id":"studio","keys":[${keys.join(',')}]}]}`, { models: builtInModels })
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.book
}

const now = Date.UTC(2026, 10, 22)

t.test('the demo key works in both schemes, in any case', async t => {
  for (const scheme of ['Bearer', 'Key', 'bearer', 'KEY']) {
    const found = identify(demoTenants(builtInModels), `${scheme} fg_demo_sandbox`, now)
    t.match(found, { keyId: 'demo', tenant: { id: 'demo' } })
  }
})

t.test('a new key is recognised by its line in the file', async t => {
  for (let round = 0; round < 50; round++) {
    const { key, line } = createKey()
    t.match(key, /^fg_[a-z0-9]{8}:[\w-]{43}$/)
    t.match(identify(bookWith(line), `Key ${key.replace(':', '_')}`, now), { keyId: key.slice(3, 11) }, 'with either sign in the middle')
    t.match(identify(bookWith(line), `Bearer ${key}`, now), { keyId: key.slice(3, 11), tenant: { id: 'studio' } })
    t.notMatch(line, key.slice(12))
  }
})

t.test('two new keys differ', async t => {
  t.not(createKey().key, createKey().key)
})

t.test('no header is a missing key', async t => {
  t.equal(identify(demoTenants(builtInModels), undefined, now), 'key-missing')
  t.equal(identify(demoTenants(builtInModels), '', now), 'key-missing')
})

t.test('every other header is an unknown key, or none', async t => {
  const headers = {
    'key-unknown': ['Bearer fg_demo_sandbo', 'Bearer fg_demo_sandbox2', 'Bearer fg_demo:sandbox:', 'Bearer fg_demo__sandbox', 'Bearer fg_other_sandbox', 'Bearer fg_other:sandbox', 'Bearer fg_constructor_x'],
    'no-key': ['Bearer fg_demo_', 'Bearer fg_demo:', 'Bearer fg__sandbox', 'Bearer fg_:sandbox', 'Bearer fg_demo', 'Bearer fg_demo-sandbox', 'Bearer fgt_demo_sandbox', 'Key 0a1b2c3d:fedcba98', 'Bearer fg_demo_sandböx', `Bearer fg_demo_${'x'.repeat(300)}`],
    'no-credential': ['fg_demo_sandbox', 'Basic fg_demo_sandbox', 'Bearer', 'Bearer a b', `Bearer fg_demo_${'x'.repeat(1000)}`]
  }
  for (const [why, those] of Object.entries(headers)) for (const header of those) t.equal(identify(demoTenants(builtInModels), header, now), why, header.slice(0, 40))
})

t.test('a key ends at its time, which only its holder learns', async t => {
  const { key, line } = createKey()
  const book = bookWith(line.replace('}', ',"expires":"2026-11-22T00:00:00Z"}'))
  t.match(identify(book, `Key ${key}`, now - 1), { keyId: key.slice(3, 11) })
  t.equal(identify(book, `Key ${key}`, now), 'key-expired')
  t.equal(identify(book, `Key ${key}x`, now), 'key-unknown')
})

t.test('a credential is what follows the scheme', async t => {
  t.equal(credentialOf('bearer  fgt_a_b '), 'fgt_a_b')
  t.equal(credentialOf('Basic a'), null)
  t.equal(credentialOf(undefined), null)
  t.equal(credentialOf(`Bearer ${'a'.repeat(600)}`), null)
})
