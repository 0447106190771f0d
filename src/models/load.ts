// The folder of models, read into a book. What did not change is not read again, and stays the very same model: what was compiled for it stays, too.

import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { looksNowOf, looksOf, type Looks } from '../watched.ts'
import { createDocumentModel } from './document-model.ts'
import { endpointIdOf } from './endpoint-id.ts'
import { MAX_MODEL_FILE_BYTES, readModelFile, type ModelFile } from './model-file.ts'
import type { Model } from './model.ts'
import { createModels, type ModelBook } from './models.ts'

/** The most files of a folder. fal has about 1,400 endpoints. */
export const MAX_MODEL_FILES = 2000

/** No more faults than these are told at once. */
const MAX_FAULTS = 100

/** So many files are read at the same time. */
const READERS = 8

/** What is on offer: models that come with falgate, a folder, and which model is meant when none is named. */
export interface ModelsSource {
  readonly builtIn: ModelBook
  /** `null`: there is no folder. */
  readonly dir: string | null
  /** `null`: the first of those that come with falgate. */
  readonly defaultId: string | null
}

/** A book, and what it was made of. */
export interface LoadedModels {
  readonly book: ModelBook
  /** By name, in the order of the names. */
  readonly files: ReadonlyMap<string, LoadedFile>
  /** What is sound but worth a line at start. */
  readonly warnings: readonly string[]
}

/** A model's file that was read. */
export interface LoadedFile extends Pick<ModelFile, 'endpointId' | 'added' | 'document' | 'documentSha256'> {
  readonly model: Model
  /** What the file looks like on the disk. */
  readonly looks: string
  /** SHA-256 of its text. */
  readonly digest: string
}

/** What came of reading the folder: every fault names the file and the place in it, and holds no value. */
export type ModelsLoading = { readonly ok: true, readonly loaded: LoadedModels } | { readonly ok: false, readonly faults: readonly string[] }

/** What a folder looks like without its files being read. */
export interface FolderLooks { readonly text: string, readonly files: ReadonlyMap<string, Looks> }

/** How files are read. */
interface Disk {
  readonly looksOf: (file: string) => Looks | Promise<Looks>
  readonly textOf: (file: string) => string | Promise<string>
}

/** Other work goes on meanwhile: a network's disk may take its time. */
const patient: Disk = { looksOf, textOf: async file => await readFile(file, 'utf8') }

/** Everything waits, as it may before anybody is served. With hundreds of files, the ways to other threads and back are a third of what a reading costs. */
const direct: Disk = { looksOf: looksNowOf, textOf: file => readFileSync(file, 'utf8') }

/** Looks at the folder. Rejects as the file system does. */
export async function folderLooks (dir: string, disk: Disk = patient): Promise<FolderLooks> {
  const names = (await readdir(dir)).filter(isOffered).toSorted()
  // One more than is allowed tells that there are too many.
  const seen = await eachOf(names.slice(0, MAX_MODEL_FILES + 1), async (name): Promise<readonly [string, Looks]> => {
    try {
      return [name, await disk.looksOf(join(dir, name))]
    } catch {
      return [name, gone]
    }
  })
  // What went away between the two is as good as never there.
  const files = new Map(seen)
  return { text: [...files].map(([name, { looks }]) => `${name} ${looks}`).join('\n'), files }
}

const gone: Looks = { looks: 'gone', bytes: 0 }

/** Files that are being written have other endings or begin with a dot, and so do the inner folders of a mounted config map. */
function isOffered (name: string): boolean {
  return name.endsWith('.json') && !name.startsWith('.')
}

