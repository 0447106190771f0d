// `falgate model`: models are added from fal's catalogue, shown, compared with it, and removed. Each is a file of one folder.

import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createCatalogue, type Catalogue, type Fetched } from '../catalogue/catalogue.ts'
import type { Config } from '../config.ts'
import { differencesBetween } from '../models/difference.ts'
import { createDocumentModel, inputFaultOf } from '../models/document-model.ts'
import { MAX_DOCUMENT_BYTES, readDocument, type ModelDocument } from '../models/document.ts'
import { fileNameOf } from '../models/endpoint-id.ts'
import { codeOf, loadModels, textOf } from '../models/load.ts'
import { modelFileText, readModelFile, type ModelFile } from '../models/model-file.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { checkRule } from '../models/price-bound.ts'
import { proposePrice } from '../models/price-proposal.ts'
import { parsePriceRule, type PriceRule } from '../models/price-rule.ts'
import { removeFile, saveFile } from '../models/save.ts'
import { loadTenants } from '../tenants/load.ts'
import type { ModelWork, StatedPrice } from './model-arguments.ts'
import { callLines, differenceLines, listLines, modelLines, priceLines } from './model-text.ts'
import type { TenantsPlace } from './prepare.ts'

export interface ModelContext {
  readonly config: Config
  /** The central key, to ask for prices with; `null`: there is none. */
  readonly key: string | null
  /** What comes with falgate. */
  readonly builtIn: ModelBook
  /** The tenants that use the models. */
  readonly tenants: TenantsPlace
}

/** What a command says, line by line, what went wrong, and the exit code. */
export interface Said { readonly lines: readonly string[], readonly faults: readonly string[], readonly code: 0 | 1 }

/** So many documents are fetched at the same time. */
const FETCHERS = 4

/** Does what was asked for. */
export async function runModel (work: ModelWork, context: ModelContext): Promise<Said> {
  const { dir } = context.config.models
  if (dir === null && work.work !== 'list' && work.work !== 'show') return failed(['MODELS_DIR: not set; it is the folder in which the files of models are'])
  const catalogue = createCatalogue({ documentUrl: context.config.models.catalogueUrl, bodyLimitBytes: MAX_DOCUMENT_BYTES, proxy: context.config.proxy })
  const works = createWorks(dir ?? '', context, catalogue)
  try {
    switch (work.work) {
      case 'add': return await works.add(work)
      case 'price': return await works.price(work.id, work.price)
      case 'list': return await works.list()
      case 'show': return await works.show(work.id)
      case 'diff': return work.id === null ? await works.diffAll() : await works.diff(work.id, work.from)
      case 'remove': return await works.remove(work.id)
    }
  } finally {
    await catalogue.close()
  }
}

function done (lines: readonly string[]): Said {
  return { lines, faults: [], code: 0 }
}

function failed (faults: readonly string[], lines: readonly string[] = []): Said {
  return { lines, faults, code: 1 }
}

/** The price of a file: as it is written there, what it says, and whether somebody has said that it is right. */
interface Price { readonly price: unknown, readonly rule: PriceRule, readonly isConfirmed: boolean }

type Chosen = { readonly ok: true, readonly chosen: Price, readonly note: string | null } | { readonly ok: false, readonly faults: readonly string[] }

const SAY_A_PRICE = 'say what a call costs: --usd <n> --per <unit>, --max-usd <n>, or --price <json> (docs/models.md)'

function checked (document: ModelDocument, { price, isConfirmed }: Omit<Price, 'rule'>, sentence: string): Chosen {
  const parsed = parsePriceRule(price)
  const faults = parsed.ok ? checkRule(parsed.rule, document) : parsed.faults
  return parsed.ok && faults.length === 0 ? { ok: true, chosen: { price, rule: parsed.rule, isConfirmed }, note: null } : { ok: false, faults: [`${sentence}:`, ...faults] }
}

function modelOf (document: ModelDocument, { rule, isConfirmed }: Pick<Price, 'rule' | 'isConfirmed'>, cacheVersion: number): Model {
  return createDocumentModel({ document, rule, cacheVersion, isOpen: isConfirmed })
}

