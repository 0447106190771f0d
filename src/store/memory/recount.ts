// Counting again from the rows (rule 27), in a ledger that this process keeps: every counter, every index, and the books against the journal. Rows are looked at some at
// a time, between which the ledger goes on; whatever is a sum is counted in one step, since only what has not ended counts there.

import { setImmediate as turn } from 'node:timers/promises'
import type { JournalEntry } from '../../generation/accounts.ts'
import { hasSlot } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Ledger } from '../../generation/ledger.ts'
import { statusOf } from '../../generation/phases.ts'
import type { Difference, Recounting } from '../../generation/recount.ts'
import { apartOf, keyOf } from './accounts.ts'
import { isFinal } from './books.ts'
import type { Entry } from './entry.ts'
import { hookPlacesOf } from './hook-places.ts'
import { countReferences } from './kept.ts'
import { rankOf, updateTurn } from './queue.ts'
import type { Ranking } from './ranking.ts'
import { cacheNamesOf, dueOf, followedKeyOf, followerOf, indexAnew, isDuplicate, requestIdsOf } from './rows.ts'
import type { SortedSet } from './sorted-set.ts'
import { listKeyOf, statusListKeyOf, type CountedReferences, type State } from './state.ts'

/** A millisecond or less. */
const LOOKS_TOGETHER = 200

const LINES = 1000

/** As the sums say it. */
type Found = Omit<Difference, 'isMended'>

interface RecountOptions {
  readonly state: State
  readonly journal: Ledger['journal']
  /** Resolves when what was mended lasts. */
  readonly flush: () => Promise<void>
  /** So many rows, or members of an index, are looked at in one step. */
  readonly looksTogether?: number
}

export function createRecount ({ state, journal, flush, looksTogether = LOOKS_TOGETHER }: RecountOptions): Recounting['recount'] {
  let latest: object | null = null

  return async given => {
    const references = { rows: new Set<string>(), of: new Map<string, number>() }
    state.counting = references
    try {
      return await count(given, references)
    } finally {
      if (state.counting === references) state.counting = null
    }
  }

  async function count ({ isMending, between = turn }: Parameters<Recounting['recount']>[0], references: CountedReferences): ReturnType<Recounting['recount']> {
    const own = {}
    latest = own

    async function piece (): Promise<void> {
      await between()
      if (latest !== own) throw new Error('Another count has begun meanwhile, so this one is worth nothing: try again.')
    }

    const places: Found[] = []
    let rows = 0
    for (const id of state.rows.keys()) {
      const entry = state.rows.look(id)
      if (entry === undefined) continue
      places.push(...misplaced(state, entry))
      countReferences(references, id, entry.row.media)
      rows += 1
      if (rows % looksTogether === 0) await piece()
    }
    for (const members of indexes(state)) {
      let looks = 0
      for (const stray of members) {
        if (stray !== null) places.push(stray)
        looks += 1
        if (looks % looksTogether === 0) await piece()
      }
      await piece()
    }

    const sums = sumsOf(state)
    const counters = [...counted(state, sums), ...turns(state), ...referredWrongly(state, references.of)]
    const money = [...heldWrongly(state, sums), ...drawnWrongly(state, sums)]
    const { books, last, isTrimmed } = booked(state, sums)
    if (isMending) {
      if (places.length > 0 || counters.length > 0) indexAnew(state)
      for (const { what, name } of places) if (what === 'stray') dropStray(state, name)
      mendMoney(state, sums)
      await flush()
    }
    const found = [...places, ...counters, ...money].map(difference => ({ ...difference, isMended: isMending }))
    const spent = await spentWrongly(books, last, journal)
    latest = null
    return { rows, differences: [...found, ...spent], isJournalTrimmed: isTrimmed }
  }
}

// ------------------------------------------------------------------------------------------------ places of rows

