// The structures of the ledger in memory, one for each Redis key of the design, and how they start.
// Nothing here decides anything. `rows.ts` keeps the structures that follow from the rows; the operations decide, by changing rows.

import type { JournalEntry, Ticket, Token } from '../../generation/accounts.ts'
import type { End } from '../../generation/admission.ts'
import type { Breaker } from '../../generation/breaker-state.ts'
import type { Published } from '../../generation/changes.ts'
import type { Account, Large } from '../../generation/generation.ts'
import type { LedgerTimes } from '../../generation/ledger.ts'
import type { BreakerNotice, GenerationNotice } from '../../generation/outbox.ts'
import type { Status } from '../../generation/phases.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import type { MicroUsd } from '../../money.ts'
import { createExpiringMap, type ExpiringMap } from './expiring-map.ts'
import { NameTable } from './name-table.ts'
import { NotedMap, type Note } from './notes.ts'
import { Ranking } from './ranking.ts'
import { RequestTable } from './request-table.ts'
import { RowTable } from './row-table.ts'
import { SortedSet } from './sorted-set.ts'

/** An id that leads its reader to a purchase that has another one. It has no state of its own. */
export interface Alias {
  readonly tenant: string
  readonly subject: string
  readonly target: string
  readonly number: number
  readonly endMs: number
  /** It was a row itself, until one that came back took its names. */
  readonly gaveWay: boolean
}

/** A free answer that changed something, kept so that the same admission, run twice, is answered the same. */
export interface Answer { readonly outcome: 'replayed' | 'joined' | 'adopted' | 'hit', readonly id: string }

/** What a row was that went before its time: what is heard of it later proves a rollback, the same or something older does not (rule 24). */
/** `reader`: tenant and subject of who had it forgotten; `null`: its time was over. */
export interface KeptEnd extends End { readonly reader: string | null }

export interface Tombstone { readonly version: number, readonly requestId: string | null }

/** A tenant's turn, limits (those of its latest purchase) and rate window. */
export interface TenantState {
  waiting: number
  running: number
  /** Virtual time: what it was served so far, divided by its weight. */
  virtual: number
  weight: number
  maxInFlight: number
  readonly queue: SortedSet
  window: { readonly used: number, readonly beganAtMs: number, readonly endsAtMs: number }
}

/** One account of one period. */
export interface Book extends Account { held: MicroUsd, spent: MicroUsd, changedAtMs: number }

/** A token as minted, and what was drawn from it. */
export interface TokenState { token: Token, heldPictures: number, heldMoney: MicroUsd, spentPictures: number, spentMoney: MicroUsd }

/** A breaker, and what decides whose a failure is. */
export interface KeptBreaker extends Omit<Breaker, 'account'> {
  /** Who met the failures of this row: one tenant, or `*` when several did or it was no tenant's doing. */
  readonly metBy: string | null
  /** Digests of the tenant's inputs that failed last. */
  readonly inputs: readonly string[]
  /** The tenant's probe has tripped the account's breaker. */
  readonly proved: boolean
}

/** What is kept of a file under its name. */
export interface Kept {
  readonly rows: number
  readonly bytes: number
  readonly sinceMs: number
  readonly orphanSinceMs: number | null
  /** Until when one process removes it; after that another one may. */
  readonly condemnedUntilMs: number | null
  readonly withdrawn: boolean
}

/** References that are being counted again, while rows change: those of the rows that were looked at, and of what changed meanwhile. */
export interface CountedReferences { readonly rows: Set<string>, readonly of: Map<string, number> }

export type Listener = (change: Published | 'look-again') => void

/** A process, as far as the ledger tells one from another: by the accounts that it has keys of, and their slots where it was told a number. */
export interface Caller { readonly accounts: readonly string[], readonly slots: ReadonlyMap<string, number> }

/** What the outbox keeps: of a generation only its id. */
export type Notice = BreakerNotice | Omit<GenerationNotice, 'row'> & { readonly id: string }

