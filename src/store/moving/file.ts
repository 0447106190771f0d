// A ledger as a file: JSON lines, first a head, then the entries, then an end that counts them. Prompts lie in it.

import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { recordOf, textOf, listOf } from '../../generation/fields.ts'
import { movedTables, Unmovable, type Entry, type Identity, type Image, type LeavingLedger, type LongTexts, type MovedTable, type OnCount } from './entry.ts'

/** The version of this format. */
const FORMAT = 1

/** The first line. */
export interface Head extends Identity {
  /** The falgate that wrote it. */
  readonly version: string
  readonly store: string
  /** It was taken out of its store for good. Otherwise it is a backup: what was bought since is not known in it. */
  readonly isMoved: boolean
}

/** A file that was looked through. */
export interface LedgerFile { readonly head: Head, readonly figures: Image, readonly count: number, readonly entries: () => AsyncGenerator<Entry> }

/** About so many characters go out at a time. */
const CHUNK = 262_144

/** The lines of such a file, many in one text. */
export async function * fileLines (ledger: LeavingLedger, about: Omit<Head, keyof Identity>, onCount: OnCount): AsyncGenerator<string> {
  const hash = createHash('sha256')
  let count = 0
  let chunk = ''
  const add = (line: unknown): void => {
    const text = JSON.stringify(line) + '\n'
    hash.update(text)
    chunk += text
  }
  add({ falgateLedger: FORMAT, ...about, ...ledger.identity })
  for await (const { table, key, image, texts } of ledger.entries) {
    add([table, key, image, ...(Object.keys(texts).length === 0 ? [] : [texts])])
    count += 1
    if (chunk.length < CHUNK) continue
    onCount(count, ledger.count)
    yield chunk
    chunk = ''
  }
  add({ figures: await ledger.figures() })
  yield chunk + JSON.stringify({ end: count, sha256: hash.digest('hex') }) + '\n'
  onCount(count, count)
}

/** Reads a file to its end, and each entry with `read`. Rejects with an {@link Unmovable} when it is no such file, is not whole, was changed, or has what cannot be read. */
export async function lookThrough (path: string, { read, onCount }: { readonly read: (table: MovedTable | 'figures', image: Image) => void, readonly onCount: OnCount }): Promise<LedgerFile> {
  const hash = createHash('sha256')
  let head: Head | null = null
  let figures: Image | null = null
  let count = 0
  let lines = 0
  let isWhole = false
  try {
    for await (const line of linesOf(path)) {
      lines += 1
      if (isWhole) throw notWhole(path, 'something follows its end')
      if (head === null) head = headIn(path, line)
      else if (line.startsWith('[')) {
        const { table, image } = entryIn(JSON.parse(line))
        read(table, image)
        onCount(++count, null)
      } else {
        const { end, sha256, figures: found } = recordOf(JSON.parse(line))
        if (found !== undefined) read('figures', figures = imageIn(found))
        else isWhole = isEnd(hash, end === count, sha256)
      }
      hash.update(line + '\n')
    }
  } catch (error) {
    throw error instanceof Unmovable ? error : error instanceof Error && 'code' in error ? new Unmovable(unreadable(path, error)) : notWhole(path, `line ${lines} cannot be read`)
  }
  if (head === null) throw notWhole(path, 'it is empty')
  if (!isWhole || figures === null) throw notWhole(path, 'its end is missing or does not fit')
  return { head, figures, count, entries: () => entriesOf(path) }
}

/** Why this file cannot be imported, as far as opening it says; null when it can. */
export async function openingFault (path: string): Promise<string | null> {
  try {
    const file = await open(path)
    // A folder can be opened.
    await file.read({ length: 1 }).finally(async () => { await file.close() })
    return null
  } catch (error) {
    return unreadable(path, error)
  }
}

function unreadable (path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  const why = code === 'ENOENT'
    ? 'there is no such file'
    : code === 'EISDIR' ? 'it is a folder, and falgate export writes a file' : code === 'EACCES' ? 'this user may not read it' : error instanceof Error ? error.message : String(error)
  return `${path} cannot be read: ${why}`
}

function isEnd (hash: Hash, isCounted: boolean, sha256: unknown): boolean {
  return isCounted && sha256 === hash.copy().digest('hex')
}

function notWhole (path: string, why: string): Unmovable {
  return new Unmovable(`${path} is no whole ledger: ${why}. Nothing was written; export it again`)
}

/** Line feeds only: what else readers take for the end of a line may stand in a text. */
async function * linesOf (path: string): AsyncGenerator<string> {
  const input = createReadStream(path, { encoding: 'utf8', highWaterMark: CHUNK })
  let rest: string[] = []
  for await (const read of input) {
    const lines = textOf(read).split('\n')
    const last = lines.pop() ?? ''
    for (const line of lines) {
      yield rest.length === 0 ? line : rest.join('') + line
      rest = []
    }
    if (last !== '') rest.push(last)
  }
  if (rest.length > 0) yield rest.join('')
}

async function * entriesOf (path: string): AsyncGenerator<Entry> {
  for await (const line of linesOf(path)) if (line.startsWith('[')) yield entryIn(JSON.parse(line))
}

function entryIn (value: unknown): Entry {
  const [name, key, image, texts] = listOf(value)
  const table = movedTables.find(known => known === name)
  if (table === undefined) throw new Unmovable(`The table ${JSON.stringify(name)} is not known to this version of falgate`)
  return { table, key: textOf(key), image: imageIn(image), texts: texts === undefined ? {} : textsIn(texts) }
}

function headIn (path: string, line: string): Head {
  const head = parsed(line)
  if (head === null || head['falgateLedger'] === undefined) throw new Unmovable(`${path} is no ledger that falgate export wrote`)
  if (head['falgateLedger'] !== FORMAT) throw new Unmovable(`${path} was written by falgate ${String(head['version'])}, in a form that this version does not know: import it with that one`)
  const { version, store, isMoved, upstream, otherAccounts, clockMs } = head
  if (typeof clockMs !== 'number') throw new Unmovable(`${path} is no ledger that falgate export wrote`)
  return { version: textOf(version), store: textOf(store), isMoved: isMoved === true, upstream: textOf(upstream), otherAccounts: listOf(otherAccounts).map(textOf), clockMs }
}

function parsed (line: string): Readonly<Record<string, unknown>> | null {
  try {
    return recordOf(JSON.parse(line))
  } catch {
    return null
  }
}

function imageIn (value: unknown): Image {
  return Object.fromEntries(Object.entries(recordOf(value)).map(([name, text]) => [name, textOf(text)]))
}

function textsIn (value: unknown): LongTexts {
  const { input, output } = recordOf(value)
  return { ...(input === undefined ? {} : { input: textOf(input) }), ...(output === undefined ? {} : { output: textOf(output) }) }
}
