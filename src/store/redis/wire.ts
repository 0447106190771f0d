// How the answers of the ledger's scripts are read: a reader for each operation. A function named `…In` reads one thing out of parsed JSON, in which numbers
// are texts, and what is null or false is left out. What cannot be read is a fault of falgate: it throws. `fieldsOf` is the way back, for rows that are restored.

import { createHash } from 'node:crypto'
import { breakerStates } from '../../breaker-states.ts'
import type { Balance, JournalEntry, OpenUnknown, Token } from '../../generation/accounts.ts'
import type { AdmittedAll, End, Foreseen, Preview, RateState, Refused } from '../../generation/admission.ts'
import type { Breaker } from '../../generation/breaker-state.ts'
import type { Change, Published } from '../../generation/changes.ts'
import type { Cancelled, Claimed, Corrected, Settled, Taken, Weighed } from '../../generation/evidence.ts'
import { integerOf, listOf, readAll, recordOf, textOf, unreadable, wordOf, writeAll, type Values } from '../../generation/fields.ts'
import { accountsIn, connection, listedFields, problemCodeOf, rowFields, termFields, type Brief, type Connection, type Generation } from '../../generation/generation.ts'
import type { Gauges } from '../../generation/ledger.ts'
import { logLineOf } from '../../generation/log-text.ts'
import type { OutboxEvent, GenerationNotice } from '../../generation/outbox.ts'
import { phases } from '../../generation/phases.ts'
import type { Difference } from '../../generation/recount.ts'
import type { LogPiece } from '../../generation/upstream.ts'

const noticeKinds: readonly GenerationNotice['kind'][] = ['ended', 'late', 'double', 'shared', 'found', 'corrected']
const differing: readonly Difference['what'][] = ['slots', 'aside', 'running', 'waiting', 'held', 'spent', 'pictures', 'money', 'turn', 'row', 'stray']
const journalKinds: readonly JournalEntry['kind'][] = ['purchase', 'unknown', 'correction', 'double']

/** How the answer of each operation is read. */
const answers = {
  ping: nothing,
  admit: admittedAllIn,
  withdraw: nothing,
  claim: claimedIn,
  recordAccepted: orNothing(weighedIn),
  recordNotSent: orNothing(weighedIn),
  recordUnknown: orNothing(weighedIn),
  recordProgress: orNothing(weighedIn),
  recordDoubt: orNothing(weighedIn),
  finish: orNothing(weighedIn),
  renew: (value: unknown) => {
    const { gone, rolledBack } = recordOf(value)
    return { gone: textsIn(gone), rolledBack: textsIn(rolledBack) }
  },
  restore: (value: unknown) => ({ contested: integerOf(recordOf(value)['contested']) }),
  release: nothing,
  sweep: sweptIn,
  takeOutbox: outboxTakenIn,
  once: isYes,
  putAside: putAsideIn,
  aside: orNothing(asideIn),
  seen: nothing,
  left: nothing,
  read: orNothing(rowIn),
  lookup: orNothing(rowIn),
  preview: previewIn,
  list: contentsIn,
  getMany: lookedIn,
  getStatuses: listIn(changeIn),
  logs: logPieceIn,
  cancel: cancelledIn,
  settle: settledIn,
  correct: correctedIn,
  breaker: breakerIn,
  breakers: listIn(breakerIn),
  mint: nothing,
  token: orNothing(tokenIn),
  revoke: isYes,
  balances: listIn(balanceIn),
  unknowns: listIn(unknownIn),
  journal: listIn(journalEntryIn),
  gauges: gaugesIn,
  recount: recountIn
} as const

export type Operation = keyof typeof answers

export type AnswerOf<Name extends Operation> = ReturnType<typeof answers[Name]>

export const readers: { readonly [Name in Operation]: (value: unknown) => AnswerOf<Name> } = answers

// ------------------------------------------------------------------------------------------------ pieces

function nothing (): void {}

function isYes (value: unknown): boolean {
  return value === '1'
}

function orNothing<Value> (read: (value: unknown) => Value): (value: unknown) => Value | null {
  return value => value === undefined || value === null ? null : read(value)
}