export interface State {
  readonly times: LedgerTimes
  /** The moment of the operation under way, in milliseconds of the ledger's clock. */
  readonly now: () => number
  /** Is told of each change of a table, by who makes it. */
  readonly note: Note
  /** Tells whoever listens of a change, once its operation is over. */
  readonly tell: (change: Published) => void
  /** Which server keeps it; another one may have lost something. */
  readonly server: () => string
  /** Whose ledger it is, its first account; `null` while that is not written down. */
  upstream: string | null
  /** Its other accounts. */
  readonly otherAccounts: Set<string>
  /** The process that asks; `null`: an operator's window, taken for one that has all accounts. */
  caller: Caller | null
  /** Source of {@link Hidden.number}. */
  counter: number
  /** Rows at fal, of all tenants, by account (see `keyOf`). */
  readonly active: Map<string, number>
  /** Virtual time of the latest claim: a tenant that enters the queue is not behind it. */
  virtual: number
  readonly rows: RowTable
  /** Id → the last lines of its log. */
  readonly logs: Map<string, LogPiece>
  readonly aliases: ExpiringMap<Alias>
  readonly names: NameTable
  readonly answers: ExpiringMap<Answer>
  /** Id → what is left of a forgotten row that an idempotency name still leads to. */
  readonly ends: ExpiringMap<KeptEnd>
  /** Ids of rows that went before their time, for a while. */
  readonly tombstones: ExpiringMap<Tombstone>
  /** Duplicate name → ids by number: undelivered, and not ended unbilled. */
  readonly duplicates: Map<string, SortedSet>
  /** Ids that were taken out of there, because they could not be reattached when they were looked at. */
  readonly passedDuplicates: Map<string, true>
  /** Id → when to look after it: waiting: its deadline; at fal: its lease; ended: its retention. An `unknown` is not in it. By account (see `keyOf`). */
  readonly due: Map<string, Ranking>
  /** Account and replica (see `followedKeyOf`) → what that looks after and another one may go on with before the lease runs out. */
  readonly followed: Map<string, SortedSet>
  /** What has failed → when it ended. */
  readonly failed: SortedSet
  /** What has files that are not stored yet → when they are tried again. */
  readonly files: SortedSet
  /** Stored files by name. */
  readonly kept: Map<string, Kept>
  /** How long they are together. */
  keptBytes: number
  /** Of them those that nothing refers to → since when; and those that a process removes → until when. */
  readonly orphans: SortedSet
  readonly condemned: SortedSet
  /** While they are counted again. */
  counting: CountedReferences | null
  /** Tenant → ids whose open webhooks are that tenant's → when the first of them is due. */
  readonly hooks: Map<string, SortedSet>
  /** Tenant → when its first is. */
  readonly hookTurns: SortedSet
  /** Ids with open webhooks → since when somebody should have been told; those that have not ended stand last. */
  readonly untold: SortedSet
  /** Ids with a webhook that was given up → when they ended. */
  readonly givenUp: SortedSet
  /** Waiting ids that may not be claimed yet → from when on they may. */
  readonly later: SortedSet
  /** Tenant → virtual time; only tenants with claimable work and a free slot. */
  readonly turns: SortedSet
  /** Claim id → id, while that attempt is `submitting`. */
  readonly claims: Map<string, string>
  /** fal's request id → the one generation that it stands for, as long as its row. */
  readonly requests: RequestTable
  readonly tenants: Map<string, TenantState>
  readonly books: Map<string, Book>
  readonly tokens: ExpiringMap<TokenState>
  /** The ids of a tenant's tokens that are alive, by their end. */
  readonly liveTokens: Map<string, SortedSet>
  /** Tickets that nobody has used, by the SHA-256 of their text. */
  readonly tickets: ExpiringMap<Ticket>
  /** Reader → ids of its own by number. */
  readonly lists: Map<string, Ranking>
  /** Status and reader → the same. */
  readonly listsByStatus: Map<string, Ranking>
  /** Reader → aliases by number. */
  readonly aliasLists: Map<string, SortedSet>
  /** Open unknowns by the time since when. */
  readonly unknown: SortedSet
  /** The same by the time of their admission. */
  readonly oldest: SortedSet
  /** Outputs that are too long for a row, by the id of their row with their size and hash. */
  readonly asides: Map<string, { readonly large: Large, output: string, readonly untilMs: number }>
  readonly breakers: Map<string, KeptBreaker>
  /** Model → its price rules, the one that holds first, then those that were replaced last. */
  readonly priceRules: Map<string, readonly string[]>
  /** Model → how many of its bills in a row were above their reservations. */
  readonly overruns: Map<string, number>
  /** What nobody was told yet, oldest first, by number. */
  readonly outbox: Map<string, Notice>
  /** How many notices there were so far. */
  notices: number
  /** What was granted to one call, and until when to no other; a few names. */
  readonly granted: Map<string, number>
  /** Slots at fal by account since it took no more: that many until then, afterwards more and more. */
  readonly lowered: Map<string, { readonly slots: number, readonly untilMs: number }>
  /** When the last two questions about unknowns were asked. */
  askedAtMs: readonly [number, number]
  /** The latest moment to which a question was put off. */
  askLaterMs: number
  /** The server of the last claim or renewal. */
  metServer: string | null
  /** Replica → its last heartbeat. */
  readonly beats: Map<string, number>
  /** Replica → its last renewal on this server. */
  readonly renewed: Map<string, number>
  /** Replicas that have to renew again before anything is claimed. */
  readonly awaited: Set<string>
  /** Since when and until when nothing is claimed; exactly as long as somebody is awaited. */
  held: { readonly sinceMs: number, readonly untilMs: number } | null
  readonly journal: JournalEntry[]
  /** The most lines that it keeps. */
  readonly maxJournalLines: number
  /** The time of the journal's latest line, and how many lines of that time came before it. */
  journalLast: { readonly atMs: number, readonly number: number }
  /** The journal has lost lines to its bounds, so it does not add up to the books any more. */
  journalTrimmed: boolean
  readonly listeners: Set<Listener>
  /** Replica → the function that looks at its sockets. */
  readonly answerers: Map<string, (connection: string) => boolean>
}

