// Models and tenants change while a gateway runs, and belong together: what the tenants file says of a model is held against the models on offer.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Writable } from 'node:stream'
import { createModelsInForce, createTenantsInForce } from '../src/app/reloadable.ts'
import { parseConfig } from '../src/config.ts'
import { createLogger } from '../src/logger.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { loadModels } from '../src/models/load.ts'
import type { Model } from '../src/models/model.ts'
import { createModels, type ModelBook } from '../src/models/models.ts'
import type { TenantBook } from '../src/tenants/book.ts'
import { loadTenants } from '../src/tenants/load.ts'
import { modelFile, type ModelFileOptions } from './support/model-files.ts'
import { until } from './support/until.ts'

interface House {
  readonly put: (model: ModelFileOptions) => void
  readonly take: (endpointId: string) => void
  /** What the tenants file says besides its one tenant. */
  readonly write: (tenant: object, file?: object) => void
  /** SIGHUP. */
  readonly reload: () => Promise<void>
  readonly models: () => ModelBook
  readonly tenants: () => TenantBook
  /** The messages of the log, with faults. */
  readonly logged: () => readonly string[]
}

async function house (t: Test, models: readonly ModelFileOptions[], tenant: object, file: object = {}): Promise<House> {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-house-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const tenantsFile = join(dir, 'tenants')
  const put = (model: ModelFileOptions): void => {
    const { name, text } = modelFile(model)
    writeFileSync(join(dir, '.new'), text)
    renameSync(join(dir, '.new'), join(dir, name))
  }
  const write = (tenant: object, file: object = {}): void => {
    writeFileSync(`${tenantsFile}.new`, JSON.stringify({ ...file, tenants: [{ id: 'studio', keys: [], ...tenant }] }))
    renameSync(`${tenantsFile}.new`, tenantsFile)
  }
  models.forEach(put)
  write(tenant, file)

  const parsed = parseConfig({ MODELS_DIR: dir, TENANTS_FILE: tenantsFile })
  if (!parsed.ok) throw new Error(parsed.faults.join())
  const { config } = parsed
  const read = await loadModels({ builtIn: builtInModels, dir, defaultId: null })
  if (!read.ok) throw new Error(read.faults.join())
  const initial = await loadTenants({ tenantsFile, models: read.loaded.book, isReal: false })
  if (!initial.ok) throw new Error(initial.faults.join())

  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: new Writable({ write (chunk, _encoding, done) { lines.push(String(chunk)); done() } }) })
  let checking: Promise<void> = Promise.resolve()
  const book = createModelsInForce(config, log, {
    builtIn: builtInModels,
    initial: read.loaded,
    usesLately: async () => new Map(),
    onChange: () => { checking = tenants.modelsChanged() }
  })
  const tenants = createTenantsInForce(config, book.now, initial.book, log)
  tenants.start()
  book.start()
  t.teardown(() => {
    book.stop()
    tenants.stop()
  })
  return {
    put,
    take: endpointId => { rmSync(join(dir, modelFile({ endpointId }).name)) },
    write,
    // Only the folder is asked for: the tenants follow it by themselves.
    reload: async () => {
      await book.reload()
      await checking
    },
    models: book.now,
    tenants: tenants.now,
    logged: () => lines.map(line => JSON.parse(line)).map(({ msg, faults }) => `${msg}${Array.isArray(faults) ? `: ${faults.join()}` : ''}`)
  }
}

t.test('a tenants file that was refused because a model was not there yet is taken when it is', async t => {
  const { put, write, reload, tenants, models, logged } = await house(t, [], {})
  const before = tenants()
  write({ models: ['acme/painter'] }, { prices: { 'acme/painter': 0.2 } })
  await reload()
  t.equal(tenants(), before, 'nothing looks at the tenants file for a folder that is the same')
  put({ endpointId: 'acme/other' })
  await reload()
  t.equal(tenants(), before)
  t.match(logged().at(-1), 'tenants file refused, the old one stays in force: /prices/acme~1painter: is not a model on offer,/tenants/0/models/0: is not a model on offer')
  put({ endpointId: 'acme/painter' })
  await reload()
  t.same(tenants().tenants.get('studio')?.models, ['acme/painter'])
  const painter = models().find('acme/painter')
  t.equal(painter && tenants().ruleOf(painter).unitPrice, 200_000)
})

t.test('a model that goes away keeps the tenants in force, and is on offer no more; it comes back as it was', async t => {
  const { take, put, reload, tenants, models, logged } = await house(t, [{ endpointId: 'acme/painter' }], { models: ['acme/painter'] })
  const before = tenants()
  take('acme/painter')
  await reload()
  t.equal(tenants(), before)
  t.equal(models().find('acme/painter'), undefined)
  t.match(logged().slice(-2), ['models in force', 'tenants file refused, the old one stays in force: /tenants/0/models/0: is not a model on offer'])
  await reload()
  t.equal(logged().filter(line => line.startsWith('tenants file refused')).length, 1, 'told once')
  put({ endpointId: 'acme/painter' })
  await reload()
  t.ok(models().find('acme/painter'))
  t.ok(logged().includes('tenants file in force'))
})

t.test('a price of the tenants file that scales the model\'s own is computed again when that changes', async t => {
  const price = (usd: number): ModelFileOptions => ({ endpointId: 'acme/painter', price: { usd, per: 'call', plus: { prompt: { long: 0.1 } } } })
  const { put, reload, tenants, models } = await house(t, [price(0.1)], {}, { prices: { 'acme/painter': 0.4 } })
  const unitPrice = (): number | null | undefined => {
    const painter = models().find('acme/painter')
    return painter && tenants().ruleOf(painter).unitPrice
  }
  t.equal(unitPrice(), 200_000)
  put(price(0.3))
  await reload()
  t.equal(unitPrice(), 300_000)
})

t.test('a faulty folder leaves models and tenants as they were', async t => {
  const { put, reload, models, tenants, logged } = await house(t, [{ endpointId: 'acme/painter' }], {})
  const before = [models(), tenants()]
  put({ endpointId: 'acme/priced', price: {} })
  await reload()
  t.same([models() === before[0], tenants() === before[1]], [true, true])
  t.match(logged().at(-1), 'models refused, the old ones stay in force: MODELS_DIR: acme__priced.json: /price: expected usd with per, or max_usd')
})

t.test('models are compiled ahead when the gateway says so: those that are used most come first, then the default one, and what comes later as well', async t => {
  const parsed = parseConfig({})
  if (!parsed.ok) throw new Error(parsed.faults.join())
  const compiled: string[] = []
  const model = (endpointId: string): Model => ({
    ...builtInModels.default,
    endpointId,
    compileNext: () => {
      compiled.push(endpointId)
      return false
    }
  })
  const book = createModelsInForce(parsed.config, createLogger({ level: 'fatal', destination: process.stderr }), {
    builtIn: createModels(['acme/a', 'acme/b', 'acme/c', 'acme/d'].map(model), { defaultId: 'acme/c' }),
    initial: null,
    usesLately: async () => new Map([['acme/b', 1], ['acme/d', 2], ['acme/gone', 9]]),
    onChange: () => {}
  })
  book.start()
  t.same(compiled, [])
  book.warmUp()
  await until(() => compiled.length === 4)
  book.stop()
  t.same(compiled, ['acme/d', 'acme/b', 'acme/c', 'acme/a'])
})
