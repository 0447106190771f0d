// fal as it is reached from here: the way to its queue, the key, and what it publishes of the models. Nothing is bought.

import { createCatalogue } from '../../catalogue/catalogue.ts'
import type { Config } from '../../config.ts'
import { inputFaultOf } from '../../models/document-model.ts'
import { MAX_DOCUMENT_BYTES } from '../../models/document.ts'
import type { LoadedFile, LoadedModels } from '../../models/load.ts'
import { probeKey, probeWay, type KeyProbe } from '../../upstream/probe.ts'
import { unreachable } from '../../upstream/unreachable.ts'
import { compareFile } from '../drift.ts'
import type { Parts } from '../parts.ts'
import { fault, msText, notTried, ok, warning, type Finding } from './finding.ts'

const TIMEOUT_MS = 10_000

/** So many documents are fetched at the same time, and for so long; a folder may have two thousand. */
const FETCHERS = 4
const COMPARE_FOR_MS = 20_000

/** What was found, and how far this machine's clock is ahead of that of who answered for fal; `null`: that is not known. */
export interface FalFindings { readonly findings: readonly Finding[], readonly clockAheadMs: number | null }

export async function falFindings ({ config, falKeys, loaded }: Parts): Promise<FalFindings> {
  if (config === null) return only(notTried('fal', 'the settings are faulty, so it is not known where fal is'), notTried('fal-key', 'the settings are faulty'))
  const { falQueueUrl, proxy } = config
  if (falQueueUrl === null) return only(notTried('fal', 'the sandbox in the process of the gateway takes its place'), notTried('fal-key', 'the sandbox needs none'))
  const options = { proxy, timeoutMs: TIMEOUT_MS }
  const { host, protocol } = new URL(falQueueUrl)
  const way = await probeWay(falQueueUrl, options)
  if (!way.ok) return only(fault('fal', `FAL_QUEUE_URL: ${unreachable(host, way.trouble, TIMEOUT_MS)} ${proxy === null ? 'Look at the name, the firewall, and whether HTTPS_PROXY has to be set.' : 'Look at HTTPS_PROXY and NO_PROXY.'}`), notTried('fal-key', 'fal was not reached'))
  const reached = ok('fal', `${host} is reached${protocol === 'https:' ? ' over TLS' : ''} in ${msText(way.tookMs)}${way.isByProxy ? ', through the proxy of HTTPS_PROXY, which resolves names and may have lists of hosts of its own' : ''}`, { connect_ms: Number(way.tookMs.toFixed(3)) })
  if (config.fal.kind === 'sandbox') return only(reached, notTried('fal-key', 'a sandbox takes any key'))
  const endpointId = loaded?.book.default.endpointId
  const keys = falKeys?.keys ?? []
  if (keys.length === 0 || endpointId === undefined) return only(reached, notTried('fal-key', 'there is none that could be tried'))
  const findings: Finding[] = []
  let dateMs: number | null = null
  for (const { name, key } of keys) {
    const probe = await probeKey(falQueueUrl, options, endpointId, key)
    dateMs ??= probe.outcome === 'no-answer' ? null : probe.dateMs
    findings.push(keyFinding(host, config, probe, keys.length === 1 ? '' : ` of account ${name}`))
  }
  return { findings: [reached, ...findings], clockAheadMs: dateMs === null ? null : Date.now() - dateMs }
}

function only (...findings: readonly Finding[]): FalFindings {
  return { findings, clockAheadMs: null }
}

function keyFinding (host: string, { fal }: Config, probe: KeyProbe, whose: string): Finding {
  const setting = fal.kind === 'key-file' ? 'FAL_KEY_FILE' : 'FAL_KEY'
  switch (probe.outcome) {
    case 'taken': return ok('fal-key', `${host} takes the key${whose}, asked for the status of a request that does not exist, which buys nothing; whether the account has a balance only a purchase tells`)
    case 'refused': return fault('fal-key', `${setting}: ${host} does not know the key${whose} (401): put the right one there, then SIGHUP to all replicas`)
    case 'blocked': return fault('fal-key', `${setting}: ${host} refuses the account${whose === '' ? '' : whose.slice(' of account'.length)} (403): it has no balance, or the key may not do this; top up or replace the key, then SIGHUP to all replicas`)
    case 'unclear': return notTried('fal-key', `${host} answered ${probe.status} where fal answers 404, which says nothing of the key${whose}`)
    case 'no-answer': return warning('fal-key', `FAL_QUEUE_URL: ${unreachable(host, probe.trouble, TIMEOUT_MS)} It was reached a moment before; look at what stands between.`)
  }
}

