// Fills the in-process layer with results and says what that took. node --expose-gc result-cache.js <results>

import { parseConfig } from '../../../src/config.ts'
import { createResultCache } from '../../../src/generation/request/result-cache.ts'
import { createMemoryLedger } from '../../../src/store/memory/ledger.ts'
import { admissionOf, times } from '../../support/admission.ts'
import { hitOutput } from '../requests.ts'

const put = Number(process.argv[2])
const read = parseConfig({})
if (!read.ok) throw new Error(read.faults.join())
const maxBytes = read.config.cacheMemoryBytes
const cache = createResultCache(maxBytes)
const admitted = await createMemoryLedger({ times }).admit(admissionOf())
if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
const { row } = admitted

gc()
const emptyBytes = process.memoryUsage.rss()
const nameOf = (index: number): string => `${index}`.padStart(64, '0')
const putUs = perCallUs(index => { cache.put(nameOf(index), row, hitOutput) })
let kept = 0
const getUs = perCallUs(index => { if (cache.get(nameOf(index)) !== undefined) kept++ })
gc()
const residentMib = (process.memoryUsage.rss() - emptyBytes) / 2 ** 20
process.stdout.write(JSON.stringify({ put, kept, maxMib: maxBytes / 2 ** 20, residentMib, putUs, getUs }))

function perCallUs (work: (index: number) => void): number {
  const startMs = performance.now()
  for (let index = 0; index < put; index++) work(index)
  return (performance.now() - startMs) * 1000 / put
}

function gc (): void {
  globalThis.gc?.()
}