/** A list; Lua cannot tell an empty one from an empty record. */
function listIn<Value> (read: (value: unknown) => Value): (value: unknown) => Value[] {
  return value => (isEmpty(value) ? [] : listOf(value)).map(each => read(each))
}

function isEmpty (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}

export const textsIn = listIn(textOf)

const integerOrNull = orNothing(integerOf)
export const textOrNull = orNothing(textOf)

// ------------------------------------------------------------------------------------------------ rows

export function rowIn (value: unknown): Generation {
  const record = recordOf(value)
  const fields = readAll(rowFields, name => record[name] === undefined ? undefined : textOf(record[name]))
  return { id: textOf(record['id']), purchase: textOf(record['purchase']), stored: record['stored'] === '1', ...fields }
}

/** A row for the replica that looks after it. */
function takenIn (value: unknown): Taken {
  const { row, terms } = recordOf(value)
  const kept = isEmpty(terms) ? {} : recordOf(terms)
  return { row: rowIn(row), terms: readAll(termFields, name => kept[name] === undefined ? undefined : textOf(kept[name])) }
}

/** A row without what may be long of it. */
function briefIn (value: unknown): Brief {
  const { input, output, ...brief } = rowIn(value)
  return brief
}

/** A row's fields as its hash has them: the way back, for rows that are restored. */
export function fieldsOf ({ row, terms }: Taken): Record<string, string> {
  const fields = { ...writeAll(rowFields, row), ...writeAll(termFields, terms) }
  if (row.large !== null) delete fields['output']
  return fields
}

/** A socket as scripts know it. */
export function connectionText (given: Connection | null): string | null {
  return given === null ? null : connection.write(given)
}