/** Where a row does not stand and should, or stands and should not. */
function misplaced (state: State, entry: Entry): readonly Found[] {
  const { row, hidden } = entry
  const { id, phase } = row
  const account = apartOf(state, entry)
  const isUnknown = phase === 'unknown'
  const told = hookPlacesOf(entry)
  const [due, follower] = [dueOf(state, entry), followerOf(row)]
  const has = (ranking: Ranking | undefined, score: number | null): number | null => score !== null && ranking?.has(id, score) === true ? score : null
  const at = (set: SortedSet | undefined): number | null => set?.score(id) ?? null
  const isClaimable = phase === 'waiting' && hidden.retryAtMs === 0
  const isWaitedFor = hidden.duplicateName !== null && isDuplicate(entry) && !isUnknown && !row.cancelWished && !row.delivered && !isFinal(row) && !state.passedDuplicates.has(id)
  const looked: readonly (readonly [name: string, found: number | null, expected: number | null])[] = [
    ['later', at(state.later), phase === 'waiting' && hidden.retryAtMs > 0 ? hidden.retryAtMs : null],
    ['queue', at(state.tenants.get(row.tenant)?.queue), isClaimable ? rankOf(entry) : null],
    ['unknown', at(state.unknown), isUnknown ? hidden.unknownSinceMs : null],
    ['oldest', at(state.oldest), isUnknown ? row.createdAtMs : null],
    ['due', has(state.due.get(keyOf(account)), due), due],
    ...follower === null ? [] : [['followed', at(state.followed.get(followedKeyOf(account, follower))), 0] as const],
    ['failed', at(state.failed), phase === 'failed' ? row.finishedAtMs ?? 0 : null],
    ['files', at(state.files), hidden.filesAtMs],
    ['untold', at(state.untold), told.sinceMs],
    ['givenup', at(state.givenUp), told.givenUpMs],
    ...[...told.due].map(([tenant, atMs]) => [`webhooks of ${tenant}`, at(state.hooks.get(tenant)), atMs] as const),
    ['list', has(state.lists.get(listKeyOf(row)), hidden.number), hidden.number],
    ['list by status', has(state.listsByStatus.get(statusListKeyOf(row, statusOf(phase))), hidden.number), hidden.number],
    // Others may have been passed over.
    ...isWaitedFor ? [['duplicates', at(state.duplicates.get(hidden.duplicateName ?? '')), hidden.number] as const] : []
  ]
  const leads = [
    ...phase === 'submitting' && hidden.claimId !== null ? [['claims', state.claims.get(hidden.claimId)] as const] : [],
    // One that stands for another generation does so until that is forgotten.
    ...requestIdsOf(entry).flatMap(requestId => {
      const other = state.requests.get(requestId)
      return other !== undefined && state.rows.has(other) ? [] : [['requests', other] as const]
    })
  ]
  return [
    ...looked.flatMap(([name, found, expected]): readonly Found[] => found === expected ? [] : [{ what: 'row', name: `${id} in ${name}`, found: textOf(found), expected: textOf(expected) }]),
    ...leads.flatMap(([name, found]): readonly Found[] => found === id ? [] : [{ what: 'row', name: `${id} in ${name}`, found: found ?? null, expected: id }])
  ]
}

