// The ledger of one machine: the one in memory, whose every change is on disk before anybody hears of it.

import type { Ledger, LedgerTimes } from '../../generation/ledger.ts'
import type { Recounting } from '../../generation/recount.ts'
import { movingMarkIn, movingSentence, type OwnAccount } from '../../upstream-account.ts'
import { createLedgerOf, type MemoryLedger, type Run } from '../memory/ledger.ts'
import { createRecount } from '../memory/recount.ts'
import { tellAll, type State } from '../memory/state.ts'
import { createChanges, type Changed } from './changes.ts'
import { createCheckpoints } from './checkpoint.ts'
import { createCommit } from './commit.ts'
import { figuresOf } from './figures.ts'
import type { LogOptions } from './log.ts'
import { unusable } from './log/folder.ts'
import { isNoSpace } from './log/port.ts'
import { openState, placeOf } from './open.ts'
import { entryRecord, figuresRecord } from './records.ts'
import { codecs, imageOf, lineRecord, type Image } from './tables.ts'
import { withTexts, type FreshTexts } from './texts.ts'

export interface DiskStore {
  readonly ledger: MemoryLedger
  /** Lays a snapshot of the state down, so that the next start is quick; it is made by itself, too, as the journal grows. */
  readonly checkpoint: () => Promise<void>
  /** Resolves when everything that happened so far is on disk, also what nobody waits for. */
  readonly flush: () => Promise<void>
  /** Counts again from the rows, while the ledger is used. */
  readonly recount: Recounting['recount']
  /** Every entry as it would be written down now, by table and key, and the figures. */
  readonly images: () => Generator<readonly [table: string, key: string, image: Image]>
}

export interface DiskOptions extends Pick<LogOptions, 'folder' | 'files' | 'partBytes' | 'onDamage'> {
  readonly times: LedgerTimes
  /** The accounts that it buys with. */
  readonly accounts: () => readonly OwnAccount[]
  /** Why the disk cannot be written to; `null`: it can be again. */
  readonly onState: (trouble: unknown) => void
  /** A checkpoint failed, which is tried again later. */
  readonly onCheckpointFailure: (error: unknown) => void
  /** Wall time in milliseconds. */
  readonly wallNow?: () => number
  /** As if it were kept by a server that may be another later. */
  readonly server?: () => string
}