export function sha256Of (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

// ------------------------------------------------------------------------------------------------ rights and evidence

function admittedAllIn (value: unknown): AdmittedAll {
  const answer = recordOf(value)
  const outcome = wordOf(['all', 'duplicates', 'refused'], answer['outcome'])
  switch (outcome) {
    case 'all': return { outcome, got: listIn(gotIn)(answer['got']) }
    case 'duplicates': return duplicatesIn(answer)
    case 'refused': return refusedIn(answer)
  }
}

function duplicatesIn (answer: Readonly<Record<string, unknown>>): Extract<AdmittedAll, { outcome: 'duplicates' }> {
  return {
    outcome: 'duplicates',
    duplicates: listIn(recordOf)(answer['duplicates']).map(duplicate => ({ id: textOf(duplicate['id']), ...connection.read(textOf(duplicate['connection'])) }))
  }
}

function previewIn (value: unknown): Preview {
  const { would, rate, balances, position, running } = recordOf(value)
  return { would: foreseenIn(would), rate: rateIn(rate), balances: listIn(balanceIn)(balances), position: integerOf(position), running: integerOf(running) }
}

function foreseenIn (value: unknown): Foreseen {
  const answer = recordOf(value)
  const outcome = wordOf(['replayed', 'joined', 'adopted', 'hit', 'gone', 'bought', 'duplicates', 'refused'], answer['outcome'])
  switch (outcome) {
    case 'replayed': case 'joined': case 'adopted': case 'hit': return { outcome, row: briefIn(answer['row']) }
    case 'gone': return { outcome, end: endIn(answer['end']) }
    case 'bought': return { outcome }
    case 'duplicates': return duplicatesIn(answer)
    case 'refused': return refusedIn(answer)
  }
}

function gotIn (value: unknown): Extract<AdmittedAll, { outcome: 'all' }>['got'][number] {
  const got = recordOf(value)
  const outcome = wordOf(['replayed', 'gone', 'joined', 'adopted', 'hit', 'bought', 'refused'], got['outcome'])
  switch (outcome) {
    case 'replayed': case 'joined': case 'adopted': case 'hit': return { outcome, row: rowIn(got['row']) }
    case 'gone': return { outcome, end: endIn(got['end']) }
    case 'bought': return { outcome, row: rowIn(got['row']), rate: rateIn(got['rate']) }
    case 'refused': return { outcome, why: wordOf(['late'], got['why']) }
  }
}

function refusedIn (answer: Readonly<Record<string, unknown>>): Refused {
  const outcome = 'refused'
  const why = wordOf(['reused', 'late', 'breaker', 'prices', 'large', 'token', 'rate', 'full', 'budget'], answer['why'])
  switch (why) {
    case 'reused': case 'late': case 'large': return { outcome, why }
    case 'breaker': return { outcome, why, breaker: wordOf(breakerStates, answer['breaker']), retryAfterSeconds: integerOf(answer['retryAfterSeconds']) }
    case 'prices': return { outcome, why, ledgerRule: textOf(answer['ledgerRule']) }
    case 'token': return { outcome, why, token: wordOf(['unknown', 'expired', 'revoked', 'exhausted'], answer['token']) }
    case 'rate': case 'full': return { outcome, why, rate: rateIn(answer['rate']) }
    case 'budget': return { outcome, why, rate: rateIn(answer['rate']), owner: textOf(answer['owner']) }
  }
}

function endIn (value: unknown): End {
  const { id, code, cost, finishedAtMs } = recordOf(value)
  return { id: textOf(id), code: problemCodeOf(textOf(code)), cost: integerOf(cost), finishedAtMs: integerOf(finishedAtMs) }
}

function rateIn (value: unknown): RateState {
  const rate = recordOf(value)
  return { max: integerOf(rate['max']), windowSeconds: integerOf(rate['windowSeconds']), used: integerOf(rate['used']), resetSeconds: integerOf(rate['resetSeconds']) }
}

function claimedIn (value: unknown): Claimed {
  const { outcome, isQueueEmpty, untilMs } = recordOf(value)
  if (outcome === 'go') return { outcome, ...takenIn(value), isQueueEmpty: isQueueEmpty === '1' }
  if (outcome === 'wait') return { outcome, untilMs: integerOf(untilMs) }
  return { outcome: wordOf(['busy', 'empty', 'breaker', 'late'], outcome) }
}

/** The phase that a piece of evidence found, and the row. */
function weighedIn (value: unknown): Weighed {
  const { from, row } = recordOf(value)
  return Object.assign(rowIn(row), { from: wordOf(phases, from) })
}

/** Rows that a sweep gives to its replica, and whether others may be due. */
function sweptIn (value: unknown): { readonly taken: readonly Taken[], readonly isMore: boolean } {
  const { taken, isMore } = recordOf(value)
  return { taken: listIn(takenIn)(taken), isMore: isMore === '1' }
}

function putAsideIn (value: unknown): { readonly outcome: 'kept' | 'full' } {
  return { outcome: wordOf(['kept', 'full'], recordOf(value)['outcome']) }
}

/** Where the pieces of an output lie. */
function asideIn (value: unknown): { readonly key: string, readonly pieces: number, readonly sha256: string } {
  const { key, pieces, sha256 } = recordOf(value)
  return { key: textOf(key), pieces: integerOf(pieces), sha256: textOf(sha256) }
}

/** Rows, and how many of the ids were looked at: behind many bytes a look stops. */
function lookedIn (value: unknown): { readonly rows: readonly Generation[], readonly looked: number } {
  const { rows, looked } = recordOf(value)
  return { rows: listIn(rowIn)(rows), looked: integerOf(looked) }
}

function outboxTakenIn (value: unknown): { readonly events: readonly OutboxEvent[], readonly isMore: boolean } {
  const { events, isMore } = recordOf(value)
  return { events: listIn(outboxEventIn)(events), isMore: isMore === '1' }
}

function outboxEventIn (value: unknown): OutboxEvent {
  const { kind, from, scope, state, booked, row } = recordOf(value)
  if (kind === 'breaker') return { kind, scope: textOf(scope), from: wordOf(breakerStates, from), state: wordOf(breakerStates, state) }
  return { kind: wordOf(noticeKinds, kind), from: wordOf(phases, from), booked: integerOf(booked), row: briefIn(row) }
}

/** What stands on a page, and where the next one begins: ids, and of aliases also what they lead to. */
export interface Contents {
  readonly entries: readonly Pick<Generation, 'id' | 'purchase'>[]
  readonly nextCursor: string | null
  readonly isCursorUnknown: boolean
}

function contentsIn (value: unknown): Contents {
  const { entries, nextCursor, isCursorUnknown } = recordOf(value)
  const idsIn = (entry: unknown): Pick<Generation, 'id' | 'purchase'> => {
    const [id = '', purchase = id] = textOf(entry).split(' ')
    return { id, purchase }
  }
  return { entries: listIn(idsIn)(entries), nextCursor: textOrNull(nextCursor), isCursorUnknown: isCursorUnknown === '1' }
}

/** A row as a list shows it. `rank` and `tenant` tell its position in our queue; `texts` is null where input and output are too long for a card. See `cardOf` in `rows.lua`. */
export interface Card {
  readonly fields: Values<typeof listedFields>
  readonly bytes: number
  readonly rank: number
  readonly tenant: string
  readonly bases: Generation['bases']
  readonly texts: Pick<Generation, 'input' | 'output'> | null
}

const listedNames = Object.keys(listedFields)

/** A card, or null where there is no row (any more). */
export function cardIn (value: unknown): Card | null {
  if (value === null) return null
  const lines = textOf(value).split('\n')
  const [bytes, rank, owner = '', input, ...output] = lines.slice(listedNames.length)
  const [tenant, ...noted] = owner.split(' ')
  const lineOf = (name: string): string | undefined => {
    const line = lines[listedNames.indexOf(name)]
    return line === '' ? undefined : line
  }
  const texts = input === undefined ? null : { input: input === '' ? null : input, output: output.join('\n') || null }
  return { fields: readAll(listedFields, lineOf), bytes: integerOf(bytes), rank: integerOf(rank), tenant: textOf(tenant), bases: rowFields.bases.read(noted.length === 0 ? undefined : noted.join(' ')), texts }
}

function cancelledIn (value: unknown): Cancelled {
  const { outcome, row } = recordOf(value)
  if (outcome === 'no-such-generation') return { outcome }
  return { outcome: wordOf(['cancelled', 'asked', 'already-cancelled', 'others-waiting', 'already-finished'], outcome), row: rowIn(row) }
}

function settledIn (value: unknown): Settled {
  const { outcome, row } = recordOf(value)
  return outcome === 'settled' ? { outcome, row: rowIn(row) } : { outcome: wordOf(['too-young', 'not-unknown', 'no-such-generation'], outcome) }
}

function correctedIn (value: unknown): Corrected {
  const { outcome, row, booked, reopened } = recordOf(value)
  if (outcome === 'corrected') return { outcome, row: rowIn(row), booked: integerOf(booked), reopened: reopened === '1' }
  return { outcome: wordOf(['not-ended', 'no-such-generation'], outcome) }
}

// ------------------------------------------------------------------------------------------------ changes and figures

function changeIn (value: unknown): Change {
  const change = recordOf(value)
  return {
    id: textOf(change['id']),
    version: integerOf(change['version']),
    phase: wordOf(phases, change['phase']),
    cancelWished: change['cancelWished'] === '1',
    queuePosition: integerOrNull(change['queuePosition']),
    startedAtMs: integerOrNull(change['startedAtMs']),
    doubtSinceMs: integerOrNull(change['doubtSinceMs']),
    logged: integerOrNull(change['logged']) ?? 0
  }
}

/** A published change. */
export function publishedIn (message: string): Published {
  const published: unknown = JSON.parse(message)
  // An older replica says nothing of the queue: then it is worth a look.
  return { ...changeIn(published), isQueueEmpty: recordOf(published)['isQueueEmpty'] === '1' }
}

function logPieceIn (value: unknown): LogPiece {
  const { from, lines } = recordOf(value)
  return { from: integerOf(from), lines: textsIn(lines).map(logLineOf) }
}

function breakerIn (value: unknown): Breaker {
  const breaker = recordOf(value)
  return {
    scope: textOf(breaker['scope']),
    state: wordOf(breakerStates, breaker['state']),
    sinceMs: integerOf(breaker['sinceMs']),
    retryAtMs: integerOf(breaker['retryAtMs']),
    probe: textOrNull(breaker['probe']),
    failures: integerOf(breaker['failures'])
  }
}

function tokenIn (value: unknown): Token {
  const token = recordOf(value)
  return {
    id: textOf(token['id']),
    tenant: textOf(token['tenant']),
    subject: textOf(token['subject']),
    secretSha256: textOf(token['secretSha256']),
    origins: textsIn(JSON.parse(textOf(token['origins']))),
    expiresAtMs: integerOf(token['expiresAtMs']),
    revoked: token['revoked'] === '1',
    picturesLeft: integerOf(token['picturesLeft']),
    moneyLeft: sumIn(token['moneyLeft'])
  }
}

/** A sum of money. Older versions booked whatever fal's header said; what is beyond exact integers is told as the last of them, so that it can be read and corrected. */
function sumIn (value: unknown): number {
  const text = textOf(value)
  if (!/^-?\d+$/.test(text)) throw unreadable('a whole number', value)
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(text)))
}