/** Walks each index; gives for each member `null`, or what does not belong there. What is gone by the time that it is looked at went with its row. */
function indexes (state: State): readonly Iterable<Found | null>[] {
  const of = (id: string): Entry | undefined => state.rows.look(id)
  const sets = (name: string, all: Iterable<readonly [key: string, SortedSet]>, belongs: (entry: Entry, key: string) => boolean): readonly Iterable<Found | null>[] => [...all].map(([key, set]) => walked(set.entries(), ([id]) => {
    const entry = of(id)
    return set.score(id) === undefined || (entry !== undefined && belongs(entry, key)) ? null : stray(`${id} in ${name}`)
  }))
  const rankings = (name: string, all: ReadonlyMap<string, Ranking>, belongs: (entry: Entry, key: string, score: number) => boolean): readonly Iterable<Found | null>[] => [...all].map(([key, ranking]) => walked(ranking.entries(), ([id, score]) => {
    const entry = of(id)
    return !ranking.has(id, score) || (entry !== undefined && belongs(entry, key, score)) ? null : stray(`${id} in ${name}`)
  }))
  // Whether one that has a row may stand there is told with the row.
  const singles = [['later', state.later], ['unknown', state.unknown], ['oldest', state.oldest], ['failed', state.failed], ['files', state.files], ['untold', state.untold], ['givenup', state.givenUp]] as const
  return [
    ...singles.flatMap(([name, set]) => sets(name, [['', set]], () => true)),
    ...sets('queue', [...state.tenants].map(([tenant, { queue }]) => [tenant, queue] as const), ({ row }, tenant) => row.tenant === tenant),
    ...sets('followed', state.followed, (entry, key) => {
      const follower = followerOf(entry.row)
      return follower !== null && followedKeyOf(apartOf(state, entry), follower) === key
    }),
    ...sets('webhooks', state.hooks, (entry, tenant) => hookPlacesOf(entry).due.has(tenant)),
    ...sets('duplicates', state.duplicates, ({ hidden }, name) => hidden.duplicateName === name),
    ...rankings('due', state.due, (entry, key, score) => keyOf(apartOf(state, entry)) === key && dueOf(state, entry) === score),
    ...rankings('list', state.lists, ({ row, hidden }, key, score) => listKeyOf(row) === key && hidden.number === score),
    ...rankings('list by status', state.listsByStatus, ({ row, hidden }, key, score) => statusListKeyOf(row, statusOf(row.phase)) === key && hidden.number === score),
    walked(state.claims, ([claimId, id]) => {
      const entry = of(id)
      return entry?.row.phase === 'submitting' && entry.hidden.claimId === claimId ? null : stray(`${claimId} in claims`)
    }),
    walked(state.requests.entries(), ([requestId, id]) => {
      const entry = of(id)
      return entry !== undefined && requestIdsOf(entry).includes(requestId) ? null : stray(`r:${requestId}`)
    }),
    walked(state.names.entries(), ([name, { id, fingerprint }]) => {
      // An idempotency name may outlive its row.
      if (fingerprint !== null || state.names.get(name)?.id !== id) return null
      const entry = of(id)
      return entry !== undefined && entry.row.large === null && cacheNamesOf(entry.hidden).includes(name) ? null : stray(`n:${name}`)
    }),
    walked(state.logs.keys(), id => state.rows.has(id) ? null : stray(`log:${id}`))
  ]
}

function * walked <One> (all: Iterable<One>, look: (one: One) => Found | null): Generator<Found | null> {
  for (const one of all) yield look(one)
}

function stray (name: string): Found {
  return { what: 'stray', name, found: null, expected: null }
}

/** All but names and logs is made anew. */
function dropStray (state: State, name: string): void {
  const [kind = '', ...rest] = name.split(':')
  if (kind === 'n') state.names.delete(rest.join(':'))
  if (kind === 'log') state.logs.delete(rest.join(':'))
}

// ------------------------------------------------------------------------------------------------ sums

interface Sums {
  /** By what is counted and whose it is. */
  readonly of: (what: string, name: string) => number
  /** Whose sums there are of it. */
  readonly names: (what: string) => readonly string[]
}

function sumsOf (state: State): Sums {
  const sums = new Map<string, Map<string, number>>()
  const add = (what: string, name: string, amount: number): void => {
    const all = sums.get(what) ?? new Map<string, number>()
    all.set(name, (all.get(name) ?? 0) + amount)
    sums.set(what, all)
  }
  for (const entry of state.rows.unended()) {
    const { row } = entry
    if (isFinal(row)) continue
    if (row.phase === 'waiting') add('waiting', row.tenant, 1)
    if (hasSlot(row)) {
      add('running', row.tenant, 1)
      add('slots', keyOf(apartOf(state, entry)), 1)
    }
    for (const { owner, period } of row.accounts) {
      add('held', `${owner}:${period}`, row.price)
      if (row.phase === 'unknown') add('unknown', `${owner}:${period}`, row.price)
    }
    if (row.token === null) continue
    add('pictures', row.token, row.files)
    add('money', row.token, row.price)
  }
  return { of: (what, name) => sums.get(what)?.get(name) ?? 0, names: what => [...sums.get(what)?.keys() ?? []] }
}

function compared (what: Difference['what'], name: string, found: number, expected: number): readonly Found[] {
  return found === expected ? [] : [{ what, name, found: String(found), expected: String(expected) }]
}