/** Reads the folder. `before`: what was read the last time; without it nobody is served yet, and everything waits for the disk. Never rejects. */
export async function loadModels ({ builtIn, dir, defaultId }: ModelsSource, before: LoadedModels | null = null): Promise<ModelsLoading> {
  const faults: string[] = []
  let files: ReadonlyMap<string, LoadedFile> = new Map()
  if (dir !== null) {
    try {
      files = await readFolder(dir, before?.files ?? new Map(), before === null ? direct : patient, fault => { faults.push(fault) })
    } catch (error) {
      return { ok: false, faults: [`MODELS_DIR: the folder cannot be read (${codeOf(error)})`] }
    }
  }
  const added = [...files.values()].filter(({ endpointId }) => {
    if (builtIn.find(endpointId) === undefined) return true
    faults.push(`MODELS_DIR: ${endpointId} comes with falgate, and cannot have a file`)
    return false
  })
  const isOffered = defaultId === null || builtIn.find(defaultId) !== undefined || added.some(({ endpointId }) => endpointId === defaultId)
  // Where files are faulty it may be one of them.
  if (!isOffered && faults.length === 0) faults.push('DEFAULT_MODEL: no model on offer has this endpoint id')
  // They were found side by side.
  faults.sort()
  if (faults.length > 0) return { ok: false, faults: faults.length > MAX_FAULTS ? [...faults.slice(0, MAX_FAULTS), `MODELS_DIR: and ${faults.length - MAX_FAULTS} more faults`] : faults }
  return {
    ok: true,
    loaded: {
      book: createModels(builtIn.all, { added: added.map(({ model }) => model), ...defaultId === null ? {} : { defaultId } }),
      files,
      warnings: added.flatMap(({ model }) => model.isOpen ? [] : [`${model.endpointId} cannot be bought: its price was not confirmed (falgate model price ${model.endpointId} --accept-price)`])
    }
  }
}

async function readFolder (dir: string, before: ReadonlyMap<string, LoadedFile>, disk: Disk, onFault: (fault: string) => void): Promise<ReadonlyMap<string, LoadedFile>> {
  const { files: looks } = await folderLooks(dir, disk)
  if (looks.size > MAX_MODEL_FILES) {
    onFault(`MODELS_DIR: the folder has more than ${MAX_MODEL_FILES.toLocaleString('en')} files`)
    return new Map()
  }
  const read = await eachOf([...looks], async ([name, { looks: seen, bytes }]): Promise<LoadedFile | null> => {
    const known = before.get(name)
    if (known?.looks === seen) return known
    const fault = (text: string): null => {
      onFault(`MODELS_DIR: ${name}: ${text}`)
      return null
    }
    if (endpointIdOf(name) === null) return fault('is not the name that the file of a model has; falgate model add writes files that have it')
    const text = await textOf(join(dir, name), { bytes, disk })
    if (!text.ok) return text.isGone ? null : fault(text.fault)
    const digest = hash('sha256', text.text)
    if (known?.digest === digest) return { ...known, looks: seen }
    const reading = readModelFile(name, text.text)
    if (reading.ok) return { ...pickedFrom(reading.file), looks: seen, digest }
    reading.faults.forEach(fault)
    return null
  })
  return new Map([...looks.keys()].flatMap((name, index) => {
    const file = read[index] ?? null
    return file === null ? [] : [[name, file] as const]
  }))
}

/** Not the document as it came: once read, it would be kept for nothing. */
function pickedFrom ({ endpointId, added, document, documentSha256, rule, cacheVersion, isConfirmed }: ModelFile): Omit<LoadedFile, 'looks' | 'digest'> {
  return { endpointId, added, document, documentSha256, model: createDocumentModel({ document, rule, cacheVersion, isOpen: isConfirmed }) }
}

type FileText = { readonly ok: true, readonly text: string } | { readonly ok: false, readonly isGone: boolean, readonly fault: string }

/** The text of a file of a bearable size, which may be known already. Never rejects. */
export async function textOf (file: string, { bytes, disk = patient }: { readonly bytes?: number, readonly disk?: Disk } = {}): Promise<FileText> {
  try {
    const size = bytes ?? (await stat(file)).size
    if (size > MAX_MODEL_FILE_BYTES) return { ok: false, isGone: false, fault: 'the file is larger than 1.2 MiB' }
    return { ok: true, text: await disk.textOf(file) }
  } catch (error) {
    const code = codeOf(error)
    return { ok: false, isGone: code === 'ENOENT', fault: `the file cannot be read (${code})` }
  }
}

/** The message of a file system's error repeats the path. */
export function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
}

/** Does something for each of many, a few at a time; results are in the order of the items. */
async function eachOf<Item, Result> (items: readonly Item[], act: (item: Item) => Promise<Result>): Promise<readonly Result[]> {
  const results: Result[] = []
  let next = 0
  async function work (): Promise<void> {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index]
      if (item !== undefined) results[index] = await act(item)
    }
  }
  await Promise.all(Array.from({ length: READERS }, work))
  return results
}
