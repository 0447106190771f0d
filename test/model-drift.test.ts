// Drift: one replica looks for all whether fal publishes other documents than the models' files have, and tells; nothing changes by itself.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createDriftWatch, type DriftWatch } from '../src/app/drift.ts'
import { createCatalogue } from '../src/catalogue/catalogue.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { MAX_DOCUMENT_BYTES } from '../src/models/document.ts'
import { loadModels, type LoadedFile } from '../src/models/load.ts'
import { createMemoryLedger } from '../src/store/memory/ledger.ts'
import { playCatalogue, type PlayedCatalogue } from './support/catalogue.ts'
import { falDocumentText, plainInput, plainOutput } from './support/fal-documents.ts'
import { modelFile } from './support/model-files.ts'

const DAY_MS = 86_400_000
const times = { resultTtlMs: 1000, queueMs: 1000, runMs: 1000, leaseMs: 1000, largeResultBytes: 0 }

interface Replica extends DriftWatch {
  /** What was logged, reported as trouble, and marked. */
  readonly told: readonly string[]
}

interface House extends PlayedCatalogue {
  readonly replica: () => Replica
  readonly advance: (ms: number) => void
  /** Publishes the document that a file has, or another one. */
  readonly publish: (endpointId: string, input?: object, isDeprecated?: boolean) => void
}

async function house (t: Test, ...endpointIds: readonly string[]): Promise<House> {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-drift-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const catalogue = await playCatalogue(t)
  const publish: House['publish'] = (endpointId, input = plainInput, isDeprecated = false) => {
    catalogue.documents.set(endpointId, falDocumentText({ ...input }, plainOutput, { endpointId, isDeprecated }))
  }
  for (const endpointId of endpointIds) {
    const { name, text } = modelFile({ endpointId })
    writeFileSync(join(dir, name), text)
    publish(endpointId)
  }
  const read = await loadModels({ builtIn: builtInModels, dir, defaultId: null })
  if (!read.ok) throw new Error(read.faults.join())
  const files: LoadedFile[] = [...read.loaded.files.values()]
  let nowMs = DAY_MS
  const ledger = createMemoryLedger({ times, now: () => nowMs })

  return {
    ...catalogue,
    publish,
    advance: ms => { nowMs += ms },
    replica: () => {
      const told: string[] = []
      const watch = createDriftWatch({
        files: () => files,
        catalogue: createCatalogue({ documentUrl: catalogue.env['FAL_CATALOGUE_URL'] ?? '', bodyLimitBytes: MAX_DOCUMENT_BYTES }),
        ledger,
        everyMs: DAY_MS,
        log: {
          warn: (facts: object) => { told.push(`differs: ${JSON.stringify(facts)}`) },
          info: (facts: object) => { told.push(`compared: ${JSON.stringify(facts)}`) }
        },
        onDrift: models => { told.push(`marked: ${[...models].join()}`) },
        onTrouble: (operation, error) => { told.push(`${operation}: ${error instanceof Error ? error.message : ''}`) }
      })
      t.teardown(watch.stop)
      return { ...watch, told }
    }
  }
}

t.test('models that are as they were are told of in one line, and asked for once for all replicas', async t => {
  const { replica, advance, asked } = await house(t, 'acme/one', 'acme/two')
  const [first, second] = [replica(), replica()]
  await Promise.all([first.look(), second.look(), first.look()])
  t.same([...first.told, ...second.told], ['marked: ', 'compared: {"compared":2,"differ":0}'])
  t.equal(asked.length, 2)
  await second.look()
  t.equal(asked.length, 2, 'not before its time')
  advance(DAY_MS)
  await second.look()
  t.equal(asked.length, 4)
})

t.test('a model that differs, is deprecated or gone is a line each and is marked', async t => {
  const { replica, publish, documents } = await house(t, 'acme/one', 'acme/two', 'acme/three', 'acme/four')
  publish('acme/one', { ...plainInput, properties: { prompt: { type: 'string' }, seed: { type: 'integer' } } })
  publish('acme/two', plainInput, true)
  documents.set('acme/three', 'null')
  documents.delete('acme/four')
  const { look, told } = replica()
  await look()
  t.same(told.map(line => line.replace(/127\.0\.0\.1:\d+/, 'fal')), [
    'differs: {"model":"acme/four","document_of":"2026-11-28","differences":["fal knows no endpoint with this id (404)."],"more":0}',
    'differs: {"model":"acme/one","document_of":"2026-11-28","differences":["added input seed: whole number"],"more":0}',
    'differs: {"model":"acme/three","document_of":"2026-11-28","differences":["The document is `null`: fal knows no endpoint with this id, or publishes no document for it."],"more":0}',
    'differs: {"model":"acme/two","document_of":"2026-11-28","differences":["changed model deprecated: it is deprecated now"],"more":0}',
    'marked: acme/four,acme/one,acme/three,acme/two',
    'compared: {"compared":4,"differ":4}'
  ])
})

t.test('a catalogue that fails is a trouble, and no difference', async t => {
  const { replica, documents } = await house(t, 'acme/one', 'acme/two')
  documents.set('acme/one', { status: 503 })
  const { look, told } = replica()
  await look()
  t.match(told, ['marked: ', 'compared: {"compared":1,"differ":0}', /^compare-models: .* answered 503/])
})

t.test('what a replica has marked goes once another one may have looked since', async t => {
  const { replica, publish, advance } = await house(t, 'acme/one')
  const [first, second] = [replica(), replica()]
  publish('acme/one', plainInput, true)
  await first.look()
  t.ok(first.told.includes('marked: acme/one'))
  advance(DAY_MS)
  publish('acme/one')
  await second.look()
  t.ok(second.told.includes('marked: '))
  await first.look()
  t.equal(first.told.at(-1), 'marked: ')
  await first.look()
  t.equal(first.told.filter(line => line === 'marked: ').length, 1, 'once')
})

t.test('a stop breaks off a look that is under way, and nothing is told any more', async t => {
  const { replica, documents } = await house(t, 'acme/one', 'acme/two')
  documents.set('acme/one', 'silence')
  const { look, stop, told } = replica()
  const looking = look()
  await stop()
  await looking
  await look()
  t.same(told, [])
})
