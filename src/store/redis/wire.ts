// What scripts answer, parsed: rows, figures, changes. Numbers travel as text, null as a field that is not there.
// Whatever cannot be read is an error of ours and never passed on.

import { createHash } from 'node:crypto'
import { isProblemCode, type FieldFault } from '../../errors.ts'
import { phases, type Phase } from '../../generation/phases.ts'
import { logLineOf } from '../../generation/log-text.ts'
import type { Account, Change, Published, Failure, GuardState, JournalEntry, LogPiece, News, Priority, Row, RowNews, Weighed } from '../../generation/ports.ts'

/** Results above this go to the callers who are there; the row keeps their hash (rule 15). */
export const MAX_KEPT_OUTPUT_BYTES = 1_048_576

const priorities: readonly Priority[] = ['interactive', 'background', 'low']
const guardStates: readonly GuardState[] = ['ok', 'open', 'account-blocked', 'retired']
const newsKinds: readonly RowNews['kind'][] = ['ended', 'late', 'double']
const journalKinds: readonly JournalEntry['kind'][] = ['purchase', 'unknown', 'correction', 'double']

/** Fields and values of one record. */
type Fields = ReadonlyMap<string, string>

export function listIn (value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw unreadable('a list', value)
}

export function textIn (value: unknown): string {
  if (typeof value === 'string') return value
  throw unreadable('a text', value)
}

export function integerIn (value: unknown): number {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : NaN
  if (Number.isSafeInteger(number)) return number
  throw unreadable('a whole number', value)
}

function integerOrNullIn (value: unknown): number | null {
  return value === undefined || value === null ? null : integerIn(value)
}

/** One of these words. */
export function wordIn<Word extends string> (words: readonly Word[], value: unknown): Word {
  const word = words.find(word => word === value)
  if (word !== undefined) return word
  throw unreadable(words.join(' or '), value)
}

export function guardStateIn (value: unknown): GuardState {
  return wordIn(guardStates, value)
}

export function fieldsIn (value: unknown): Fields {
  const flat = listIn(value)
  const fields = new Map<string, string>()
  for (let index = 0; index < flat.length; index += 2) fields.set(textIn(flat[index]), textIn(flat[index + 1]))
  return fields
}

export function rowsIn (value: unknown): Row[] {
  return listIn(value).map(rowIn)
}

/** A row, or null where there is none. */
export function rowOrNullIn (value: unknown): Row | null {
  return value === null ? null : rowIn(value)
}

export function rowIn (value: unknown): Row {
  const fields = recordIn(JSON.parse(textIn(value)))
  const word = (name: string): string => textIn(fields[name])
  const text = (name: string): string | null => fields[name] === undefined ? null : word(name)
  const integer = (name: string): number => integerIn(fields[name])
  const integerOrNull = (name: string): number | null => fields[name] === undefined ? null : integer(name)
  const flag = (name: string): boolean => fields[name] === '1'
  const replica = text('connectionReplica')
  const failure = text('failure')
  return {
    id: word('id'),
    purchase: word('purchase'),
    tenant: word('tenant'),
    subject: word('subject'),
    model: word('model'),
    phase: wordIn(phases, fields['phase']),
    version: integer('version'),
    attempt: integer('attempt'),
    requestId: text('requestId'),
    owner: text('owner'),
    takeovers: integer('takeovers'),
    connection: replica === null ? null : { replica, connection: word('connection') },
    delivered: flag('delivered'),
    joined: flag('joined'),
    cancelWished: flag('cancelWished'),
    priority: wordIn(priorities, fields['priority']),
    input: word('input'),
    seed: text('seed'),
    output: text('output'),
    failure: failure === null ? null : failureIn(failure),
    price: integer('price'),
    cost: integerOrNull('cost'),
    costAssumed: flag('costAssumed'),
    accounts: accountsIn(word('accounts')),
    token: text('token'),
    cacheGroup: text('cacheGroup'),
    stored: flag('stored'),
    queuePosition: integerOrNull('queuePosition'),
    createdAtMs: integer('createdAtMs'),
    startedAtMs: integerOrNull('startedAtMs'),
    finishedAtMs: integerOrNull('finishedAtMs'),
    logged: integerOrNull('logged') ?? 0,
    waitUntilMs: integer('waitUntilMs'),
    startUntilMs: integerOrNull('startUntilMs'),
    runUntilMs: integerOrNull('runUntilMs')
  }
}

/** What evidence is answered with: the phase that it found and the row, or null when there is none. */
export function weighedIn (value: unknown): Weighed | null {
  if (value === null) return null
  const [from, row] = listIn(value)
  return Object.assign(rowIn(row), { from: wordIn(phases, from) })
}

