// What a folder of models takes of one process. node --expose-gc models.js <folder> <rounds>
// Bytes are those of the heap after a collection, for each model; microseconds are those of one input.

import { builtInModels } from '../../../src/models/built-in.ts'
import { imagen4Ultra, imagen4UltraDefinition } from '../../../src/models/imagen4-ultra.ts'
import { loadModels } from '../../../src/models/load.ts'
import type { Model } from '../../../src/models/model.ts'
import { highestPrice } from '../../../src/models/price-bound.ts'
import { warmUp } from '../../../src/models/warm-up.ts'
import { documentModel } from '../../support/model-files.ts'
import { benchModel, fullInput, fullOutput } from '../model-folder.ts'
import { median } from '../report.ts'

const [dir = '', rounds = ''] = process.argv.slice(2)

// What all models share is made by the first of them, which is not counted.
use(documentModel(benchModel(9999)))
for (const model of [documentModel(benchModel(9998)), imagen4Ultra]) while (model.compileNext());

const emptyBytes = heapBytes()
const before = await loadModels({ builtIn: builtInModels, dir, defaultId: null })
if (!before.ok) throw new Error(before.faults.join())
const models = before.loaded.book.all.filter(model => model !== imagen4Ultra)
const loadedBytes = heapBytes()
for (const model of models) use(model)
const usedBytes = heapBytes()
for (const model of models) while (model.compileNext());
const compiledBytes = heapBytes()

// Other models of the same files, of which nothing is compiled yet.
const cold = await loadModels({ builtIn: builtInModels, dir, defaultId: null })
if (!cold.ok) throw new Error(cold.faults.join())
heapBytes()
const warming = await turnsDuring(async signal => { await warmUp(cold.loaded.book.all, { signal }) })
heapBytes()
const quiet = await turnsDuring(async () => { await new Promise(resolve => { setTimeout(resolve, warming.tookMs) }) })

// Short ones, which are worth little each.
const checks = inputChecks(4 * Number(rounds))

process.stdout.write(JSON.stringify({
  models: models.length,
  loadedBytes: (loadedBytes - emptyBytes) / models.length,
  usedBytes: (usedBytes - emptyBytes) / models.length,
  compiledBytes: (compiledBytes - emptyBytes) / models.length,
  warmingMs: warming.tookMs,
  warmingLongestMs: warming.longestMs,
  warmingMostCpuMs: warming.mostCpuMs,
  quietLongestMs: quiet.longestMs,
  quietMostCpuMs: quiet.mostCpuMs,
  ...checks
}))

/** All that a call asks of its model. */
function use (model: Model): void {
  const read = model.readInput(fullInput, { unknownFields: 'refuse', sentDefaults: [] })
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  highestPrice(model.rule, read.sent, model)
  model.filesOf(read.sent)
  model.answers.judge(fullOutput)
}

function heapBytes (): number {
  // What a first collection leaves to finalizers is gone with the next.
  for (let time = 0; time < 3; time++) globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

/** How long turns of the event loop take while something goes on: the longest by the clock, and by the CPU of this process, which others cannot lengthen. */
async function turnsDuring (work: (signal: AbortSignal) => Promise<void>): Promise<{ readonly tookMs: number, readonly longestMs: number, readonly mostCpuMs: number }> {
  const startMs = performance.now()
  const over = new AbortController()
  const worked = work(over.signal).finally(() => { over.abort() })
  let [longestMs, mostCpuUs] = [0, 0]
  for (let [lastMs, lastCpuUs] = [startMs, cpuUs()]; !over.signal.aborted;) {
    await new Promise(resolve => { setImmediate(resolve) })
    const [nowMs, nowCpuUs] = [performance.now(), cpuUs()]
    longestMs = Math.max(longestMs, nowMs - lastMs)
    mostCpuUs = Math.max(mostCpuUs, nowCpuUs - lastCpuUs)
    lastMs = nowMs
    lastCpuUs = nowCpuUs
  }
  await worked
  return { tookMs: performance.now() - startMs, longestMs, mostCpuMs: mostCpuUs / 1000 }
}

function cpuUs (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** The same fields, as a model that came as a document and as the built-in one: the same inputs, in turn. */
function inputChecks (rounds: number): { readonly documentUs: number, readonly builtInUs: number, readonly ratio: number, readonly least: number, readonly most: number } {
  const { additionalProperties: _, ...input } = imagen4UltraDefinition.input
  const asDocument = documentModel({ input, endpointId: 'acme/imagen/v1' })
  const body = { prompt: 'A red bicycle leaning on a blue wall', negative_prompt: '', aspect_ratio: '16:9', num_images: 1, seed: 42, resolution: '2K' }
  for (const model of [asDocument, imagen4Ultra]) readUs(model, body)
  const pairs = Array.from({ length: rounds }, (_, round) => {
    if (round % 2 === 0) return { documentUs: readUs(asDocument, body), builtInUs: readUs(imagen4Ultra, body) }
    const builtInUs = readUs(imagen4Ultra, body)
    return { documentUs: readUs(asDocument, body), builtInUs }
  })
  const ratios = pairs.map(({ documentUs, builtInUs }) => documentUs / builtInUs)
  return {
    documentUs: median(pairs.map(({ documentUs }) => documentUs)),
    builtInUs: median(pairs.map(({ builtInUs }) => builtInUs)),
    ratio: median(ratios),
    least: Math.min(...ratios),
    most: Math.max(...ratios)
  }
}

/** CPU of one reading, so that what else runs on this core does not count. */
function readUs (model: Model, body: Readonly<Record<string, unknown>>): number {
  const times = 50_000
  const beforeUs = cpuUs()
  for (let time = 0; time < times; time++) {
    // Each body is an object of its own, as parsing makes it; what prices are about is sent in any case.
    const read = model.readInput({ ...body, seed: time }, { unknownFields: 'refuse', sentDefaults: ['num_images'] })
    if (!read.ok) throw new Error(JSON.stringify(read.faults))
  }
  return (cpuUs() - beforeUs) / times
}
