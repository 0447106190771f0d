// What `falgate doctor` says: a line for each thing, or one object for programs.

import type { Finding, Verdict } from '../app/doctor/finding.ts'
import { wrapped, type Look, type Style } from './terminal.ts'

const words: Readonly<Record<Verdict, readonly [word: string, style: Style]>> = {
  ok: ['ok', 'green'],
  warning: ['warning', 'yellow'],
  fault: ['FAULT', 'red'],
  'not-tried': ['not tried', 'dim']
}

const WORD_WIDTH = 11
const CHECK_WIDTH = 19

/** A table for people, and a last line that sums up. */
export function findingsText (findings: readonly Finding[], { style, columns }: Look): string {
  const room = columns === null ? Infinity : Math.max(columns - WORD_WIDTH - CHECK_WIDTH, 30)
  const lines = findings.flatMap(({ check, verdict, sentence }) => {
    const [word, colour] = words[verdict]
    return wrapped(sentence, room).map((line, at) => at === 0 ? style(colour, word.padEnd(WORD_WIDTH)) + check.padEnd(CHECK_WIDTH) + line : ' '.repeat(WORD_WIDTH + CHECK_WIDTH) + line)
  })
  return [...lines, '', style('bold', summaryOf(findings))].join('\n')
}

function summaryOf (findings: readonly Finding[]): string {
  const { faults, warnings, untried } = countsOf(findings)
  const told = [plural(faults, 'fault'), plural(warnings, 'warning'), ...untried === 0 ? [] : [`${untried} not tried`]]
  return faults === 0 ? `nothing is at fault (${told.slice(1).join(', ')})` : told.join(', ')
}

function plural (count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

function countsOf (findings: readonly Finding[]): { readonly faults: number, readonly warnings: number, readonly untried: number } {
  const count = (wanted: Verdict): number => findings.filter(({ verdict }) => verdict === wanted).length
  return { faults: count('fault'), warnings: count('warning'), untried: count('not-tried') }
}

/** One JSON object: how many faults and warnings, and every finding. */
export function findingsJson (findings: readonly Finding[]): string {
  const { faults, warnings, untried } = countsOf(findings)
  return JSON.stringify({ faults, warnings, not_tried: untried, findings })
}
