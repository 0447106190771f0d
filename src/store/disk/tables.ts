// What of the ledger lies on disk, table by table: how an entry is written as texts, and how it is put back. An entry is written as an operation left it, so that to put
// back the last one of each key is to put back the ledger, whatever the rules, settings and clocks are by then. Leases, connections and probes end with the process.

import { breakerStates } from '../../breaker-states.ts'
import type { JournalEntry } from '../../generation/accounts.ts'
import { decided, entriesOf, flag, initialTextOf, integer, integerOf, json, listOf, moment, or, orNull, readAll, recordOf, text, textOf, word, wordOf, writeAll, type SomeField, type Values } from '../../generation/fields.ts'
import { accountsIn, hiddenFields, problemCodeOf, rowFields, type Account } from '../../generation/generation.ts'
import { logLineOf, logText } from '../../generation/log-text.ts'
import { phases } from '../../generation/phases.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import type { ExpiringMap } from '../memory/expiring-map.ts'
import { putBackKept } from '../memory/kept.ts'
import type { Table } from '../memory/notes.ts'
import { tenantOf, type Notice, type State } from '../memory/state.ts'

/** The texts of an entry, by the names of its fields. */
export type Image = Readonly<Record<string, string>>

/** One table. The journal of money is none: its lines are appended to files of their own, and never change. */
interface Codec {
  /** The entry as it now is; `null` when there is none (any more). */
  readonly image: (state: State, key: string) => Image | null
  /** Puts an entry back, or (`null`) takes it away. Throws for what cannot be read. */
  readonly put: (state: State, key: string, image: Image | null) => void
  readonly keys: (state: State) => Iterable<string>
  /** How the texts of an image are declared. */
  readonly fields: object
}

/** A table whose entries are records with these fields, in a map. */
function records<F extends object, Value> (fields: F, mapOf: (state: State) => Map<string, Value>, toRecord: (value: Value, key: string) => Values<F>, toValue: (record: Values<F>, key: string) => Value): Codec {
  return {
    image: (state, key) => {
      const value = mapOf(state).get(key)
      return value === undefined ? null : imageOf(fields, toRecord(value, key))
    },
    put: (state, key, image) => {
      if (image === null) mapOf(state).delete(key)
      else mapOf(state).set(key, toValue(recordIn(fields, image), key))
    },
    keys: state => mapOf(state).keys(),
    fields
  }
}

/** The same for entries that end by themselves. */
function expiring<F extends object, Value> (fields: F, mapOf: (state: State) => ExpiringMap<Value>, toRecord: (value: Value, key: string) => Values<F>, toValue: (record: Values<F>, key: string) => Value): Codec {
  return {
    image: (state, key) => {
      const entry = mapOf(state).whole(key)
      return entry === undefined ? null : { ...imageOf(fields, toRecord(entry.value, key)), ...(entry.endMs === Infinity ? {} : { [END]: String(entry.endMs) }) }
    },
    put: (state, key, image) => {
      if (image === null) mapOf(state).delete(key)
      else mapOf(state).set(key, toValue(recordIn(fields, image), key), image[END] === undefined ? Infinity : integerOf(image[END]))
    },
    keys: state => keysOf(mapOf(state)),
    fields: { ...fields, [END]: decided(orNull(moment)) }
  }
}

function * keysOf<Value> (map: ExpiringMap<Value>): Generator<string> {
  for (const [key] of map.entries()) yield key
}

/** When an entry ends, where it does. No field has this name. */
const END = 'until'

/** The texts of a record but for those that every new one has. */
export function imageOf<F extends object> (fields: F, record: Values<F>): Record<string, string> {
  const texts = writeAll(fields, record)
  for (const [name, initial] of initialsOf(fields)) if (texts[name] === initial) delete texts[name]
  return texts
}

export function recordIn<F extends object> (fields: F, image: Image): Values<F> {
  const initials = initialsOf(fields)
  return readAll(fields, name => image[name] ?? initials.get(name))
}

const known = new WeakMap<object, ReadonlyMap<string, string>>()

function initialsOf (fields: object): ReadonlyMap<string, string> {
  const initials = known.get(fields) ?? new Map(entriesOf(fields).flatMap(([name, field]: readonly [string, SomeField]) => {
    const initial = initialTextOf(field)
    return initial === undefined ? [] : [[name, initial] as const]
  }))
  known.set(fields, initials)
  return initials
}

