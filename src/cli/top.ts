// `falgate top`: the ledger's overview once, or drawn again and again until somebody has seen enough.

import type { Readable, Writable } from 'node:stream'
import type { Overview } from '../app/overview.ts'
import { isTerminal, lookOf } from './terminal.ts'
import { overviewJson } from './top-json.ts'
import { pictureLines, type Picture } from './top-text.ts'

export interface TopContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: Writable
  /** Rejects with one sentence while the ledger cannot be reached. */
  readonly read: () => Promise<Overview>
  /** What could not be told, and why. */
  readonly notes: () => readonly string[]
  /** Which ledger it is. */
  readonly name: string
  /** Calls back at a signal that wants an end, until the returned function is called. */
  readonly onSignal: (end: () => void) => () => void
}

export interface TopOptions {
  /** Once, and how; `null`: as long as it is watched. */
  readonly once: 'text' | 'json' | null
  readonly everyMs: number
}

/** Draws. Rejects with one sentence when it is drawn once and the ledger cannot be reached. */
export async function runTop ({ once, everyMs }: TopOptions, context: TopContext): Promise<void> {
  const { env, stdout } = context
  if (once === null && isTerminal(stdout) && env['TERM'] !== 'dumb') return await watch(everyMs, context, stdout)
  const overview = await context.read()
  if (once === 'json') stdout.write(overviewJson(overview, context.notes()) + '\n')
  else stdout.write(pictureLines({ overview, trouble: null, notes: context.notes(), title: context.name }, { ...lookOf(stdout, env), rows: null }).map(line => line + '\n').join(''))
}

/** A screen of its own, without a cursor; what was there before comes back. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
/** Each line ends at the screen's edge or clears what is behind it, so that nothing flickers. */
const HOME = '\x1b[H'
const REST_OF_LINE = '\x1b[K'
const REST_OF_SCREEN = '\x1b[J'

const QUITS = /[qQ\x03\x04]/ // eslint-disable-line no-control-regex -- Ctrl-C and Ctrl-D, which a raw terminal hands on

async function watch (everyMs: number, { env, stdin, read, notes, name, onSignal }: TopContext, stdout: Writable & { readonly rows: number }): Promise<void> {
  let overview: Overview | null = null
  let trouble: string | null = 'the ledger is being reached'
  let end = (): void => {}
  const isOver = new Promise<void>(resolve => { end = resolve })
  let timer: NodeJS.Timeout | undefined
  let isWatched = true

  function draw (): void {
    // A terminal that does not keep up sees the next picture.
    if (stdout.writableNeedDrain) return
    const picture: Picture = { overview, trouble, notes: notes(), title: `${name}  every ${everyMs / 1000} s, q quits` }
    const lines = pictureLines(picture, { ...lookOf(stdout, env), rows: stdout.rows })
    stdout.write(HOME + lines.map(line => line + REST_OF_LINE).join('\r\n') + REST_OF_SCREEN)
  }

  async function refresh (): Promise<void> {
    try {
      overview = await read()
      trouble = null
    } catch (error) {
      trouble = error instanceof Error ? error.message : 'the ledger cannot be read'
    }
    if (!isWatched) return
    draw()
    timer = setTimeout(() => { refresh() }, everyMs)
  }

  const keys = (typed: Buffer | string): void => { if (QUITS.test(typed.toString())) end() }
  const isKeyed = isRawable(stdin)
  if (isKeyed) {
    stdin.setRawMode(true)
    stdin.on('data', keys)
  }
  const forget = onSignal(end)
  stdout.on('resize', draw)
  stdout.write(ENTER)
  try {
    draw()
    refresh()
    await isOver
  } finally {
    isWatched = false
    clearTimeout(timer)
    forget()
    stdout.off('resize', draw)
    if (isKeyed) {
      stdin.off('data', keys)
      stdin.setRawMode(false)
      stdin.pause()
    }
    stdout.write(LEAVE)
  }
}

/** Can it hand on each key as it is typed? */
function isRawable (stream: Readable): stream is Readable & { readonly setRawMode: (isRaw: boolean) => unknown } {
  return 'isTTY' in stream && stream.isTTY === true && 'setRawMode' in stream && typeof stream.setRawMode === 'function'
}
