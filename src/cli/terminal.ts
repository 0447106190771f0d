// How a terminal is written to: with colours where it wants them, and as wide as it is.

import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

/** How something is to look. */
export interface Look {
  /** A text in a style, where there are colours; otherwise as it is. */
  readonly style: (style: Style, text: string) => string
  /** `null`: it is no terminal, and lines may be as long as they like. */
  readonly columns: number | null
}

/** Without colours where NO_COLOR is set, whatever to, on a terminal that has none, and where there is no terminal. */
export function lookOf (stdout: Writable, env: Readonly<Record<string, string | undefined>>): Look {
  const columns = isTerminal(stdout) ? stdout.columns : null
  const hasColours = columns !== null && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return { style: (style, text) => hasColours && text !== '' ? styleText(style, text) : text, columns }
}

/** Is it a terminal, which knows how large it is? */
export function isTerminal (stream: Writable): stream is Writable & { readonly columns: number, readonly rows: number } {
  return 'isTTY' in stream && stream.isTTY === true && 'columns' in stream && typeof stream.columns === 'number'
}

/** The text in lines of at most so many characters, cut between words where that is possible. */
export function wrapped (text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}
