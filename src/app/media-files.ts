// What operators do about stored files: look at them, remove what nothing refers to, and take one out.

import { access } from 'node:fs/promises'
import type { Config } from '../config.ts'
import type { FoundFile, KeptFile, RemovalTerms } from '../generation/kept-files.ts'
import type { FileOperations, Operators } from '../generation/operators.ts'
import { removeOrphans } from '../generation/run/remove-files.ts'
import { isFileName } from '../media/file-name.ts'
import type { MediaStore } from '../media/media-store.ts'
import { bytesText } from './doctor/finding.ts'
import { folderSentence, openMediaStore, removalTermsOf } from './media-place.ts'

/** Told how many are done so far. */
export type OnFiles = (doing: string, done: number) => void

/** The largest of them, which a list for people shows. */
const SHOWN = 50

/** What is named where something is wrong. */
const NAMED = 20

/** A file that was stored so lately may be about to be told to the ledger by a process of an older version. */
const STRAY_MS = 86_400_000

/** Asked about, or noted, at a time. */
const TOGETHER = 100

/** Where files are stored, for operators. Rejects with a sentence. */
export async function openStored (config: Config): Promise<{ readonly store: MediaStore, readonly terms: RemovalTerms }> {
  const { media } = config
  if (media === null) throw new Error('MEDIA_DIR, MEDIA_URL: neither is set, so no files are kept')
  // A gateway makes its folder, and a slip of the hand none.
  if (media.at.kind === 'folder') {
    const { folder } = media.at
    await access(folder).catch((error: unknown) => { throw new Error(folderSentence(folder, error), { cause: error }) })
  }
  const { store } = await openMediaStore(config, media)
  return { store, terms: removalTermsOf(media) }
}

async function * keptFiles (files: FileOperations): AsyncGenerator<KeptFile & { readonly nowMs: number }> {
  for (let after: string | null = null, isMore = true; isMore;) {
    const { files: page, next, nowMs }: Awaited<ReturnType<FileOperations['keptFiles']>> = await files.keptFiles(after)
    for (const file of page) yield { ...file, nowMs }
    after = next
    isMore = next !== null
  }
}

/** Every file as a line of JSON, in no order. */
export async function * listJson (files: FileOperations): AsyncGenerator<string> {
  for await (const { name, bytes, references, sinceMs, orphanSinceMs, isWithdrawn } of keptFiles(files)) {
    yield JSON.stringify({ name, bytes, references, since: timeOf(sinceMs), orphan_since: orphanSinceMs === null ? null : timeOf(orphanSinceMs), withdrawn: isWithdrawn }) + '\n'
  }
}

/** The largest files as a table, and what there is of all. */
export async function * listText (files: FileOperations): AsyncGenerator<string> {
  let largest: Array<KeptFile & { readonly nowMs: number }> = []
  const all = { count: 0, bytes: 0, orphans: 0, orphanBytes: 0 }
  for await (const file of keptFiles(files)) {
    all.count += 1
    all.bytes += file.bytes
    if (file.orphanSinceMs !== null) {
      all.orphans += 1
      all.orphanBytes += file.bytes
    }
    largest.push(file)
    if (largest.length >= 2 * SHOWN) largest = largestOf(largest)
  }
  if (all.count === 0) return yield 'no files are kept\n'
  const rows = [['file', 'size', 'known for', 'references'], ...largestOf(largest).map(({ name, bytes, references, sinceMs, isWithdrawn, nowMs }) => [name, bytesText(bytes), ageText(nowMs - sinceMs), isWithdrawn ? `${references}, taken out` : String(references)])]
  const widths = [0, 1, 2].map(column => Math.max(...rows.map(cells => cells[column]?.length ?? 0)))
  for (const cells of rows) yield cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd() + '\n'
  yield `${all.count > SHOWN ? `the ${SHOWN} largest of ${all.count} files` : `${all.count} files`}, ${bytesText(all.bytes)} in all; ${all.orphans} of them nothing refers to (${bytesText(all.orphanBytes)})\n`
}

function largestOf <One extends KeptFile> (files: readonly One[]): One[] {
  return files.toSorted((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1)).slice(0, SHOWN)
}

interface Tidied { readonly done: boolean, readonly text: string }

/** Does now what gateways do by themselves, and looks for what the ledger and the place of the files do not agree in. `takesStrays`: what the ledger knows nothing of is removed, too. */
export async function tidy ({ files, recount }: Pick<Operators, 'files' | 'recount'>, { store, terms }: { readonly store: MediaStore, readonly terms: RemovalTerms }, { isDry, takesStrays, onFiles }: { readonly isDry: boolean, readonly takesStrays: boolean, readonly onFiles: OnFiles }): Promise<Tidied> {
  // A replica of an older version may have taken up files, or let go of them, without counting.
  if (takesStrays && !isDry) await recount(true)
  const { strays, strayCount, strayBytes, seen } = await findStrays(files, store, { terms, isTaking: takesStrays && !isDry, onFiles })
  const { missing, missingCount, due, dueBytes } = await lookAtKept(files, store, { terms, seen, onFiles })
  const removed = isDry ? { files: due, bytes: dueBytes, failed: 0, error: null } : await removeOrphans(files, { remove: store.remove, terms }, { onPiece: ({ files }) => { onFiles('removed', files) } })
  const { error } = removed
  return {
    done: error === null,
    text: [
      ...strayCount === 0 ? [] : [`${strayCount} files (${bytesText(strayBytes)}) are stored that the ledger knows nothing of${takesStrays ? '' : '; falgate media gc --strays removes them'}${namesText(strays, strayCount)}`],
      ...missingCount === 0 ? [] : [`${missingCount} files are not there that generations refer to: their links lead nowhere${namesText(missing, missingCount)}`],
      `${removed.files} files that nothing refers to ${isDry ? 'would be' : 'are'} removed (${bytesText(removed.bytes)})`,
      ...error === null ? [] : [`${removed.failed} could not be removed, and are tried again by gateways, or by this command: ${error instanceof Error ? error.message : String(error)}`]
    ].join('\n')
  }
}