/** Whether files of callers find their way; none where they are not to. Nothing is put there. */
export async function storageFindings (config: Config | null): Promise<readonly Finding[]> {
  if (config === null || config.uploads === null) return []
  const { uploads: { restUrl }, proxy } = config
  if (restUrl === null) return [notTried('fal-storage', 'the sandbox in the process of the gateway takes its place')]
  const { host } = new URL(restUrl)
  const way = await probeWay(restUrl, { proxy, timeoutMs: TIMEOUT_MS })
  if (!way.ok) return [warning('fal-storage', `FAL_REST_URL: ${unreachable(host, way.trouble, TIMEOUT_MS)} Until it is, requests with files are answered upload-failed; all others go on.`)]
  return [ok('fal-storage', `${host}, which says where files of callers go, is reached in ${msText(way.tookMs)}${way.isByProxy ? ', through the proxy of HTTPS_PROXY' : ''}; whether it takes the key, and where files go then, only a file tells`, { connect_ms: Number(way.tookMs.toFixed(3)) })]
}

/** Whether bodies can be checked by every model's document, and whether fal still publishes these documents. */
export async function modelsFindings ({ config, loaded }: Parts): Promise<readonly Finding[]> {
  if (config === null || loaded === null) return [notTried('models', 'the settings or the files of models are faulty')]
  const files = [...loaded.files.values()]
  const unusable = unusableModels(loaded).map(sentence => fault('models', sentence))
  if (files.length === 0) return [ok('models', `${loaded.book.all.length === 1 ? 'one model is' : `${loaded.book.all.length} models are`} on offer, and none has a file that could be compared with fal's`)]
  if (config.fal.kind === 'sandbox') return [...unusable, notTried('models', 'with the sandbox the files of models are not compared with what fal publishes; falgate model diff does it')]
  const { drifted, unreached, compared } = await compare(files, config)
  const found = [
    ...unusable,
    ...drifted.map(({ endpointId, count }) => warning('models', `${endpointId}: fal publishes another document than its file has (${count === 1 ? 'one difference' : `${count} differences`}): falgate model diff ${endpointId} shows it, falgate model add ${endpointId} --replace takes it`)),
    ...unreached === null ? [] : [warning('models', `FAL_CATALOGUE_URL: models cannot be compared with what fal publishes: ${unreached}`)],
    ...unreached === null && compared < files.length ? [notTried('models', `${files.length - compared} of ${files.length} models were not compared, because the others took ${COMPARE_FOR_MS / 1000} s; falgate model diff compares all`)] : []
  ]
  return found.length > 0 ? found : [ok('models', `${files.length === 1 ? 'the file of a model is' : `the files of ${files.length} models are`} as fal publishes them`)]
}

/** Documents by which no body can be checked, a sentence each. */
export function unusableModels ({ files }: LoadedModels): readonly string[] {
  return [...files].flatMap(([name, { document }]) => {
    const unusable = inputFaultOf(document)
    return unusable === null ? [] : [`MODELS_DIR: ${name}: /document: ${unusable}`]
  })
}

interface Compared { readonly drifted: readonly { readonly endpointId: string, readonly count: number }[], readonly unreached: string | null, readonly compared: number }

async function compare (files: readonly LoadedFile[], { models: { catalogueUrl }, proxy }: Config): Promise<Compared> {
  const catalogue = createCatalogue({ documentUrl: catalogueUrl, bodyLimitBytes: MAX_DOCUMENT_BYTES, timeoutMs: TIMEOUT_MS, proxy })
  const drifted: { endpointId: string, count: number }[] = []
  const endMs = performance.now() + COMPARE_FOR_MS
  let compared = 0
  let unreached: string | null = null
  try {
    for (let first = 0; first < files.length && unreached === null && performance.now() < endMs; first += FETCHERS) {
      await Promise.all(files.slice(first, first + FETCHERS).map(async file => {
        const found = await compareFile(file, catalogue)
        if (!found.isReached) {
          unreached ??= found.fault
          return
        }
        compared += 1
        if (found.differences.length > 0) drifted.push({ endpointId: file.endpointId, count: found.differences.length })
      }))
    }
  } finally {
    await catalogue.close()
  }
  return { drifted, unreached, compared }
}
