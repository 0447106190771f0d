// The ledger of a folder as one that is moved: away from it, or into it; then the folder belongs to this process. One that is only copied is read beside whoever has it.

import type { LedgerTimes } from '../../generation/ledger.ts'
import { movingMarkIn, movingSentence, type MovingMark } from '../../upstream-account.ts'
import type { Declarations } from '../moving/arrive.ts'
import { movedTables, Unmovable, type ArrivingLedger, type Entry, type Image, type LeavingLedger, type LongTexts, type MovedTable, type MovingPlace } from '../moving/entry.ts'
import type { State } from '../memory/state.ts'
import { placeIn, referTo } from '../memory/texts.ts'
import { figureRecord, figuresOf } from './figures.ts'
import { openLog, type Checkpoint, type LogOptions } from './log.ts'
import { hasCode, isNoSpace } from './log/port.ts'
import type { StillLog } from './log/still.ts'
import { openState, placeOf, readState, type OpenState, type ReadState } from './open.ts'
import { entryRecord, figuresRecord, linesRecord, textRecord, type LineChunk } from './records.ts'
import { codecs, imageOf, lineRecord } from './tables.ts'
import { ownerOf } from './texts.ts'
import { createHeld } from './held.ts'

/** How the texts of each table that moves are declared. */
export const declarations: Declarations = { ...codecs, journal: { fields: lineRecord }, figures: { fields: figureRecord } }

/** Lines of the journal of money that are read at a time, and that lie together. */
const LINES = 1000

/** Entries whose texts are read at a time: with one after the other the disk is waited for most of the time. */
const TOGETHER = 50

/** Records of one slice of a snapshot, at most. */
const SLICE = 200

export interface DiskMovingOptions extends Pick<LogOptions, 'folder' | 'files' | 'onDamage'> {
  readonly times: LedgerTimes
  /** Wall time in milliseconds. */
  readonly wallNow?: () => number
}

/** Whose ledger it is from now on. */
async function mark ({ state, time, log }: OpenState, upstream: string): Promise<void> {
  time.advance()
  state.upstream = upstream
  await log.append({ records: [figuresRecord(figuresOf(state))], texts: [] })
}

/** Marks a ledger again that was nobody's, and whose mark was cut off with what was damaged. The folder belongs to this process. */
export async function markAgain ({ times, wallNow = Date.now, ...files }: DiskMovingOptions, { word, upstream }: MovingMark): Promise<void> {
  const found = await openState({ ...files, times, wallNow })
  try {
    await mark(found, `${word} ${upstream}`)
  } finally {
    await found.log.close()
  }
}

/** `close` lets go of the files. */
export function createDiskMovingPlace ({ times, wallNow = Date.now, ...files }: DiskMovingOptions): MovingPlace & { readonly close: () => Promise<void> } {
  const place = placeOf(files.folder)
  let opened: Promise<OpenState> | null = null
  let copied: { readonly log: StillLog } | null = null

  function open (): Promise<OpenState> {
    opened ??= openState({ ...files, times, wallNow })
    return opened
  }

  async function leave (): Promise<LeavingLedger> {
    const found = await open()
    const { upstream } = found.state
    if (upstream === null) throw nothingThere()
    const moving = movingMarkIn(upstream)
    if (moving !== null && moving.word !== 'leaving') throw new Unmovable(movingSentence(moving, place))
    const whose = moving?.upstream ?? upstream
    if (moving === null) await mark(found, `leaving ${whose}`)
    return leavingLedger(found, whose)
  }

  async function copy (): Promise<LeavingLedger> {
    const found = await readState({ folder: files.folder, files: files.files, times, wallNow }).catch(error => { throw hasCode(error, 'ENOENT') ? nothingThere() : hasCode(error, 'EACCES') ? new Unmovable(`${place}: this user may not read it; run the command as the user that the gateway runs as`) : error })
    copied = found
    const { upstream } = found.state
    if (upstream === null) throw nothingThere()
    const moving = movingMarkIn(upstream)
    if (moving !== null) throw new Unmovable(movingSentence(moving, place))
    return leavingLedger(found, upstream)
  }

  function nothingThere (): Unmovable {
    return new Unmovable(`${place}: there is no ledger`)
  }

  return {
    leave: async isMove => isMove ? await leave() : await copy(),
    left: async () => {
      const found = await open()
      const moving = movingMarkIn(found.state.upstream ?? '')
      if (moving?.word === 'leaving') await mark(found, `moved ${moving.upstream}`)
    },
    takeBack: async () => {
      const found = await open()
      const moving = movingMarkIn(found.state.upstream ?? '')
      if (moving === null) throw new Unmovable(`${place}: the ledger there is not one that was moved away`)
      await mark(found, moving.upstream)
      return moving.upstream
    },
    arrive: async () => {
      let isEmpty = true
      const log = await openLog({ ...files, onRecord: () => { isEmpty = false } })
      if (!isEmpty) {
        await log.close()
        throw new Unmovable(`${place}: there is a ledger already, and an import goes into an empty folder only; take another DATA_DIR`)
      }
      return {
        nowMs: wallNow(),
        take: async (ledger, onCount) => {
          const checkpoint = await log.beginCheckpoint()
          try {
            await write(checkpoint, ledger, onCount)
            // Until here the folder has no ledger, and with this it has all of it.
            await checkpoint.commit()
          } catch (error) {
            await checkpoint.abort()
            throw isNoSpace(error) ? new Unmovable(`${place}: there is no space left on its disk; make room there, and run the command again`) : error
          } finally {
            await log.close()
          }
        }
      }
    },
    close: async () => {
      await copied?.log.close()
      if (opened !== null) await (await opened).log.close()
    }
  }
}

