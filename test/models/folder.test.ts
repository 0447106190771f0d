// The folder of models: read into a book, all faults at once; a change is taken within a look, a fault leaves the old book in force.

import { EventEmitter, once } from 'node:events'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { loadModels, MAX_MODEL_FILES, type LoadedModels } from '../../src/models/load.ts'
import { MAX_MODEL_FILE_BYTES } from '../../src/models/model-file.ts'
import { watchModels } from '../../src/models/watch.ts'
import { modelFile, type ModelFileOptions } from '../support/model-files.ts'

/** A folder with the files of these models. */
function folder (t: Test, ...models: readonly ModelFileOptions[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-models-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  for (const model of models) put(dir, model)
  return dir
}

/** Puts the file of a model in place in one step, as operators' tools do. */
function put (dir: string, model: ModelFileOptions): void {
  const { name, text } = modelFile(model)
  writeFileSync(join(dir, `.${name}.new`), text)
  renameSync(join(dir, `.${name}.new`), join(dir, name))
}

async function load (dir: string | null, defaultId: string | null = null, before: LoadedModels | null = null): Promise<LoadedModels> {
  const read = await loadModels({ builtIn: builtInModels, dir, defaultId }, before)
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.loaded
}

async function faultsOf (dir: string | null, defaultId: string | null = null): Promise<readonly string[]> {
  const read = await loadModels({ builtIn: builtInModels, dir, defaultId })
  return read.ok ? [] : read.faults
}

function idsOf ({ book }: LoadedModels): readonly string[] {
  return book.all.map(({ endpointId }) => endpointId)
}

const builtInId = builtInModels.default.endpointId

t.test('what is on offer is what comes with falgate and each file of the folder, and the default is the one that is named', async t => {
  const dir = folder(t, { endpointId: 'acme/painter' }, { endpointId: 'ACME/Painter.2', isConfirmed: false })
  const loaded = await load(dir)
  t.same(idsOf(loaded), [builtInId, 'ACME/Painter.2', 'acme/painter'])
  t.equal(loaded.book.default.endpointId, builtInId)
  t.match(loaded.book.find('acme/painter'), { isOpen: true, cacheVersion: 1 })
  t.equal(loaded.book.find('acme/Painter'), undefined, 'ids are compared exactly')
  t.equal(loaded.book.nearest('acme/paintr'), 'acme/painter')
  t.match(loaded.warnings, [/^ACME\/Painter\.2 cannot be bought: its price was not confirmed/])
  t.equal((await load(dir, 'acme/painter')).book.default.endpointId, 'acme/painter')
  t.same(idsOf(await load(null)), [builtInId])
})

t.test('what is being written, hidden or no JSON is not looked at', async t => {
  const dir = folder(t, { endpointId: 'acme/painter' })
  for (const name of ['.acme__x.json', '.acme__x.json.1.tmp', 'README.md', 'acme__y.json.bak', 'acme__y.json~']) writeFileSync(join(dir, name), '{')
  mkdirSync(join(dir, '..2026_11_28'))
  t.same(idsOf(await load(dir)), [builtInId, 'acme/painter'])
})

t.test('all faults of all files are told at once, by file and place and without values', async t => {
  const dir = folder(t, { endpointId: 'acme/good' }, { endpointId: builtInId })
  writeFileSync(join(dir, 'acme__broken.json'), '{"SECRET')
  writeFileSync(join(dir, 'plain.json'), '{}')
  writeFileSync(join(dir, 'ACME__good.json'), modelFile({ endpointId: 'acme/good' }).text)
  writeFileSync(join(dir, 'acme__large.json'), ' '.repeat(MAX_MODEL_FILE_BYTES + 1))
  writeFileSync(join(dir, 'acme__priced.json'), modelFile({ endpointId: 'acme/priced', price: { usd: 1, per: 'second' } }).text)
  mkdirSync(join(dir, 'acme__folder.json'))
  t.same(await faultsOf(dir), [
    'MODELS_DIR: ACME__good.json: is not the name that the file of a model has; falgate model add writes files that have it',
    'MODELS_DIR: acme__broken.json: the file is not valid JSON: expected the closing quote of a text at line 1, column 9',
    'MODELS_DIR: acme__folder.json: the file cannot be read (EISDIR)',
    'MODELS_DIR: acme__large.json: the file is larger than 1.2 MiB',
    'MODELS_DIR: acme__priced.json: /price/max_usd: is needed, because no field of the model holds the seconds',
    `MODELS_DIR: ${builtInId} comes with falgate, and cannot have a file`,
    'MODELS_DIR: plain.json: is not the name that the file of a model has; falgate model add writes files that have it'
  ])
  t.same(await faultsOf(join(dir, 'nowhere')), ['MODELS_DIR: the folder cannot be read (ENOENT)'])
  t.same(await faultsOf(folder(t), 'acme/painter'), ['DEFAULT_MODEL: no model on offer has this endpoint id'])
})

t.test('a folder with more files than fal has models is refused, and so is a list of faults without an end', async t => {
  const dir = folder(t)
  for (let nth = 0; nth < 150; nth++) writeFileSync(join(dir, `acme__m${nth}.json`), '{')
  const faults = await faultsOf(dir)
  t.equal(faults.length, 101)
  t.equal(faults.at(-1), 'MODELS_DIR: and 50 more faults')
  for (let nth = 150; nth <= MAX_MODEL_FILES; nth++) writeFileSync(join(dir, `acme__m${nth}.json`), '{')
  t.same(await faultsOf(dir), ['MODELS_DIR: the folder has more than 2,000 files'])
})

t.test('a model whose file is the same stays the very same model, though its neighbours change and it was touched', async t => {
  const dir = folder(t, { endpointId: 'acme/one' }, { endpointId: 'acme/two' })
  const before = await load(dir)
  put(dir, { endpointId: 'acme/two', price: { usd: 1, per: 'call' } })
  utimesSync(join(dir, 'acme__one.json'), 1, 1)
  const after = await load(dir, null, before)
  t.equal(after.book.find('acme/one'), before.book.find('acme/one'))
  t.not(after.book.find('acme/two'), before.book.find('acme/two'))
  t.equal(after.book.find('acme/two')?.rule.unitPrice, 1_000_000)
})

interface Watching {
  readonly dir: string
  /** What was told so far: the ids of added models, or a refusal. */
  readonly told: readonly string[]
  readonly look: (isAsked: boolean) => Promise<void>
  readonly close: () => void
  /** Does something and waits until the watch tells of it. */
  readonly after: (act: () => void) => Promise<string>
}

async function watching (t: Test, dir: string, intervalMs = 3_600_000): Promise<Watching> {
  const told: string[] = []
  const events = new EventEmitter()
  const tell = (what: string): void => {
    told.push(what)
    events.emit('told')
  }
  const watched = watchModels({
    builtIn: builtInModels,
    dir,
    defaultId: null,
    loaded: await load(dir),
    intervalMs,
    onChange: loaded => { tell(idsOf(loaded).slice(1).join()) },
    onRefused: faults => { tell(`refused: ${faults.join()}`) }
  })
  t.teardown(watched.close)
  async function after (act: () => void): Promise<string> {
    const telling = once(events, 'told', { signal: AbortSignal.timeout(30_000) })
    act()
    await telling
    return told.at(-1) ?? ''
  }
  return { dir, told, after, ...watched }
}

t.test('models that come, change and go are found by looking again and again', async t => {
  const { dir, after } = await watching(t, folder(t), 5)
  t.equal(await after(() => { put(dir, { endpointId: 'acme/one' }) }), 'acme/one')
  t.equal(await after(() => { put(dir, { endpointId: 'acme/two' }) }), 'acme/one,acme/two')
  t.equal(await after(() => { put(dir, { endpointId: 'acme/two', cacheVersion: 2 }) }), 'acme/one,acme/two')
  t.equal(await after(() => { rmSync(join(dir, 'acme__one.json')) }), 'acme/two')
})

t.test('a config map that swaps by symlink is followed', async t => {
  const root = folder(t)
  for (const [name, endpointId] of [['..one', 'acme/one'], ['..two', 'acme/two']] as const) {
    mkdirSync(join(root, name))
    put(join(root, name), { endpointId })
  }
  symlinkSync('..one', join(root, '..data'))
  symlinkSync(join('..data', 'acme__one.json'), join(root, 'acme__one.json'))
  const { after } = await watching(t, root, 5)
  t.equal(await after(() => {
    symlinkSync(join('..data', 'acme__two.json'), join(root, 'acme__two.json'))
    symlinkSync('..two', join(root, '..next'))
    renameSync(join(root, '..next'), join(root, '..data'))
  }), 'acme/two', 'a name that leads nowhere any more is as good as gone')
})

t.test('a faulty file is told once by itself and again when somebody asks, and nothing else is taken meanwhile', async t => {
  const { dir, told, look } = await watching(t, folder(t, { endpointId: 'acme/one' }))
  writeFileSync(join(dir, 'acme__two.json'), '{')
  await look(false)
  await look(false)
  const refusal = 'refused: MODELS_DIR: acme__two.json: the file is not valid JSON: expected a name in double quotes or } at line 1, column 2'
  t.same(told, [refusal])
  await look(true)
  t.same(told, [refusal, refusal])
  put(dir, { endpointId: 'acme/two' })
  await look(false)
  t.same(told.slice(2), ['acme/one,acme/two'])
})

t.test('a folder that nobody touched, or whose files were only touched, tells nothing', async t => {
  const { dir, told, look } = await watching(t, folder(t, { endpointId: 'acme/one' }))
  await look(true)
  utimesSync(join(dir, 'acme__one.json'), 1, 1)
  await look(false)
  put(dir, { endpointId: 'acme/one' })
  await look(true)
  t.same(told, [])
})

t.test('a folder that cannot be read any more is told once, and the models stay', async t => {
  const { dir, told, look } = await watching(t, folder(t, { endpointId: 'acme/one' }))
  renameSync(dir, `${dir}-away`)
  await look(false)
  await look(false)
  t.same(told, ['refused: MODELS_DIR: the folder cannot be read (ENOENT)'])
  renameSync(`${dir}-away`, dir)
  await look(false)
  t.equal(told.length, 1)
})

t.test('after close nothing is told', async t => {
  const { dir, told, look, close } = await watching(t, folder(t))
  put(dir, { endpointId: 'acme/one' })
  const looking = look(true)
  close()
  await looking
  await look(true)
  t.same(told, [])
})