// ------------------------------------------------------------------------------------------------ rows

const { input: _input, output: _output, connection: _connection, ...keptRowFields } = rowFields
const { claimId: _claimId, leaseUntilMs: _leaseUntilMs, ...keptHiddenFields } = hiddenFields

/** Which of its texts a row has; they are written for themselves, once. A snapshot has their places in the row, too, under the names of the texts. */
const textFlags = { hasInput: decided(flag), hasOutput: decided(flag) }

const rowRecord = { ...keptRowFields, ...keptHiddenFields, ...textFlags }

const rows: Omit<Codec, 'put'> = {
  image: (state, key) => {
    const entry = state.rows.look(key)
    return entry === undefined ? null : imageOf(rowRecord, { ...entry.row, ...entry.hidden, hasInput: entry.row.input !== null, hasOutput: entry.row.output !== null })
  },
  keys: state => state.rows.keys(),
  fields: rowRecord
}

const texts = json<readonly string[]>(parsed => listOf(parsed).map(textOf))

// ------------------------------------------------------------------------------------------------ what leads to them, and what is left of them

const aliasRecord = { tenant: decided(text), subject: decided(text), target: decided(text), number: decided(integer), endMs: decided(moment), gaveWay: decided(flag) }
const nameRecord = { id: decided(text), fingerprint: decided(orNull(text)) }
const endRecord = { id: decided(text), code: decided(textAs(problemCodeOf)), cost: decided(integer), finishedAtMs: decided(moment), reader: decided(orNull(text)) }
const logLines = {
  kind: 'text',
  read: (kept: string | undefined): LogPiece['lines'] => listOf(JSON.parse(textOf(kept))).map(line => logLineOf(textOf(line))),
  write: (lines: LogPiece['lines']): string => JSON.stringify(lines.map(logText))
} as const
const logRecord = { from: decided(integer), lines: decided(logLines) }
const none = {}

/** A text that is read as one of some words. */
function textAs<Word extends string> (read: (word: string) => Word): { readonly kind: 'text', readonly read: (text: string | undefined) => Word, readonly write: (value: Word) => string } {
  return { kind: 'text', read: text => read(textOf(text)), write: value => value }
}

// ------------------------------------------------------------------------------------------------ money and rights

const bookRecord = { owner: decided(text), period: decided(text), held: decided(integer), spent: decided(integer), changedAtMs: decided(moment) }
const tokenRecord = {
  tenant: decided(text),
  subject: decided(text),
  secretSha256: decided(text),
  origins: decided(texts),
  terms: decided(text),
  expiresAtMs: decided(moment),
  revoked: decided(flag),
  picturesLeft: decided(integer),
  moneyLeft: decided(integer),
  heldPictures: decided(or(0, integer)),
  heldMoney: decided(or(0, integer)),
  spentPictures: decided(or(0, integer)),
  spentMoney: decided(or(0, integer))
}
const ticketRecord = { tenant: decided(text), subject: decided(text), generation: decided(text), terms: decided(text), expiresAtMs: decided(moment) }
const asideRecord = { bytes: decided(integer), sha256: decided(text), untilMs: decided(moment) }

/** A line of the journal of money. When money was spent is history, so it moves with no clock. */
export const lineRecord = {
  cursor: decided(text),
  atMs: decided(integer),
  kind: decided(word(['purchase', 'unknown', 'correction', 'double'] as const)),
  id: decided(text),
  tenant: decided(text),
  model: decided(text),
  requestId: decided(orNull(text)),
  accounts: decided(json<readonly Account[]>(accountsIn)),
  amount: decided(integer),
  assumed: decided(flag)
}

/** Reads a line; throws for anything else. */
export function lineIn (image: unknown): JournalEntry {
  const texts = recordOf(image)
  return readAll(lineRecord, name => texts[name] === undefined ? undefined : textOf(texts[name]))
}

// ------------------------------------------------------------------------------------------------ turns, breakers, notices

/** A tenant's weight may be a fraction. */
const weight = { kind: 'text', read: (text: string | undefined): number => Number(textOf(text)), write: String } as const