function createWorks (dir: string, { config, key, builtIn, tenants }: ModelContext, catalogue: Catalogue) {
  const url = config.publicUrl ?? `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${config.port}`

  async function add ({ id, from, price, cacheVersion, isReplacing }: Extract<ModelWork, { work: 'add' }>): Promise<Said> {
    if (builtIn.find(id) !== undefined) return failed([`${id} comes with falgate, and needs no file`])
    const before = await fileOf(id)
    if (before !== null && !isReplacing) return failed([`${fileNameOf(id)} is there already: --replace takes the document again and keeps the price, "falgate model price" says another price`])
    if (before?.ok === false && price === null) return failed([...before.faults, 'the price of this file cannot be kept; say one with --replace'])

    const fetched = from === null ? await catalogue.document(id) : await documentFrom(from)
    if (!fetched.ok) return failed([fetched.fault])
    const read = readDocument(fetched.value, id)
    if (!read.ok) return failed([read.fault])
    const { document } = read
    const unusable = inputFaultOf(document)
    if (unusable !== null) return failed([unusable])

    const choice = await chosenPrice(document, price, before?.ok === true ? before.file : null)
    const kept = before?.ok === true ? before.file : null
    if (!choice.ok) return failed(choice.faults, modelLines(document))
    const { chosen, note } = choice
    const file: Omit<ModelFile, 'rule' | 'document'> = {
      endpointId: id,
      added: new Date().toISOString().slice(0, 10),
      cacheVersion: cacheVersion ?? kept?.cacheVersion ?? 1,
      price: chosen.price,
      isConfirmed: chosen.isConfirmed,
      documentSha256: hash('sha256', fetched.value),
      source: JSON.parse(fetched.value.replace(/^\ufeff/, ''))
    }
    const model = modelOf(document, chosen, file.cacheVersion)
    return await written(file, [
      ...modelLines(model),
      ...priceLines(model),
      ...note === null ? [] : [`        ${note}`],
      '',
      ...callLines(model, url)
    ], `${before === null ? 'written' : 'written again'}: ${join(dir, fileNameOf(id))}`)
  }

  /** The price that was said, that of the file before, or what fal names. */
  async function chosenPrice (document: ModelDocument, stated: StatedPrice | null, before: ModelFile | null): Promise<Chosen> {
    if (stated?.kind === 'rule') return checked(document, { price: stated.price, isConfirmed: true }, 'the price does not fit the model')
    if (before !== null) return checked(document, { price: before.price, isConfirmed: before.isConfirmed || stated?.kind === 'proposed' }, 'the price of the file does not fit the document as it is now; say another')
    const { apiUrl } = config.models
    if (key === null) return { ok: false, faults: [`no price is known, and without FAL_KEY or FAL_KEY_FILE none is asked for: ${SAY_A_PRICE}`] }
    if (apiUrl === null) return { ok: false, faults: [`no price is known, and with another FAL_CATALOGUE_URL none is asked for unless FAL_API_URL is set: ${SAY_A_PRICE}`] }
    const named = await catalogue.price(document.endpointId, { apiUrl, key })
    if (!named.ok) return { ok: false, faults: [`fal's price could not be asked for: ${named.fault}`, SAY_A_PRICE] }
    if (named.value === null) return { ok: false, faults: [`fal names no price for this model: ${SAY_A_PRICE}`] }
    const proposed = proposePrice(named.value, document)
    if (!proposed.ok) return { ok: false, faults: [proposed.fault, SAY_A_PRICE] }
    return { ok: true, chosen: { price: proposed.price, rule: proposed.rule, isConfirmed: stated !== null }, note: 'as fal names it, which is no upper bound: compare it with the page of the model' }
  }

  async function price (id: string, stated: StatedPrice): Promise<Said> {
    const before = await fileOf(id)
    if (before === null) return failed([await missing(id)])
    if (!before.ok) return failed([...before.faults, `"falgate model add ${id} --replace" with a price writes it again`])
    const { file } = before
    const choice = await chosenPrice(file.document, stated, file)
    if (!choice.ok) return failed(choice.faults)
    const model = modelOf(file.document, choice.chosen, file.cacheVersion)
    return await written({ ...file, price: choice.chosen.price, isConfirmed: true }, [model.endpointId, ...priceLines(model)], `written again: ${join(dir, fileNameOf(id))}`)
  }

  async function list (): Promise<Said> {
    const read = await loadModels({ builtIn, dir: config.models.dir, defaultId: config.models.default })
    if (!read.ok) return failed(read.faults)
    const { book, files } = read.loaded
    const added = new Map([...files.values()].map(({ endpointId, added }) => [endpointId, added]))
    return done(listLines(book.all.map(model => {
      const day = added.get(model.endpointId)
      return { model, note: `${day === undefined ? 'comes with falgate' : `of ${day}`}${model === book.default ? ', default' : ''}` }
    })))
  }

  async function show (id: string): Promise<Said> {
    const own = builtIn.find(id)
    if (own !== undefined) return done([...modelLines(own), ...priceLines(own), '', ...callLines(own, url)])
    const read = config.models.dir === null ? null : await fileOf(id)
    if (read === null) return failed([await missing(id)])
    if (!read.ok) return failed(read.faults)
    const { file } = read
    const model = modelOf(file.document, file, file.cacheVersion)
    return done([
      ...modelLines(model),
      ...priceLines(model),
      `Rule    ${JSON.stringify(file.price)}`,
      `File    ${join(dir, fileNameOf(id))}, document of ${file.added}, cache version ${file.cacheVersion}`,
      '',
      ...callLines(model, url)
    ])
  }

  async function diff (id: string, from: string | null): Promise<Said> {
    const before = await fileOf(id)
    if (before === null) return failed([builtIn.find(id) === undefined ? await missing(id) : `${id} comes with falgate, and has no file to compare`])
    return before.ok ? await compared(before.file, from) : failed(before.faults)
  }

  async function compared ({ endpointId, document, documentSha256 }: Pick<ModelFile, 'endpointId' | 'document' | 'documentSha256'>, from: string | null): Promise<Said> {
    const fetched = from === null ? await catalogue.document(endpointId) : await documentFrom(from)
    if (!fetched.ok) return failed([`${endpointId}: ${fetched.fault}`])
    const now = readDocument(fetched.value, endpointId)
    if (!now.ok) return failed([`${endpointId}: ${now.fault}`])
    const differences = differencesBetween(document, now.document)
    if (differences.length > 0) return { lines: [...differenceLines(endpointId, differences)], faults: [], code: 1 }
    return done([`${endpointId}: no difference${hash('sha256', fetched.value) === documentSha256 ? '' : ' in what may be asked for and what comes back; other parts of the document have changed'}`])
  }

  async function diffAll (): Promise<Said> {
    const read = await loadModels({ builtIn, dir, defaultId: null })
    if (!read.ok) return failed(read.faults)
    const files = [...read.loaded.files.values()]
    const said: Said[] = []
    for (let first = 0; first < files.length; first += FETCHERS) {
      said.push(...await Promise.all(files.slice(first, first + FETCHERS).map(async file => await compared(file, null))))
    }
    if (said.length === 0) return done(['no model has a file'])
    return { lines: said.flatMap(({ lines }) => lines), faults: said.flatMap(({ faults }) => faults), code: said.some(({ code }) => code === 1) ? 1 : 0 }
  }

  async function remove (id: string): Promise<Said> {
    const before = await leftBehind()
    try {
      if (!await removeFile(dir, fileNameOf(id))) return failed([builtIn.find(id) === undefined ? await missing(id) : `${id} comes with falgate, and has no file`])
    } catch (error) {
      return failed([`MODELS_DIR: the file cannot be removed (${codeOf(error)})`])
    }
    const removed = `removed: ${join(dir, fileNameOf(id))}`
    const after = await leftBehind()
    if (after === null) return done([removed, 'not looked at: whether TENANTS_FILE or DEFAULT_MODEL name it, because files of other models are faulty'])
    const left = after.filter(fault => before?.includes(fault) !== true)
    if (left.length === 0) return done([removed])
    return done([removed, ...left.map(fault => `warning: ${fault}`), 'warning: until that is mended no gateway starts, and those that run keep what they had'])
  }

  /** What DEFAULT_MODEL and the tenants file say that the models on offer do not bear out; `null`: files of models are faulty, so that it cannot be told. */
  async function leftBehind (): Promise<readonly string[] | null> {
    const offered = await loadModels({ builtIn, dir, defaultId: null })
    if (!offered.ok) return null
    const usual = await loadModels({ builtIn, dir, defaultId: config.models.default })
    const read = await loadTenants({ ...tenants, models: offered.loaded.book })
    return [...usual.ok ? [] : usual.faults, ...read.ok ? [] : read.faults]
  }

  /** The file of a model, or what is wrong with it; `null`: there is none. */
  async function fileOf (id: string): Promise<ReturnType<typeof readModelFile> | null> {
    const name = fileNameOf(id)
    const text = await textOf(join(dir, name))
    if (!text.ok) return text.isGone ? null : { ok: false, faults: [`${name}: ${text.fault}`] }
    const read = readModelFile(name, text.text)
    return read.ok ? read : { ok: false, faults: read.faults.map(fault => `${name}: ${fault}`) }
  }

  async function missing (id: string): Promise<string> {
    const read = await loadModels({ builtIn, dir: config.models.dir, defaultId: null })
    const nearest = read.ok ? read.loaded.book.nearest(id) : null
    return `${id} has no file in MODELS_DIR${nearest === null || nearest === id ? '' : `; did you mean ${nearest}?`}`
  }

  /** The text of a document in a file or at an address. */
  async function documentFrom (from: string): Promise<Fetched<string>> {
    if (/^https?:\/\//i.test(from)) return URL.canParse(from) ? await catalogue.documentAt(from) : { ok: false, fault: '--from: the address cannot be read.' }
    try {
      const { size } = await stat(from)
      if (size > MAX_DOCUMENT_BYTES) return { ok: false, fault: 'The document is larger than 1 MiB.' }
      return { ok: true, value: await readFile(from, 'utf8') }
    } catch (error) {
      return { ok: false, fault: `--from: the file cannot be read (${codeOf(error)}).` }
    }
  }

  async function written (file: Omit<ModelFile, 'rule' | 'document'>, lines: readonly string[], last: string): Promise<Said> {
    try {
      await saveFile(dir, fileNameOf(file.endpointId), modelFileText(file))
    } catch (error) {
      return failed([`MODELS_DIR: the file cannot be written (${codeOf(error)})`], lines)
    }
    return done([...lines, '', last])
  }

  return { add, price, list, show, diff, diffAll, remove }
}