function leavingLedger ({ state, time, lines, read }: ReadState, upstream: string): LeavingLedger {
  time.advance()
  const clockMs = state.now()

  async function textOf (text: string | null | undefined): Promise<string | undefined> {
    if (text === null || text === undefined) return undefined
    const where = placeIn(text)
    return where === null ? text : await read(where)
  }

  async function textsOf (table: string, key: string): Promise<LongTexts> {
    const { row } = table === 'rows' ? state.rows.look(key) ?? {} : {}
    const [input, output] = await Promise.all([
      textOf(row?.input),
      textOf(table === 'asides' ? state.asides.get(key)?.output : row?.output)
    ])
    return { ...(input === undefined ? {} : { input }), ...(output === undefined ? {} : { output }) }
  }

  async function entriesAt (table: Exclude<MovedTable, 'journal'>, keys: readonly string[], image: (state: State, key: string) => Image | null): Promise<Entry[]> {
    const found = await Promise.all(keys.map(async key => {
      const now = image(state, key)
      return now === null ? null : { table, key, image: now, texts: await textsOf(table, key) }
    }))
    return found.filter(entry => entry !== null)
  }

  async function * entries (): AsyncGenerator<Entry> {
    for (const table of movedTables) {
      if (table === 'journal') continue
      const { keys, image } = codecs[table]
      let batch: string[] = []
      for (const key of keys(state)) {
        batch.push(key)
        if (batch.length < TOGETHER) continue
        yield * await entriesAt(table, batch, image)
        batch = []
      }
      yield * await entriesAt(table, batch, image)
    }
    for (let after: string | undefined; ;) {
      const page = await lines.journal(0, Infinity, LINES, after)
      for (const line of page) yield { table: 'journal', key: line.cursor, image: imageOf(lineRecord, line), texts: {} }
      after = page.at(-1)?.cursor
      if (page.length < LINES) return
    }
  }

  const count = Object.values(codecs).reduce((sum, { keys }) => sum + [...keys(state)].length, 0) + lines.count()
  return { identity: { upstream, otherAccounts: [...state.otherAccounts], clockMs }, entries: entries(), count, figures: async () => ({ ...figuresOf(state), upstream }) }
}

/** As a snapshot: each entry once, long texts in a file beside it, the lines of the journal of money many together. */
async function write (checkpoint: Checkpoint, { entries, figures }: ArrivingLedger, onCount: (entries: number) => void): Promise<void> {
  let slice: string[] = []
  let lines: { readonly cursor: string, readonly image: object }[] = []
  const chunks: LineChunk[] = []
  const held = createHeld()
  let count = 0

  async function end (): Promise<void> {
    await checkpoint.write(slice)
    slice = []
    onCount(count)
  }

  async function layAside (): Promise<void> {
    const [first, last] = [lines[0], lines.at(-1)]
    if (first === undefined || last === undefined) return
    chunks.push({ first: first.cursor, last: last.cursor, count: lines.length, place: await checkpoint.add(JSON.stringify(lines.map(({ image }) => image))) })
    lines = []
  }

  /** With the places of its texts. */
  async function rowOf (image: Image, { input, output }: LongTexts): Promise<Image> {
    return {
      ...image,
      ...(input === undefined ? {} : { input: referTo(await checkpoint.add(input)) }),
      ...(output === undefined ? {} : { output: referTo(await checkpoint.add(output)) })
    }
  }

  for await (const { table, key, image, texts } of entries) {
    count += 1
    if (table === 'journal') {
      lines.push({ cursor: key, image })
      if (lines.length === LINES) await layAside()
      continue
    }
    if (held.takes(table, key, image)) continue
    slice.push(entryRecord(table, key, table === 'rows' ? await rowOf(image, texts) : image))
    if (table === 'asides') slice.push(textRecord(ownerOf('a', key), await checkpoint.add(texts.output ?? '')))
    if (slice.length >= SLICE) await end()
  }
  await layAside()
  for (const [table, key, image] of held.images()) slice.push(entryRecord(table, key, image))
  slice.push(figuresRecord(figures()), ...chunks.map(linesRecord))
  await end()
}