function counted (state: State, { of, names }: Sums): readonly Found[] {
  return [
    ...[...new Set(['', ...state.active.keys(), ...names('slots')])].flatMap(account => compared('slots', account, state.active.get(account) ?? 0, of('slots', account))),
    ...[...state.tenants].flatMap(([name, { running, waiting }]) => [...compared('running', name, running, of('running', name)), ...compared('waiting', name, waiting, of('waiting', name))])
  ]
}

function referredWrongly (state: State, references: ReadonlyMap<string, number>): readonly Found[] {
  return [...new Set([...state.kept.keys(), ...references.keys()])].flatMap(name => compared('file', name, state.kept.get(name)?.rows ?? 0, references.get(name) ?? 0))
}

function turns (state: State): readonly Found[] {
  return [...new Set([...state.tenants.keys(), ...state.turns.entries().map(([name]) => name)])].flatMap(name => {
    const tenant = state.tenants.get(name)
    const found = state.turns.score(name) ?? null
    const expected = tenant !== undefined && tenant.queue.size() > 0 && tenant.running < tenant.maxInFlight ? Math.max(tenant.virtual, found === null ? state.virtual : 0) : null
    return found === expected ? [] : [{ what: 'turn' as const, name, found: textOf(found), expected: textOf(expected) }]
  })
}

function heldWrongly (state: State, { of, names }: Sums): readonly Found[] {
  return [...new Set([...state.books.keys(), ...names('held')])].flatMap(name => compared('held', name, state.books.get(name)?.held ?? 0, of('held', name)))
}

function drawnWrongly (state: State, { of }: Sums): readonly Found[] {
  return [...state.tokens.entries()].flatMap(([id, { heldPictures, heldMoney }]) => [...compared('pictures', id, heldPictures, of('pictures', id)), ...compared('money', id, heldMoney, of('money', id))])
}

function mendMoney (state: State, { of, names }: Sums): void {
  for (const name of new Set([...state.books.keys(), ...names('held')])) {
    const book = state.books.get(name)
    const held = of('held', name)
    if ((book?.held ?? 0) === held) continue
    const [owner = '', ...period] = name.split(':')
    state.books.set(name, { ...book ?? { owner, period: period.join(':'), spent: 0 }, held, changedAtMs: state.now() })
    state.note('books', name)
  }
  for (const [id, token] of state.tokens.entries()) {
    if (token.heldPictures === of('pictures', id) && token.heldMoney === of('money', id)) continue
    token.heldPictures = of('pictures', id)
    token.heldMoney = of('money', id)
    state.note('tokens', id)
  }
  for (const name of state.tenants.keys()) updateTurn(state, name)
}

// ------------------------------------------------------------------------------------------------ what was spent

interface Booked { readonly books: ReadonlyMap<string, number>, readonly last: State['journalLast'], readonly isTrimmed: boolean }

/** What each account has spent, with what its open unknowns may have cost, as far as the journal goes back to the beginning of its period. */
function booked (state: State, { of }: Sums): Booked {
  const oldestMs = state.now() - ledgerConstants.journalMs
  const told = [...state.books].filter(([, { period }]) => Date.parse(period) >= oldestMs)
  return { books: new Map(told.map(([name, { spent }]) => [name, spent + of('unknown', name)])), last: state.journalLast, isTrimmed: told.length < state.books.size }
}

/** Only what the journal had when the books were read counts. */
async function spentWrongly (books: Booked['books'], { atMs, number }: Booked['last'], journal: Ledger['journal']): Promise<readonly Difference[]> {
  const explained = new Map<string, number>()
  for (let after: string | undefined; ;) {
    const lines: readonly JournalEntry[] = await journal(0, atMs + 1, LINES, after)
    for (const line of lines) {
      if (line.atMs === atMs && Number(line.cursor.split('-')[1]) > number) continue
      for (const { owner, period } of line.accounts) explained.set(`${owner}:${period}`, (explained.get(`${owner}:${period}`) ?? 0) + line.amount)
    }
    after = lines.at(-1)?.cursor
    if (lines.length < LINES) break
  }
  return [...books].flatMap(([name, spent]) => compared('spent', name, spent, explained.get(name) ?? 0).map(difference => ({ ...difference, isMended: false })))
}

function textOf (score: number | null): string | null {
  return score === null ? null : String(score)
}
