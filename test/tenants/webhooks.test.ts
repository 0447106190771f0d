// Whom a tenant may have called: hosts by their names and ports, and this machine in a trial alone.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { builtInModels as models } from '../../src/models/built-in.ts'
import { demoTenants, parseTenants, PUBLISHED_WEBHOOK_SECRET } from '../../src/tenants/book.ts'
import { loadTenants } from '../../src/tenants/load.ts'
import { parseWebhookHost, parseWebhookSecrets, wayOf } from '../../src/tenants/webhooks.ts'
import { tenant } from '../support/gateway.ts'

function wayTo (address: string, ...listed: readonly string[]): ReturnType<typeof wayOf> {
  return wayOf(new URL(address), listed.map(parseWebhookHost).filter(host => host !== null))
}

t.test('a host is itself, with https and its port; a star is what is below it', async t => {
  for (const address of ['https://hooks.example', 'https://HOOKS.example:443/a?b=c']) t.equal(wayTo(address, 'hooks.example'), 'public', address)
  for (const address of ['http://hooks.example', 'https://hooks.example:8443', 'https://a.hooks.example', 'https://nothooks.example', 'https://hooks.example.evil.example', 'https://hooks.example.', 'https://example', 'ftp://hooks.example']) t.equal(wayTo(address, 'hooks.example'), null, address)
  t.equal(wayTo('https://hooks.example:8443', 'hooks.example:8443'), 'public')
  t.equal(wayTo('https://hooks.example', 'hooks.example:443'), 'public')
  t.equal(wayTo('https://hooks.example', 'hooks.example:8443'), null)
  for (const address of ['https://a.hooks.example', 'https://b.a.hooks.example']) t.equal(wayTo(address, '*.hooks.example'), 'public')
  for (const address of ['https://hooks.example', 'https://nothooks.example', 'https://.hooks.example']) t.equal(wayTo(address, '*.hooks.example'), null, address)
  t.equal(wayTo('https://hooks.example'), null, 'nobody is listed')
})

t.test('addresses in place of names lead nowhere, however they are written', async t => {
  for (const address of ['https://127.0.0.1', 'https://0x7f000001', 'https://2130706433', 'https://[::1]', 'https://[::ffff:127.0.0.1]', 'https://169.254.169.254', 'https://localhost', 'http://127.0.0.1:9000', 'http://localhost:9000']) t.equal(wayTo(address, 'hooks.example', '*.example', '*.1', '*.localhost'), null, address)
})

t.test('this machine is called where it is listed with its port, without TLS, and not below real money', async t => {
  for (const [listed, address] of [['127.0.0.1:9000', 'http://127.0.0.1:9000/hook'], ['localhost:9000', 'http://localhost:9000'], ['[::1]:9000', 'http://[::1]:9000']] as const) {
    t.equal(wayTo(address, listed), 'here')
    t.equal(wayTo(address.replace('9000', '9001'), listed), null)
    const file = JSON.stringify({ tenants: [tenant('studio', { webhooks: [listed] })] })
    t.match(parseTenants(file, { models }), { ok: true })
    t.match(parseTenants(file, { models, isReal: true }), { ok: false, faults: [/^\/tenants\/0\/webhooks\/0: this machine may be called in a trial/] })
  }
})

t.test('what is no host is told with its place and without its text', async t => {
  const bad = ['https://hooks.example', 'hooks.example/path', 'Hooks.example', '*', '*.', 'a.*.example', 'hooks.example:0', 'hooks.example:65536', 'hooks.example:08443', '10.0.0.1', '1.2', '127.0.0.1', 'localhost', '*.localhost', '*.localhost:80', 'user@hooks.example', 'hooks_.example', '-a.example', 'a..example', '.example', '[::1]', '[fd00::1]:80', ' hooks.example', '']
  const read = parseTenants(JSON.stringify({ tenants: [tenant('studio', { webhooks: bad })] }), { models })
  t.same(read, { ok: false, faults: bad.map((_, index) => `/tenants/0/webhooks/${index}: expected a host name in small letters, such as hooks.example, *.hooks.example for all below it, or hooks.example:8443`) })
})

t.test('the file of secrets stands beside the tenants file, and is looked at with it', async t => {
  const dir = t.testdir({ hooks: `whsec_${Buffer.alloc(24).toString('base64')}\n`, empty: '', 'tenants.json': '' })
  const loaded = async (webhookSecretFile: string) => {
    await writeFile(join(dir, 'tenants.json'), JSON.stringify({ tenants: [tenant('press'), tenant('studio', { webhooks: ['hooks.example'], webhookSecretFile })] }))
    return await loadTenants({ tenantsFile: join(dir, 'tenants.json'), models, isReal: true })
  }
  const good = await loaded('hooks')
  t.ok(good.ok)
  t.same(good.ok && good.book.tenants.get('studio')?.webhooks.secrets, { kind: 'file', file: join(dir, 'hooks') })
  t.equal((await loaded(join(dir, 'hooks'))).ok, true)
  t.same(await loaded('none'), { ok: false, faults: ['TENANTS_FILE: /tenants/1/webhookSecretFile: the file cannot be read (ENOENT)'] })
  t.match(await loaded('empty'), { ok: false, faults: [/^TENANTS_FILE: \/tenants\/1\/webhookSecretFile: the file has to hold 1 to 8 lines of whsec_ .*openssl rand -base64 32/] })
  await mkdir(join(dir, 'folder'))
  t.match(await loaded('folder'), { ok: false, faults: [/EISDIR/] })
})

t.test('the demo tenant may call this machine, signed with a secret that everybody knows; nobody else has that', async t => {
  const demo = demoTenants(models).tenants.get('demo')
  t.same(demo?.webhooks.hosts.map(({ name, port }) => `${name}:${port}`), ['127.0.0.1:9000', 'localhost:9000'])
  const published = parseWebhookSecrets(PUBLISHED_WEBHOOK_SECRET)
  t.same(demo?.webhooks.secrets, published.ok && { kind: 'published', secrets: published.secrets })
  const read = parseTenants(JSON.stringify({ tenants: [tenant('studio')] }), { models })
  t.equal(read.ok && read.book.tenants.get('studio')?.webhooks.secrets, null)
})