const tenantRecord = { virtual: decided(integer), weight: decided(weight), maxInFlight: decided(integer), used: decided(integer), beganAtMs: decided(moment), endsAtMs: decided(moment) }
const breakerRecord = {
  state: decided(word(breakerStates)),
  sinceMs: decided(moment),
  retryAtMs: decided(moment),
  failures: decided(integer),
  metBy: decided(orNull(text)),
  inputs: decided(texts),
  proved: decided(flag)
}
const rulesRecord = { rules: decided(texts) }
const countRecord = { count: decided(integer) }
/** Until when something is one replica's. */
const grantedRecord = { count: decided(moment) }
const loweredRecord = { slots: decided(integer), untilMs: decided(moment) }
/** A stored file. Which rows refer to it follows from these. */
const keptRecord = { bytes: decided(integer), sinceMs: decided(moment), orphanSinceMs: decided(orNull(moment)), condemnedUntilMs: decided(orNull(moment)), withdrawn: decided(flag) }
const noticeRecord = { notice: decided(json(noticeIn)) }

function noticeIn (parsed: unknown): Notice {
  const notice = recordOf(parsed)
  if (notice['kind'] === 'breaker') return { kind: 'breaker', scope: textOf(notice['scope']), from: wordOf(breakerStates, notice['from']), state: wordOf(breakerStates, notice['state']) }
  return {
    kind: wordOf(['ended', 'late', 'double', 'shared', 'found', 'corrected'], notice['kind']),
    id: textOf(notice['id']),
    from: wordOf(phases, notice['from']),
    booked: integerOf(String(notice['booked']))
  }
}

/** Each table that is put back entry by entry as it is read: all but rows and the journal of money. */
const others: Readonly<Record<Exclude<Table, 'journal' | 'rows'>, Codec>> = {
  logs: records(logRecord, state => state.logs, log => log, log => log),
  aliases: expiring(aliasRecord, state => state.aliases, alias => alias, alias => alias),
  names: expiring(nameRecord, state => state.names, name => name, name => name),
  ends: expiring(endRecord, state => state.ends, end => end, end => end),
  passed: records(none, state => state.passedDuplicates, () => none, () => true as const),
  tenants: {
    image: (state, key) => {
      const tenant = state.tenants.get(key)
      return tenant === undefined ? null : imageOf(tenantRecord, { ...tenant, ...tenant.window })
    },
    put: (state, key, image) => {
      if (image === null) return
      const { virtual, weight, maxInFlight, ...window } = recordIn(tenantRecord, image)
      Object.assign(tenantOf(state, key), { virtual, weight, maxInFlight, window })
    },
    keys: state => state.tenants.keys(),
    fields: tenantRecord
  },
  books: records(bookRecord, state => state.books, book => book, book => ({ ...book })),
  tokens: expiring(tokenRecord, state => state.tokens, ({ token, ...drawn }) => ({ ...token, ...drawn }), ({ heldPictures, heldMoney, spentPictures, spentMoney, ...token }, id) => ({ token: { id, ...token }, heldPictures, heldMoney, spentPictures, spentMoney })),
  tickets: expiring(ticketRecord, state => state.tickets, ticket => ticket, (ticket, sha256) => ({ sha256, ...ticket })),
  asides: records(asideRecord, state => state.asides, ({ large, untilMs }) => ({ ...large, untilMs }), ({ untilMs, ...large }) => ({ large, output: '', untilMs })),
  breakers: records(breakerRecord, state => state.breakers, breaker => breaker, (breaker, scope) => ({ scope, probe: null, ...breaker })),
  prices: records(rulesRecord, state => state.priceRules, rules => ({ rules }), ({ rules }) => rules),
  overruns: records(countRecord, state => state.overruns, count => ({ count }), ({ count }) => count),
  outbox: records(noticeRecord, state => state.outbox, notice => ({ notice }), ({ notice }) => notice),
  granted: records(grantedRecord, state => state.granted, count => ({ count }), ({ count }) => count),
  lowered: records(loweredRecord, state => state.lowered, lowered => lowered, lowered => lowered),
  kept: {
    image: (state, key) => {
      const file = state.kept.get(key)
      return file === undefined ? null : imageOf(keptRecord, file)
    },
    put: (state, key, image) => { putBackKept(state, key, image === null ? null : recordIn(keptRecord, image)) },
    keys: state => state.kept.keys(),
    fields: keptRecord
  }
}

/** Each table but for the journal of money. */
export const codecs: Readonly<Record<Exclude<Table, 'journal'>, Omit<Codec, 'put'>>> = { rows, ...others }

/** How an entry is put back, by its table: a name that came from disk. */
export const putBack: ReadonlyMap<string, Codec['put']> = new Map(Object.entries(others).map(([table, { put }]) => [table, put]))
