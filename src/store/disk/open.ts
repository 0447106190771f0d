// A ledger as it lies in a folder, read into memory: for the gateway that goes on with it, and for whoever moves it.

import { performance } from 'node:perf_hooks'
import type { LedgerTimes } from '../../generation/ledger.ts'
import type { Instant } from '../memory/ledger.ts'
import { createState, type State } from '../memory/state.ts'
import type { Place } from '../memory/texts.ts'
import { createLines, type Lines } from './lines.ts'
import { createLoading, type Loading } from './load.ts'
import { openLog, type DiskLog, type LogOptions } from './log.ts'
import { DamagedTextError, MEND } from './log/damage.ts'
import { realFiles } from './log/port.ts'
import { mayBePassing, readStill, type StillLog } from './log/still.ts'
import { createTexts, type Texts } from './texts.ts'

/** A ledger that was read. */
export interface ReadState {
  readonly time: Instant
  readonly state: State
  readonly texts: Texts
  readonly lines: Lines
  /** Reads a text that lies on disk. */
  readonly read: (place: Place) => Promise<string>
}

/** One that this process writes. */
export interface OpenState extends ReadState { readonly log: DiskLog }

interface StateOptions extends Partial<Pick<State, 'note' | 'tell'>> {
  readonly times: LedgerTimes
  /** Wall time in milliseconds. */
  readonly wallNow?: () => number
  readonly server?: (() => string) | undefined
  /** Told of each generation that has not ended and whose input is damaged, and has none then; without this such a ledger is not opened. */
  readonly onLostInput?: (id: string) => void
}

export interface OpenStateOptions extends StateOptions, Pick<LogOptions, 'folder' | 'files' | 'onDamage'> {}

/** Opens the ledger of a folder that belongs to this process. Rejects with a sentence that says what to do when it cannot be read. */
export async function openState ({ folder, files, onDamage, ...options }: OpenStateOptions): Promise<OpenState> {
  return await stateOf(options, async onRecord => await openLog({ folder, files, onDamage, onRecord }))
}

/** Reads the ledger of a folder as it is at one moment, whoever goes on with it, and changes nothing there. Rejects as `openState` does. `log` is to be closed. */
export async function readState ({ folder, files = realFiles, ...options }: Omit<OpenStateOptions, 'onDamage'>): Promise<ReadState & { readonly log: StillLog }> {
  return await mayBePassing(async () => await stateOf(options, async onRecord => await readStill({ folder, files, onRecord })))
}

/** `open` gives a log when it has told of all its records. */
async function stateOf<Log extends StillLog> ({ times, wallNow = monotonicNow, server, note, tell, onLostInput }: StateOptions, open: (onRecord: Loading['take']) => Promise<Log>): Promise<ReadState & { readonly log: Log }> {
  const time = createTime(wallNow)
  const state = createState({ times, now: time.now, server, ...(note === undefined ? {} : { note }), ...(tell === undefined ? {} : { tell }), maxJournalLines: Infinity })
  const read = async (place: Place): Promise<string> => await log.readText(place)
  const texts = createTexts(state)
  const lines = createLines(state, read)
  const loading = createLoading(state, texts, lines, time.notBefore)
  const log = await open(loading.take)
  await loading.finish(async (place, id) => await read(place).catch((error: unknown) => {
    if (!(error instanceof DamagedTextError)) throw error
    if (onLostInput === undefined) throw lostInput(id, error)
    onLostInput(id)
    return null
  }))
  return { time, state, texts, lines, log, read }
}

function lostInput (id: string, error: DamagedTextError): Error {
  return new Error(`${error.message} It is the input of generation ${id}, which has not ended. Keep a copy of the folder. ${MEND}`, { cause: error })
}

/** Where a ledger is, for operators: the setting that leads there. */
export function placeOf (folder: string): string {
  return `DATA_DIR=${folder}`
}

/** Wall time at the start of the process and monotonic time since, but never before the latest moment that the ledger has seen: whoever sets a clock back ends nothing early and begins nothing again. */
function createTime (wallNow: () => number): Instant & { readonly notBefore: (ms: number) => void } {
  let aheadMs = 0
  const clock = (): number => wallNow() + aheadMs
  let nowMs = clock()
  return {
    clock,
    now: () => nowMs,
    advance: () => { nowMs = clock() },
    notBefore: ms => {
      if (clock() < ms) aheadMs += ms - clock()
      nowMs = clock()
    }
  }
}

function monotonicNow (): number {
  return Math.floor(performance.timeOrigin + performance.now())
}