function balanceIn (value: unknown): Balance {
  const { owner, period, held, spent } = recordOf(value)
  return { owner: textOf(owner), period: textOf(period), held: sumIn(held), spent: sumIn(spent) }
}

function unknownIn (value: unknown): OpenUnknown {
  const { sinceMs, row } = recordOf(value)
  return { ...briefIn(row), sinceMs: integerOf(sinceMs) }
}

/** A line of the journal; its time is that of its entry's id. */
function journalEntryIn (value: unknown): JournalEntry {
  const line = recordOf(value)
  const cursor = textOf(line['cursor'])
  const requestId = textOf(line['requestId'])
  return {
    cursor,
    atMs: integerOf(cursor.split('-')[0]),
    kind: wordOf(journalKinds, line['kind']),
    id: textOf(line['id']),
    tenant: textOf(line['tenant']),
    model: textOf(line['model']),
    requestId: requestId === '' ? null : requestId,
    accounts: accountsIn(JSON.parse(textOf(line['accounts']))),
    amount: integerOf(line['amount']),
    assumed: line['assumed'] === '1'
  }
}

/** The gauges with some of the tenants that wait, and where to go on for others: `0` when these are the last. */
function gaugesIn (value: unknown): Gauges & { readonly cursor: string } {
  const { waiting, cursor, atUpstream, slots, unknownOpen, unknownOldestMs, asideBytes } = recordOf(value)
  return {
    cursor: textOf(cursor),
    waiting: new Map(Object.entries(recordOf(waiting)).map(([tenant, count]) => [tenant, integerOf(count)])),
    atUpstream: integerOf(atUpstream),
    slots: integerOrNull(slots),
    unknownOpen: integerOf(unknownOpen),
    unknownOldestMs: integerOrNull(unknownOldestMs),
    asideBytes: integerOf(asideBytes)
  }
}