/** How many lines the journal keeps, where it is only in memory. */
const MAX_JOURNAL_LINES = 100_000

interface StateOptions {
  readonly times: LedgerTimes
  readonly now: () => number
  readonly server?: (() => string) | undefined
  /** By default nobody wants to know. */
  readonly note?: Note
  /** By default listeners hear of a change in the next microtask. */
  readonly tell?: (change: Published) => void
  readonly maxJournalLines?: number
  /** How many ended rows are not packed, those that were looked at last. */
  readonly looseRows?: number | undefined
}

export function createState ({ times, now, server = () => 'memory', note = () => {}, tell, maxJournalLines = MAX_JOURNAL_LINES, looseRows }: StateOptions): State {
  const aliasLists = new Map<string, SortedSet>()
  const liveTokens = new Map<string, SortedSet>()
  const listeners = new Set<Listener>()
  const rows = new RowTable(looseRows, {
    onPacked: entry => {
      names.fold(entry)
      requests.fold(entry)
    },
    onLoosened: entry => {
      names.unfold(entry)
      requests.unfold(entry)
    }
  })
  const requests = new RequestTable({ glance: id => rows.glance(id) })
  const names = new NameTable({ now, note: name => { note('names', name) }, look: id => rows.look(id), loosen: id => { rows.get(id) } })
  return {
    times,
    now,
    note,
    tell: tell ?? (change => { queueMicrotask(() => { tellAll(listeners, change) }) }),
    server,
    upstream: null,
    otherAccounts: new Set(),
    caller: null,
    counter: 0,
    active: new Map(),
    virtual: 0,
    rows,
    logs: new NotedMap(id => { note('logs', id) }),
    aliases: createExpiringMap<Alias>(now, { note: id => { note('aliases', id) }, onEnd: (id, alias) => { unlist(aliasLists, alias, id) } }),
    names,
    answers: createExpiringMap<Answer>(now),
    ends: createExpiringMap<KeptEnd>(now, { note: id => { note('ends', id) } }),
    tombstones: createExpiringMap<Tombstone>(now),
    duplicates: new Map(),
    passedDuplicates: new NotedMap(id => { note('passed', id) }),
    due: new Map(),
    followed: new Map(),
    failed: new SortedSet(),
    files: new SortedSet(),
    kept: new Map(),
    keptBytes: 0,
    orphans: new SortedSet(),
    condemned: new SortedSet(),
    counting: null,
    hooks: new Map(),
    hookTurns: new SortedSet(),
    untold: new SortedSet(),
    givenUp: new SortedSet(),
    later: new SortedSet(),
    turns: new SortedSet(),
    claims: new Map(),
    requests,
    tenants: new Map(),
    books: new Map(),
    tokens: createExpiringMap<TokenState>(now, {
      note: id => { note('tokens', id) },
      onEnd: (id, { token: { tenant } }) => {
        const alive = liveTokens.get(tenant)
        alive?.delete(id)
        if (alive?.size() === 0) liveTokens.delete(tenant)
      }
    }),
    liveTokens,
    tickets: createExpiringMap<Ticket>(now, { note: sha256 => { note('tickets', sha256) } }),
    lists: new Map(),
    listsByStatus: new Map(),
    aliasLists,
    unknown: new SortedSet(),
    oldest: new SortedSet(),
    asides: new NotedMap(name => { note('asides', name) }),
    breakers: new NotedMap(scope => { note('breakers', scope) }),
    priceRules: new NotedMap(model => { note('prices', model) }),
    overruns: new NotedMap(model => { note('overruns', model) }),
    outbox: new NotedMap(number => { note('outbox', number) }),
    notices: 0,
    granted: new NotedMap(what => { note('granted', what) }),
    lowered: new NotedMap(account => { note('lowered', account) }),
    askedAtMs: [0, 0],
    askLaterMs: 0,
    metServer: null,
    beats: new Map(),
    renewed: new Map(),
    awaited: new Set(),
    held: null,
    journal: [],
    maxJournalLines,
    journalLast: { atMs: 0, number: 0 },
    journalTrimmed: false,
    listeners,
    answerers: new Map()
  }
}

