// The picture of `falgate top`: sections one below the other, as many lines as the terminal has.

import type { Overview, Places, Spending } from '../app/overview.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import { wrapped, type Look, type Style } from './terminal.ts'

/** A text in a style. */
type Piece = string | readonly [style: Style, text: string]
type Line = readonly Piece[]

export interface Drawn extends Look {
  /** `null`: as many lines as there are. */
  readonly rows: number | null
}

export interface Picture {
  /** `null`: the ledger was never reached. */
  readonly overview: Overview | null
  /** Why it cannot be reached now; `null`: it is. */
  readonly trouble: string | null
  /** What could not be told, and why. */
  readonly notes: readonly string[]
  /** Which ledger it is, and how the picture is left. */
  readonly title: string
}

/** The lines, each no longer than the terminal is wide. */
export function pictureLines ({ overview, trouble, notes, title }: Picture, drawn: Drawn): readonly string[] {
  const head: readonly Line[] = [
    [['bold', title], overview === null ? '' : `  ${timeText(overview.atMs)}`],
    ...trouble === null ? [] : told('red', overview === null ? trouble : `${trouble} (the figures are those of ${clockText(overview.atMs)})`, drawn),
    ...notes.flatMap(note => told('yellow', note, drawn)),
    ...overview === null ? [] : [[], ...summary(overview)]
  ]
  const body = overview === null ? [] : sections(overview, drawn.rows === null ? Infinity : drawn.rows - head.length)
  return [...head, ...body].slice(0, drawn.rows ?? undefined).map(line => cut(line, drawn))
}

function told (style: Style, sentence: string, { columns }: Drawn): readonly Line[] {
  return wrapped(sentence, columns ?? Infinity).map(text => [[style, text]])
}

function summary ({ atMs, waiting, oldestMs, places, accounts, state, company, unknown }: Overview): readonly Line[] {
  const isFull = places.used >= places.open && waiting > 0
  return [
    ['Line      ', waiting === 0 ? 'nothing waits' : [isFull ? 'yellow' : 'bold', `${waiting} wait`], oldestMs === null ? '' : `, the oldest for ${ageText(oldestMs, atMs)}`],
    placesLine('Places    ', places),
    ...accounts.size < 2 ? [] : [...accounts].map(([account, places]) => placesLine(`          ${account}: `, places)),
    ['Guard     ', [state === 'ok' ? 'green' : 'red', state]],
    ['Company   ', moneyText(company)],
    ['Unknown   ', unknown.open === 0 ? 'none' : ['yellow', `${unknown.open}, the oldest for ${ageText(unknown.oldestMs ?? atMs, atMs)}: falgate unknown`]]
  ]
}

function placesLine (head: string, { used, open, total }: Places): Line {
  return [head, `${used} of ${total} used`, open < total ? ['yellow', `, ${open} open: fal takes no more`] : '']
}

function moneyText ({ period, spent, held, limit, left }: Spending): string {
  const budget = limit === null || left === null ? 'no budget' : `${dollars(left)} left of ${dollars(limit)}`
  return `${period}: ${dollars(spent)} spent, ${dollars(held)} reserved, ${budget}`
}

/** How many lines each section may take at most, of those that are left: failures and replicas are cut before tenants are. */
function sections (overview: Overview, room: number): readonly Line[] {
  const breakers = breakerLines(overview)
  const left = room - lengthOf(breakers)
  const replicas = shortened(replicaLines(overview), Math.floor(left / 5))
  const failures = shortened(failureLines(overview), Math.floor(left / 3))
  const tenants = shortened(tenantLines(overview), left - lengthOf(replicas) - lengthOf(failures) - 1)
  return [breakers, tenants, failures, replicas].flatMap(lines => lines.length === 0 ? [] : [[], ...lines])
}

function lengthOf (lines: readonly Line[]): number {
  return lines.length === 0 ? 0 : lines.length + 1
}

function shortened (lines: readonly Line[], most: number): readonly Line[] {
  const room = Math.max(most, 3)
  return lines.length <= room ? lines : [...lines.slice(0, room - 1), [['dim', `… and ${lines.length - room + 1} more`]]]
}

function breakerLines ({ breakers, accounts }: Overview): readonly Line[] {
  if (breakers.length === 0) return []
  return table(['Breaker', 'state', 'since', 'until', 'failures'], breakers.map(({ scope, state, sinceMs, retryAtMs, failures }) =>
    [scope === '*' ? accounts.size < 2 ? 'the account' : 'the first account' : scope, state, clockText(sinceMs), state === 'price-unsure' ? 'falgate correct' : clockText(retryAtMs), String(failures)]), [4])
}

function tenantLines ({ atMs, tenants }: Overview): readonly Line[] {
  if (tenants.length === 0) return []
  return table(['Tenant', 'at fal', 'waiting', 'oldest', 'spent', 'reserved', 'left', 'period'], tenants.map(({ tenant, running, waiting, oldestMs, spending: { period, spent, held, left } }) =>
    [tenant, String(running), String(waiting), oldestMs === null ? '-' : ageText(oldestMs, atMs), dollars(spent), dollars(held), left === null ? '-' : dollars(left), period]), [1, 2, 3, 4, 5, 6])
}

function failureLines ({ failures }: Overview): readonly Line[] {
  if (failures.length === 0) return [[['dim', 'Nothing has failed lately.']]]
  return table(['Failed', 'tenant', 'code', 'cost', 'model', 'generation'], failures.map(({ id, tenant, model, code, finishedAtMs, cost }) => [clockText(finishedAtMs), tenant, code, dollars(cost), model, id]), [3])
}

function replicaLines ({ atMs, replicas }: Overview): readonly Line[] {
  if (replicas.length === 0) return [[['yellow', 'No replica has a heartbeat: no gateway uses this ledger.']]]
  return table(['Replica', 'heartbeat', 'follows'], replicas.map(({ replica, beatAtMs, following }) => [replica, `${ageText(beatAtMs, atMs)} ago`, String(following)]), [2])
}

/** Columns side by side; those named are numbers and stand at the right. */
function table (head: readonly string[], rows: readonly (readonly string[])[], numbers: readonly number[]): readonly Line[] {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map(row => row[column]?.length ?? 0)))
  const text = (cells: readonly string[]): string => cells.map((cell, column) => numbers.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()
  return [[['bold', text(head)]], ...rows.map(cells => [text(cells)])]
}

/** What a terminal would obey is not shown, and what does not fit is left out. */
function cut (line: Line, { style, columns }: Drawn): string {
  let room = columns ?? Infinity
  return line.map(piece => {
    const [styled, given] = typeof piece === 'string' ? [null, piece] : piece
    const text = given.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?').slice(0, room)
    room -= text.length
    return styled === null ? text : style(styled, text)
  }).join('')
}

function dollars (amount: MicroUsd): string {
  return `$${formatUsd(amount)}`
}

/** `12 s`, `3 min`, `5 h`. */
function ageText (sinceMs: number, atMs: number): string {
  const seconds = Math.max(0, Math.round((atMs - sinceMs) / 1000))
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`
}

function timeText (ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

function clockText (ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}