/** Files that the ledger knows nothing of. `seen`: what was found, each as a number made of its name. */
async function findStrays (files: FileOperations, store: MediaStore, { terms, isTaking, onFiles }: { readonly terms: RemovalTerms, readonly isTaking: boolean, readonly onFiles: OnFiles }): Promise<{ readonly strays: readonly string[], readonly strayCount: number, readonly strayBytes: number, readonly seen: ReadonlySet<number> }> {
  const seen = new Set<number>()
  const strays: string[] = []
  let [strayCount, strayBytes] = [0, 0]
  let some: FoundFile[] = []

  async function ask (): Promise<void> {
    const old = new Map(some.map(file => [file.name, file]))
    const unknown = (await files.meetFiles(some, false)).flatMap(name => old.get(name) ?? []).filter(({ ageMs }) => ageMs >= STRAY_MS)
    // Their time is over.
    if (isTaking && unknown.length > 0) await files.meetFiles(unknown.map(file => ({ ...file, ageMs: Math.max(file.ageMs, terms.idleMs + terms.keepMs) })), true)
    strayCount += unknown.length
    strayBytes += unknown.reduce((sum, { bytes }) => sum + bytes, 0)
    strays.push(...unknown.slice(0, NAMED - strays.length).map(({ name }) => name))
    some = []
  }

  for await (const { name, bytes, storedAtMs } of store.list()) {
    seen.add(numberOf(name))
    some.push({ name, bytes, ageMs: Math.max(0, Math.floor(Date.now() - storedAtMs)) })
    if (some.length < TOGETHER) continue
    await ask()
    onFiles('looked at', seen.size)
  }
  await ask()
  return { strays, strayCount, strayBytes, seen }
}

/** What of it is not there, and what would be removed now. */
async function lookAtKept (files: FileOperations, store: MediaStore, { terms, seen, onFiles }: { readonly terms: RemovalTerms, readonly seen: ReadonlySet<number>, readonly onFiles: OnFiles }): Promise<{ readonly missing: readonly string[], readonly missingCount: number, readonly due: number, readonly dueBytes: number }> {
  const missing: string[] = []
  let [missingCount, due, dueBytes, count] = [0, 0, 0, 0]
  for await (const { name, bytes, references, orphanSinceMs, isWithdrawn, nowMs } of keptFiles(files)) {
    count += 1
    onFiles('looked for', count)
    if (orphanSinceMs !== null && orphanSinceMs <= nowMs - terms.idleMs - terms.keepMs) {
      due += 1
      dueBytes += bytes
    }
    // It may have come since they were looked at.
    if (references === 0 || isWithdrawn || seen.has(numberOf(name)) || await store.bytesOf(name) !== null) continue
    missingCount += 1
    if (missing.length < NAMED) missing.push(name)
  }
  return { missing, missingCount, due, dueBytes }
}

/** Takes a file out, or those of a generation: it is removed, and not stored again. Rejects with a sentence where there is none. */
export async function takeOut (files: FileOperations, store: MediaStore, about: string): Promise<Tidied> {
  const names = isFileName(about) ? [about] : await files.filesOf(about)
  if (names === null) throw new Error(`there is no generation ${about} (any more), and it is no name of a file`)
  if (names.length === 0) throw new Error(`generation ${about} has no kept files`)
  await files.withdrawFiles(names)
  const failed: unknown[] = []
  for (const name of names) await store.remove(name).catch((error: unknown) => { failed.push(error) })
  const [error] = failed
  if (failed.length === 0) return { done: true, text: names.map(name => `${name} is removed: its links lead nowhere, and it is not kept again`).join('\n') }
  return { done: false, text: `${failed.length} of ${names.length} files could not be removed (${error instanceof Error ? error.message : String(error)}): run the command again; a gateway tries, too, in an hour` }
}

/** 48 bits of a name: two of a million files seldom have the same. */
function numberOf (name: string): number {
  return Number.parseInt(name.slice(0, 12), 16)
}

function namesText (names: readonly string[], count: number): string {
  return `:\n${names.map(name => `  ${name}`).join('\n')}${count > names.length ? `\n  and ${count - names.length} more` : ''}`
}

function timeOf (ms: number): string {
  return new Date(ms).toISOString()
}

function ageText (ms: number): string {
  const hours = Math.max(0, ms) / 3_600_000
  return hours < 1 ? `${Math.floor(hours * 60)} min` : hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} d`
}