/** A step of counting again; see `recount.lua`. What a step does not give is empty. */
export interface RecountStep {
  readonly differences: readonly Omit<Difference, 'isMended'>[]
  /** Another count has begun, or this one was left alone for too long. */
  readonly isOver: boolean
  readonly cursor: string
  readonly names: readonly string[]
  readonly books: readonly { readonly name: string, readonly spent: number, readonly lastLine: string | null }[]
  readonly isTrimmed: boolean
  /** Commands that the user may not run. */
  readonly missing: readonly string[]
}

function recountIn (value: unknown): RecountStep {
  const { differences, isOver, cursor, names, books, isTrimmed, missing } = recordOf(value)
  return {
    differences: listIn(differenceIn)(differences),
    isOver: isOver === '1',
    cursor: textOrNull(cursor) ?? '0',
    names: names === undefined ? [] : textsIn(names),
    books: books === undefined ? [] : listIn(recordOf)(books).map(({ name, spent, lastLine }) => ({ name: textOf(name), spent: sumIn(spent), lastLine: textOrNull(lastLine) })),
    isTrimmed: isTrimmed === '1',
    missing: missing === undefined ? [] : textsIn(missing)
  }
}

function differenceIn (value: unknown): RecountStep['differences'][number] {
  const { what, name, found, expected } = recordOf(value)
  return { what: wordOf(differing, what), name: textOf(name), found: textOrNull(found), expected: textOrNull(expected) }
}