/** Opens the ledger in a folder, which this process owns already. Rejects with a sentence that says what to do when it cannot be read. */
export async function openDiskLedger ({ times, accounts, onState, onCheckpointFailure, wallNow, server, ...files }: DiskOptions): Promise<DiskStore> {
  const changes = createChanges()
  const { time, state, texts, lines, log, read } = await openState({ ...files, times, ...(wallNow === undefined ? {} : { wallNow }), server, note: changes.note, tell: change => { commit.tell(change) } })
  const mark = movingMarkIn(state.upstream ?? '')
  if (mark !== null) {
    await log.close()
    throw new Error(movingSentence(mark, placeOf(files.folder)))
  }
  changes.take()

  const commit = createCommit({
    changes,
    write,
    isFull: () => log.isFull,
    makeRoom: async () => await log.makeRoom(),
    advance: time.advance,
    tell: change => { tellAll(state.listeners, change) },
    onState
  })
  const checkpoints = createCheckpoints({ state, log, texts, lines, flush: commit.flush, onFailure: onCheckpointFailure })

  async function write (changed: Changed): Promise<void> {
    const { records, fresh } = recordsOf(changed)
    if (records.length === 0 && fresh.texts.length === 0) return
    const places = await log.append({ records: [...records, ...fresh.records, figuresRecord(figuresOf(state))], texts: fresh.texts })
    texts.wrote(fresh, places)
    checkpoints.consider()
  }

  /** Whose ledger it is lasts from the first moment on, so that no other takes it for nobody's. On a full disk the first try gives up the reserve. */
  async function writeIdentity (): Promise<void> {
    const append = async (): Promise<unknown> => await log.append({ records: [figuresRecord(figuresOf(state))], texts: [] })
    await append().catch(async (error: unknown) => {
      if (!isNoSpace(error)) throw error
      await append()
    })
  }

  function recordsOf (changed: Changed): { readonly records: string[], readonly fresh: FreshTexts } {
    const records: string[] = []
    const fresh: FreshTexts = { texts: [], owners: [], records: [] }
    for (const [table, keys] of changed) {
      if (table === 'journal') {
        for (const line of keys.size === 0 ? [] : state.journal.slice(-keys.size)) records.push(entryRecord(table, line.cursor, imageOf(lineRecord, line)))
        continue
      }
      for (const key of keys) {
        records.push(entryRecord(table, key, codecs[table].image(state, key)))
        if (table === 'asides') texts.ofAside(fresh, key)
        if (table !== 'rows') continue
        const entry = state.rows.get(key)
        if (entry === undefined) texts.forget(key)
        else texts.ofRow(fresh, entry)
      }
    }
    return { records, fresh }
  }

  /** Texts that lie on disk are read from there, beginning in the same step: later they may lie elsewhere. */
  const run: Run = async <Result>(name: keyof Ledger, operate: () => Result, undo: ((result: Result) => boolean) | null) => {
    let filled: Promise<Result> | Result | undefined
    const result = await commit.run(name, () => {
      const plain = operate()
      filled = withTexts(plain, read)
      if (filled instanceof Promise) filled.catch(() => {}) // awaited below, unless the right is taken back
      return plain
    }, undo)
    return filled === undefined ? result : await filled
  }

  const found = identityText(state)
  const ledger = of(createLedgerOf({ state, instant: time, accounts, run }))
  if (identityText(state) !== found) {
    await writeIdentity().catch(async (error: unknown) => {
      await log.close()
      throw unusable(files.folder, error)
    })
  }
  return { ledger, checkpoint: checkpoints.make, flush: commit.flush, recount: createRecount({ state, journal: ledger.journal, flush: commit.flush }), images }

  function * images (): ReturnType<DiskStore['images']> {
    for (const [table, { keys, image }] of Object.entries(codecs)) {
      for (const key of keys(state)) {
        const now = image(state, key)
        if (now !== null) yield [table, key, now]
      }
    }
    yield ['figures', '', figuresOf(state)]
  }

  function of (base: MemoryLedger): MemoryLedger {
    /** Nothing new is begun while it could not be written down. */
    function unlessInTrouble<Given extends unknown[], Result> (operation: (...given: Given) => Promise<Result>): (...given: Given) => Promise<Result> {
      return async (...given) => {
        const trouble = commit.trouble()
        if (trouble !== null) throw trouble
        return await operation(...given)
      }
    }

    return {
      ...base,
      beside: own => of(base.beside(own)),
      admit: async (admission, claim) => {
        const trouble = commit.trouble()
        // What is there already is given out all the same.
        if (trouble !== null && !FREE.has((await base.preview(admission)).would.outcome)) throw trouble
        return await base.admit(admission, claim)
      },
      admitAll: unlessInTrouble(base.admitAll),
      claim: unlessInTrouble(base.claim),
      mint: unlessInTrouble(base.mint),
      erase: unlessInTrouble(base.erase),
      settle: unlessInTrouble(base.settle),
      correct: unlessInTrouble(base.correct),
      journal: async (...given) => {
        // What is not on disk yet is nobody's to read.
        await commit.run('journal', () => {}, null)
        return await lines.journal(...given)
      },
      close: async () => {
        await base.close()
        await commit.close().catch(() => {}) // told by onState
        await checkpoints.close()
        await log.close()
      }
    }
  }
}

function identityText ({ upstream, otherAccounts }: State): string {
  return JSON.stringify([upstream, ...otherAccounts])
}

const FREE: ReadonlySet<string> = new Set(['replayed', 'joined', 'adopted', 'hit', 'look', 'gone', 'duplicates'])