export function newsIn (value: unknown): News {
  const [kind, from, booked, row] = listIn(value)
  if (kind === 'guard') return { kind, scope: textIn(row), from: guardStateIn(from), state: guardStateIn(booked) }
  return { kind: wordIn(newsKinds, kind), from: wordIn(phases, from), booked: integerIn(booked), row: rowIn(row) }
}

/** A row's fields as its hash has them: the way back, for rows that are restored. */
export function fieldsOf (row: Row): Record<string, string> {
  const { id, purchase, connection, failure, accounts, stored, output, ...others } = row
  const fields: Record<string, string> = { accounts: JSON.stringify(accounts) }
  for (const [name, value] of Object.entries(others)) {
    if (value === true) fields[name] = '1'
    else if (value !== false && value !== null) fields[name] = String(value)
  }
  if (connection !== null) Object.assign(fields, { connectionReplica: connection.replica, connection: connection.connection })
  if (failure !== null) fields['failure'] = JSON.stringify(failure)
  if (output !== null) fields[isKept(output) ? 'output' : 'outputSha256'] = isKept(output) ? output : sha256Of(output)
  return fields
}

/** Is it small enough to be kept in its row? */
export function isKept (output: string): boolean {
  return output.length <= MAX_KEPT_OUTPUT_BYTES && Buffer.byteLength(output) <= MAX_KEPT_OUTPUT_BYTES
}

export function sha256Of (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A line of the journal from its stream entry; its time is that of the entry's id. */
export function journalEntryIn (value: unknown): JournalEntry {
  const [streamId, flat] = listIn(value)
  const fields = fieldsIn(flat)
  const requestId = textIn(fields.get('requestId'))
  const cursor = textIn(streamId)
  return {
    cursor,
    atMs: integerIn(cursor.split('-')[0]),
    kind: wordIn(journalKinds, fields.get('kind')),
    id: textIn(fields.get('id')),
    tenant: textIn(fields.get('tenant')),
    model: textIn(fields.get('model')),
    requestId: requestId === '' ? null : requestId,
    accounts: accountsIn(textIn(fields.get('accounts'))),
    amount: integerIn(fields.get('amount')),
    assumed: fields.get('assumed') === '1'
  }
}

/** A published change. */
export function changeIn (message: string): Published {
  const change = recordIn(JSON.parse(message))
  return {
    id: textIn(change['id']),
    version: integerIn(change['version']),
    phase: wordIn<Phase>(phases, change['phase']),
    cancelWished: change['cancelWished'] === '1',
    // An older replica says nothing of it: then it is worth a look.
    isLineEmpty: change['isLineEmpty'] === '1',
    queuePosition: integerOrNullIn(change['queuePosition']),
    startedAtMs: integerOrNullIn(change['startedAtMs']),
    logged: integerOrNullIn(change['logged']) ?? 0
  }
}

/** The same as `glance` answers it. */
export function glanceIn (value: unknown): Change {
  const [id, version, phase, cancelWished, queuePosition, startedAtMs, logged] = listIn(value)
  return {
    id: textIn(id),
    version: integerIn(version),
    phase: wordIn(phases, phase),
    cancelWished: cancelWished === '1',
    queuePosition: integerOrNullIn(queuePosition),
    startedAtMs: integerOrNullIn(startedAtMs),
    logged: integerOrNullIn(logged) ?? 0
  }
}

export function logPieceIn (value: unknown): LogPiece {
  const [from, lines] = listIn(value)
  return { from: integerIn(from), lines: listIn(lines).map(line => logLineOf(textIn(line))) }
}

export function recordIn (value: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value
  throw unreadable('a record', value)
}

function isRecord (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A failure; one whose code a newer replica knows and this one does not is told as the model's. */
function failureIn (json: string): Failure {
  const failure = recordIn(JSON.parse(json))
  const code = textIn(failure['code'])
  const base = { code: isProblemCode(code) ? code : 'upstream-failed', detail: textIn(failure['detail']) } as const
  return failure['errors'] === undefined ? base : { ...base, errors: listIn(failure['errors']).map(faultIn) }
}

function faultIn (value: unknown): FieldFault {
  const fault = recordIn(value)
  const base = { path: textIn(fault['path']), message: textIn(fault['message']), code: textIn(fault['code']) }
  return fault['ctx'] === undefined ? base : { ...base, ctx: recordIn(fault['ctx']) }
}

function accountsIn (json: string): Account[] {
  return listIn(JSON.parse(json)).map(value => {
    const account = recordIn(value)
    return { owner: textIn(account['owner']), period: textIn(account['period']) }
  })
}

/** Never quotes the value: it may be a prompt. */
function unreadable (expected: string, value: unknown): Error {
  return new Error(`The ledger on Redis answered with ${value === null ? 'null' : typeof value} where ${expected} was expected.`)
}
