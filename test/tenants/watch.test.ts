// A changed tenants file takes effect; a faulty one does not, and is told once.

import { hash } from 'node:crypto'
import { once, EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { versionOf, type TenantBook } from '../../src/tenants/book.ts'
import { watchTenants, type TenantsWatch } from '../../src/tenants/watch.ts'
import { projectDir } from '../support/paths.ts'

interface Watched extends TenantsWatch {
  readonly file: string
  /** What was told so far: versions in force as the ids of their tenants, and refusals. */
  readonly told: readonly string[]
  /** Does something and waits until the watch tells the outcome. */
  readonly after: (act: () => Promise<void>) => Promise<string>
}

function contentOf (tenantId: string): string {
  return JSON.stringify({ tenants: [{ id: tenantId, keys: [{ id: tenantId, sha256: hash('sha256', tenantId) }] }] })
}

/** Replaces a file in one step, so that nobody reads half of it. */
async function replace (file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content)
  await rename(`${file}.new`, file)
}

async function watched (t: Test, { intervalMs = 3_600_000, isReal = false, file = join(t.testdir(), 'tenants.json') } = {}): Promise<Watched> {
  if (!file.includes('current')) await writeFile(file, contentOf('first'))
  const told: string[] = []
  const events = new EventEmitter()
  const tell = (what: string): void => {
    told.push(what)
    events.emit('told')
  }
  const watch = watchTenants({
    models: () => builtInModels,
    file,
    version: versionOf(contentOf('first')),
    isReal,
    intervalMs,
    onChange: (book: TenantBook) => { tell([...book.tenants.keys()].join()) },
    onRefused: faults => { tell(`refused: ${faults.join()}`) }
  })
  t.teardown(() => { watch.close() })
  async function after (act: () => Promise<void>): Promise<string> {
    const telling = once(events, 'told', { signal: AbortSignal.timeout(10_000) })
    await act()
    await telling
    return told.at(-1) ?? ''
  }
  return { ...watch, file, told, after }
}

t.test('a new file is found by looking again and again', async t => {
  const { file, after } = await watched(t, { intervalMs: 5 })
  t.equal(await after(() => replace(file, contentOf('second'))), 'second')
  t.equal(await after(() => replace(file, '{')), 'refused: the file is not valid JSON: expected a name in double quotes or } at line 1, column 2')
  t.equal(await after(() => replace(file, contentOf('third'))), 'third')
})

t.test('a file that names secrets that are not there is refused, and taken when they are', async t => {
  const { file, after, told } = await watched(t, { intervalMs: 5 })
  const content = JSON.stringify({ tenants: [{ id: 'second', keys: [], webhooks: ['hooks.example'], webhookSecretFile: 'hooks' }] })
  t.equal(await after(() => replace(file, content)), 'refused: /tenants/0/webhookSecretFile: the file cannot be read (ENOENT)')
  t.equal(await after(() => replace(join(file, '..', 'hooks'), `whsec_${Buffer.alloc(24).toString('base64')}`)), 'second')
  t.equal(told.length, 2)
})

t.test('a config map that swaps by symlink is followed', async t => {
  const dir = t.testdir()
  for (const [folder, id] of [['one', 'first'], ['two', 'second']] as const) {
    await mkdir(join(dir, folder))
    await writeFile(join(dir, folder, 'tenants.json'), contentOf(id))
  }
  await symlink('one', join(dir, 'current'))
  const { after } = await watched(t, { intervalMs: 5, file: join(dir, 'current', 'tenants.json') })
  t.equal(await after(async () => {
    await symlink('two', join(dir, 'next'))
    await rename(join(dir, 'next'), join(dir, 'current'))
  }), 'second')
})

t.test('a faulty file is told once by itself, and again when somebody asks', async t => {
  const { file, after, told, reload } = await watched(t, { intervalMs: 5 })
  await after(() => replace(file, '{"tenants":[]}'))
  // Another content with another fault is told, so all looks at the first one have passed by then.
  await after(() => replace(file, '{'))
  t.same(told, ['refused: /tenants: expected a list of at least one tenant', 'refused: the file is not valid JSON: expected a name in double quotes or } at line 1, column 2'])
  await reload()
  t.same(told.slice(2), ['refused: the file is not valid JSON: expected a name in double quotes or } at line 1, column 2'])
})

t.test('asking for a reload reads an unchanged file without telling, and a changed one at once', async t => {
  const { file, told, reload } = await watched(t)
  await reload()
  t.same(told, [])
  await writeFile(file, contentOf('second'))
  await reload()
  t.same(told, ['second'])
})

t.test('with a real fal key a file with the published demo key is refused, and the old one stays in force', async t => {
  const demo = readFileSync(join(projectDir, 'docker/tenants.json'), 'utf8')
  const { file, told, reload } = await watched(t, { isReal: true })
  await writeFile(file, demo)
  await reload()
  t.match(told, [/^refused: .*\/sha256: this secret is published.*falgate key/])
  await writeFile(file, contentOf('second'))
  await reload()
  t.equal(told.at(-1), 'second')

  const trial = await watched(t, { file: join(t.testdir(), 'trial.json') })
  await writeFile(trial.file, demo)
  await trial.reload()
  t.same(trial.told, ['demo'], 'the sandbox may be everybody\'s')
})

t.test('a file that is gone is refused, and the old content coming back changes nothing', async t => {
  const { file, told, reload } = await watched(t)
  await rm(file)
  await reload()
  t.same(told, ['refused: the file cannot be read (ENOENT)'])
  await writeFile(file, contentOf('first'))
  await reload()
  t.equal(told.length, 1)
})

t.test('after close nothing is told, and closing twice is harmless', async t => {
  const { file, told, reload, close } = await watched(t)
  await writeFile(file, contentOf('second'))
  const reloading = reload()
  close()
  close()
  await reloading
  await reload()
  t.same(told, [])
})