/** Tells each listener. A listener's fault is its own: neither the ledger nor the other listeners may suffer from it. */
export function tellAll (listeners: ReadonlySet<Listener>, change: Published): void {
  for (const listener of listeners) {
    try {
      listener(change)
    } catch {}
  }
}

/** The state of a tenant; one that the ledger meets for the first time has the smallest limits until its next purchase. */
export function tenantOf (state: State, tenant: string): TenantState {
  let known = state.tenants.get(tenant)
  if (known === undefined) {
    known = { waiting: 0, running: 0, virtual: 0, weight: 1, maxInFlight: 1, queue: new SortedSet(), window: { used: 0, beganAtMs: 0, endsAtMs: 0 } }
    state.tenants.set(tenant, known)
  }
  return known
}

/** The key of a reader's list: tenant ids hold no space, so no two readers share one. */
export function listKeyOf ({ tenant, subject }: { readonly tenant: string, readonly subject: string }): string {
  if (tenant !== lastList.tenant || subject !== lastList.subject) lastList = { tenant, subject, key: tenant + ' ' + subject }
  return lastList.key
}

/** The same for those of its generations that stand so. */
export function statusListKeyOf (reader: { readonly tenant: string, readonly subject: string }, status: Status): string {
  const list = listKeyOf(reader)
  if (status !== lastStatusList.status || list !== lastStatusList.list) lastStatusList = { status, list, key: status + ' ' + list }
  return lastStatusList.key
}

/** The keys that were made last: the next row is mostly of the same reader, and a new text costs a map more than one that it knows. */
let lastList = { tenant: '', subject: '', key: ' ' }
let lastStatusList: { readonly status: Status, readonly list: string, readonly key: string } = { status: 'queued', list: '', key: 'queued ' }

export function enlist (lists: Map<string, SortedSet>, reader: { readonly tenant: string, readonly subject: string }, id: string, number: number): void {
  addTo(lists, listKeyOf(reader), id, number)
}

export function unlist (lists: Map<string, SortedSet>, reader: { readonly tenant: string, readonly subject: string }, id: string): void {
  dropFrom(lists, listKeyOf(reader), id)
}

/** Adds to one of many sorted sets, which exists only while it has members. */
export function addTo (sets: Map<string, SortedSet>, key: string, member: string, score: number): void {
  let set = sets.get(key)
  if (set === undefined) {
    set = new SortedSet()
    sets.set(key, set)
  }
  set.set(member, score)
}

/** Adds a member that is not there yet to one of many rankings, which exists only while it has members. */
export function rankIn (rankings: Map<string, Ranking>, key: string, member: string, score: number): void {
  let ranking = rankings.get(key)
  if (ranking === undefined) {
    ranking = new Ranking()
    rankings.set(key, ranking)
  }
  ranking.add(member, score)
}

export function dropRanked (rankings: Map<string, Ranking>, key: string, member: string, score: number): void {
  const ranking = rankings.get(key)
  ranking?.delete(member, score)
  if (ranking?.size() === 0) rankings.delete(key)
}

export function dropFrom (sets: Map<string, SortedSet>, key: string, member: string): void {
  const set = sets.get(key)
  set?.delete(member)
  if (set?.size() === 0) sets.delete(key)
}
