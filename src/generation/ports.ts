// What the core needs from the outside: a ledger that many processes share, and an upstream that makes pictures.
// The guarantees stand here in words; every store has to keep them and one contract suite checks that it does.
// Terms: a *right* may be refused and has a deadline, *evidence* is a fact and is always taken.

import type { ProblemCode } from '../errors.ts'
import type { MicroUsd } from '../money.ts'
import type { Doubt } from './doubt.ts'
import type { Phase, Status } from './phases.ts'
import type { Account, AdmittedFields, Brief, Connection, Failure, Listed, Reader, Row, Terms } from './row.ts'

// ---------------------------------------------------------------------------------------------- admission

/** A budget to admit against. The ledger finds the period on its own clock. */
export interface Budget { readonly owner: string, readonly limit: MicroUsd, readonly per: 'day' | 'month' }

/** An undelivered twin, and the connection that waits for it. */
export interface TwinQuestion extends Connection { readonly id: string }

/** The same, and what its replica said about that connection. */
export interface TwinAnswer extends TwinQuestion { readonly open: boolean }

/**
 * All the ledger has to know to admit one request: what stands in the new row, and what decides whether there will be one. Everything that names
 * something is a digest, never a text of the caller. `cacheName` (digest of cache group, model and input) is given only with a seed; `twinName` (digest of
 * tenant, subject, model and input) only for keyless unseeded requests, which it makes twins; `connection` is `null` when nobody waits, be it for the id only.
 */
export interface Admission extends AdmittedFields {
  /** The id the new generation, or an alias, will have. Asked twice with one id, `admit` answers the same. */
  readonly id: string
  /** On the ledger's clock. An admission that starts later changes nothing. */
  readonly deadlineMs: number
  readonly input: string
  /** It asks for pictures inside its output, which make that long. */
  readonly makesLarge: boolean
  readonly unitPrice: MicroUsd
  readonly priceRule: string
  /** The rule that this process had before, until the ledger was told that it has another; `null` when it has none to replace. */
  readonly replacesPriceRule: string | null
  /** The caller's `Idempotency-Key`: digest of tenant, subject and key, and the fingerprint of the request that it stands for. */
  readonly idempotency: { readonly name: string, readonly fingerprint: string } | null
  /** What is known about the twins that an earlier answer named. */
  readonly twins: readonly TwinAnswer[]
  /** No further round of questions: a twin not asked about counts as left, because in doubt the money is saved. */
  readonly lastRound: boolean
  /** How long the caller lets it wait in line; `null`: as long as the ledger does. */
  readonly startWithinMs: number | null
  /** The caller has to be given an id, also for what is stored. */
  readonly needsId: boolean
  readonly rate: { readonly max: number, readonly windowSeconds: number }
  readonly maxInFlight: number
  readonly maxQueued: number
  readonly weight: number
  readonly budgets: readonly Budget[]
}

/** The state of a tenant's purchases in this window. */
export interface RateState { readonly max: number, readonly windowSeconds: number, readonly used: number, readonly resetSeconds: number }

/** What is left of a generation that was forgotten while an idempotency key still leads to it: enough to answer, and not to buy again. */
export interface End {
  /** The id that the key's holder knew it by. */
  readonly id: string
  /** Why there is no picture any more, or never was one. */
  readonly code: ProblemCode
  /** What it cost that holder. */
  readonly cost: MicroUsd
  readonly finishedAtMs: number
}

/**
 * What became of an admission. Free answers come before refusals, in the order of this list; a refusal writes nothing.
 *
 * - `replayed`: the idempotency key leads here.
 * - `gone`: the idempotency key leads to a generation that was forgotten meanwhile.
 * - `hit`: the cache name leads to a success. Makes no row. Who needs an id, or brings a key to be bound, and may not read the purchase's gets an alias,
 *   always the same.
 * - `joined`: the cache name leads to a generation under way, to an `unknown`, or to a billed refusal younger than 15 minutes.
 * - `adopted`: an undelivered twin, whose caller is gone, now belongs to this connection.
 * - `twins`: there are undelivered twins; ask their replicas whether the connections are open and admit again. None are named when those that were looked at
 *   cannot be adopted any more, and others stand behind them.
 * - `bought`: a new row, with money reserved and a place in line.
 */
export type Admitted = Got | TwinsFirst | Refused

/** What became of an admission that was not refused. */
export type Got =
  | { readonly outcome: 'replayed' | 'joined' | 'adopted' | 'hit', readonly row: Row }
  | { readonly outcome: 'gone', readonly end: End }
  | { readonly outcome: 'bought', readonly row: Row, readonly rate: RateState }

interface TwinsFirst { readonly outcome: 'twins', readonly twins: readonly TwinQuestion[] }

/**
 * What became of a list: each has its own answer, or the whole list is refused, or there are twins to ask for, at most 8 of each. `late` stands in the answer
 * to a list that was admitted before, in place of a free answer that is forgotten since: nothing was bought for that one.
 */
export type AdmittedAll =
  | { readonly outcome: 'all', readonly got: readonly (Got | Late)[] }
  | TwinsFirst
  | Refused

interface Late { readonly outcome: 'refused', readonly why: 'late' }

export type Refused =
  | { readonly outcome: 'refused', readonly why: 'reused' | 'late' }
  | { readonly outcome: 'refused', readonly why: 'guard', readonly guard: GuardState, readonly retryAfterSeconds: number }
  | { readonly outcome: 'refused', readonly why: 'prices', readonly ledgerRule: string }
  /** What lies aside leaves no room for what this would make. */
  | { readonly outcome: 'refused', readonly why: 'large' }
  | { readonly outcome: 'refused', readonly why: 'token', readonly token: 'unknown' | 'expired' | 'revoked' | 'exhausted' }
  | { readonly outcome: 'refused', readonly why: 'rate', readonly rate: RateState }
  | { readonly outcome: 'refused', readonly why: 'full', readonly rate: RateState }
  | { readonly outcome: 'refused', readonly why: 'budget', readonly owner: string, readonly rate: RateState }

// ---------------------------------------------------------------------------------------------- claims and evidence

/** Whether anything may be bought: for the whole account (`*`), for a tenant (see {@link tenantScopeOf}), or of a model (its endpoint id). */
export type GuardState = 'ok' | 'open' | 'account-blocked' | 'retired' | 'price-unsure'

export interface Guard {
  readonly scope: string
  readonly state: GuardState
  readonly sinceMs: number
  /** When the next one may go through as the probe, while it is not ok; none does while a price is unsure. */
  readonly retryAtMs: number
  /** The generation that finds out whether buying works again. */
  readonly probe: string | null
  /** Failures in a row, on all replicas together. */
  readonly failures: number
}

/** The scope of the guard that stands before one tenant only. No endpoint id has a colon. */
export function tenantScopeOf (tenant: string): string {
  return 'tenant:' + tenant
}

/**
 * A word about buying at all. With `after` it is one failure of many: it closes the guard when it is the `after`th in a row, and lengthens the pause of
 * one that is closed already, for whatever reason. With `only` it says nothing about a guard in another state. A guard that is closed because the price is
 * unsure hears only words about that very state.
 */
export interface Verdict {
  readonly scope: string
  readonly state: GuardState
  readonly retryAfterMs: number
  readonly after?: number
  readonly only?: GuardState
  /**
   * Of a word about the account that comes with evidence: it may be the doing of the generation's tenant, whose own guard counts it, too. The account's
   * guard is closed when a second tenant meets it in the same row of failures, or when the probe of the tenant's guard, with another input than the last
   * that failed, meets it as well; the latter once, until something of the tenant's is accepted.
   */
  readonly tenantFirst?: true
}

/**
 * What an attempt to claim gave. `go` is the journal line before the POST: it grants submit attempt `row.attempt` once. `isLineEmpty`: nobody else stands
 * in the line who could be claimed. `wait`: the store may have lost what it was told last, and nothing is claimed before its replicas have put it back (see `renew`),
 * or before `untilMs`.
 */
export type Claimed =
  | Taken & { readonly outcome: 'go', readonly isLineEmpty: boolean }
  | { readonly outcome: 'wait', readonly untilMs: number }
  | { readonly outcome: 'busy' | 'empty' | 'guard' | 'late' }

/**
 * How a generation ended at fal. `cost` is `null` when fal named none and the price table decides; `files`: how many it made, where that is known; without
 * it as many as it might.
 */
export type Ending =
  | { readonly kind: 'succeeded', readonly output: string, readonly seed: string | null, readonly learnedName: string | null, readonly cost: MicroUsd | null, readonly files?: number }
  | { readonly kind: 'failed', readonly failure: Failure, readonly cost: MicroUsd | null }
  | { readonly kind: 'cancelled', readonly cost: MicroUsd | null }

/** What becomes of an attempt that fal has not got. */
export type Unsent = { readonly retryAfterMs: number, readonly busy?: boolean } | { readonly failure: Failure }

/** A row as a piece of evidence left it, and the phase that it found; the same phase when it changed none. */
export interface Weighed extends Row { readonly from: Phase }

/** What log and metrics are told once, whichever process takes it. */
export type News = RowNews | GuardNews

/** A guard that has changed. */
export interface GuardNews { readonly kind: 'guard', readonly scope: string, readonly from: GuardState, readonly state: GuardState }

/**
 * What happened to a generation without its owner's doing.
 *
 * - `ended`: cancelled or given up while it waited here, given up because its owners kept dying, or settled by an operator.
 * - `late`: one that had ended turned out to be more expensive.
 * - `double`: a second purchase for one generation.
 * - `shared`: fal gave it the request id of another generation. It is `unknown` unless it has an id of its own.
 * - `found`: one that an operator had settled turned out to have a picture; `booked` may be negative.
 * - `corrected`: an operator said that it cost something else than was booked; `booked` may be negative.
 */
export interface RowNews {
  readonly kind: 'ended' | 'late' | 'double' | 'shared' | 'found' | 'corrected'
  /** The phase before. */
  readonly from: Phase
  readonly row: Brief
  /** What this added to what was spent; a correction may take away. */
  readonly booked: MicroUsd
}

/** What changes about a generation while somebody waits for it: all that callers see of it before its end. */
export type Change = Pick<Row, 'id' | 'version' | 'phase' | 'cancelWished' | 'queuePosition' | 'startedAtMs' | 'doubtSinceMs' | 'logged'>

/** A change as it is published. `isLineEmpty`: as far as this change decides it, nothing can be claimed now. */
export type Published = Change & { readonly isLineEmpty: boolean }

/** A row for the replica that looks after it from now on, and what it was admitted under. */
export interface Taken { readonly row: Row, readonly terms: Terms }

/** What a replica knows about a generation it holds; more than the row's own facts proves that the store went back in time. */
export interface Fact extends Taken { readonly holds: boolean }

export type Cancelled =
  | { readonly outcome: 'cancelled' | 'asked' | 'already-cancelled' | 'others-waiting' | 'already-finished', readonly row: Row }
  | { readonly outcome: 'no-such-generation' }

export type Settled = { readonly outcome: 'settled', readonly row: Row } | { readonly outcome: 'too-young' | 'not-unknown' | 'no-such-generation' }

/** `booked`: what the correction added to what was spent, or took from it; `reopened`: the model was closed because its price was unsure. */
export type Corrected =
  | { readonly outcome: 'corrected', readonly row: Row, readonly booked: MicroUsd, readonly reopened: boolean }
  | { readonly outcome: 'not-ended' | 'no-such-generation' }

/** A browser token as the ledger keeps it; the secret's hash is checked by the door. */
export interface Token extends Reader {
  readonly id: string
  readonly secretSha256: string
  readonly origins: readonly string[]
  readonly expiresAtMs: number
  readonly revoked: boolean
  readonly picturesLeft: number
  readonly moneyLeft: MicroUsd
}

/** One line of the append-only journal, for finance. */
export interface JournalEntry {
  /** The line's place, to read on from. Lines of one millisecond have different ones. */
  readonly cursor: string
  readonly atMs: number
  readonly kind: 'purchase' | 'unknown' | 'correction' | 'double'
  readonly id: string
  readonly tenant: string
  readonly model: string
  readonly requestId: string | null
  readonly accounts: readonly Account[]
  /** What this line adds to what was spent; a correction may be negative. */
  readonly amount: MicroUsd
  readonly assumed: boolean
}

/** A row whose outcome is unknown, and since when. */
export interface OpenUnknown extends Brief { readonly sinceMs: number }

export interface Balance { readonly owner: string, readonly period: string, readonly held: MicroUsd, readonly spent: MicroUsd }

/**
 * A page of a reader's list. It may hold fewer rows than were asked for and still name a next one: it is bounded in what it looks at and in bytes (see
 * `page.ts`). Its cursor is an id of that list, so that it tells nothing of other readers.
 */
export interface Page {
  readonly rows: readonly Listed[]
  readonly nextCursor: string | null
  /** The list has no such id, or not any more: nothing can be said to follow it. */
  readonly isCursorUnknown?: true
}

// ---------------------------------------------------------------------------------------------- the ledger

/**
 * The store of generations, money and the waiting line, shared by all replicas.
 *
 * Every operation is atomic. One that cannot reach the store rejects with a `Problem` `store-unavailable` within a second,
 * and a *right* (`admit`, `claim`) that was answered so has changed nothing, however late the store runs it.
 *
 * A ledger is that of one upstream account (rule 28): the first process that reaches an empty one writes down its own, and one that was filled before that
 * counts as fal's account `main`. To a process of another account it is foreign: its operations reject with a `Problem` `foreign-ledger` and change nothing,
 * but for {@link openOperations}. An operator's window has no account, and is refused nothing.
 */
export interface Ledger {
  /** The ledger's clock, estimated without a call: its last known time plus monotonic time since. */
  now: () => number
  /** Rejects when the store cannot be reached. */
  ping: () => Promise<void>

  // Rights

  /**
   * Admits one request in one step (see {@link Admitted}). held + spent never exceeds a budget. Of a model only one price rule buys: the one that a purchase
   * brought last. A rule that the ledger has not seen is newer, one that was replaced is older and refused, unless it replaces the one that holds.
   */
  admit: (admission: Admission) => Promise<Admitted>
  /**
   * The same of 1 to 10 requests of one caller, which have tenant, subject, token, rate, line and budgets in common: all or nothing, in one step. Each gets a
   * free answer where there is one, also from one before it in the list; the others are bought, each counted by itself in rate and line, and by their sums in
   * budgets and token. The i-th has its place in twin and idempotency name: no two of a list may have the same. While a guard is not ok only one may be bought.
   */
  admitAll: (admissions: readonly Admission[]) => Promise<AdmittedAll>
  /**
   * Takes back admissions whose callers were told that nothing was bought (rule 1): they leave the line unspent, unless somebody has come to them since, by
   * adopting, joining or asking for the id.
   */
  withdraw: (admissions: readonly Pick<Admission, 'id' | 'connection'>[]) => Promise<void>
  /**
   * Grants the next submit attempt to `replica`: the fairest tenant's oldest waiting generation of the best priority, if fewer than `slots`
   * are at fal and the tenant has a free place. The same `claimId` gets the same grant while that attempt is `submitting`.
   * Only this operation writes `submitting` and raises `attempt`. Heads of the line whose deadline passed, or whose model is retired, are closed
   * unspent on the way. After fal took no more there are fewer places than `slots` for a while (see `unsent`).
   * When the store turns out to be kept by another server than before, or to have fallen behind what was known of it, nothing is granted for one lease, or
   * until every replica has renewed again that had done so in the last lease before. A new connection is no such sign. An empty ledger has
   * nothing to wait for. To a replica that knew more of it, one that came back empty has fallen behind, and waits the whole lease.
   */
  claim: (claim: { readonly claimId: string, readonly deadlineMs: number, readonly replica: string, readonly slots: number }) => Promise<Claimed>

  // Evidence: taken from every process that has it, lease or not; the first wins. Each gives the row as it now is, or null when there is none.
  //
  // With a request id it is about one purchase, whatever attempt that came of. A row that knows of none takes it for its own, from wherever it stands: one
  // that waits or that ended unbilled came back from a rollback, or an operator settled it, and in what had ended the price is booked and told. Beside
  // another purchase it is a double: booked at the reserved price and told once, and followed by the replica that holds its id. An id that stands for another
  // generation is refused: a row without one of its own becomes `unknown`, which is told (rule 32).
  //
  // Without a request id it is about an attempt: it says nothing about a row that has an id, and nothing about another attempt than the row's, except that
  // a newer one proves a rollback and is taken.

  /**
   * Attempt `attempt` was accepted under `requestId`: `submitting` or `unknown` → `accepted`. It opens the guards whose probe it is, and ends a row of
   * failures.
   */
  sent: (id: string, attempt: number, requestId: string) => Promise<Weighed | null>
  /**
   * Attempt `attempt` certainly never reached fal: `submitting` or `unknown` → `waiting` (to be claimed again not before `retryAfterMs`), or → `failed` unspent.
   * `busy`: fal takes no more than what is there without this one, so there are that many places until `retryAfterMs`, then one more every five seconds.
   * The verdict is taken in the same step, so that nothing is claimed between the two; told twice, the evidence is taken once, and so is the verdict.
   */
  unsent: (id: string, attempt: number, then: Unsent, verdict?: Verdict) => Promise<Weighed | null>
  /**
   * Without a `requestId`: attempt `attempt` went out and no answer to the submit came: `submitting` → `unknown`, money held. With one: the trace of what was
   * followed under it at fal is lost; it becomes `unknown`, too.
   */
  lost: (id: string, attempt: number, requestId: string | null, failure: Failure, verdict?: Verdict) => Promise<Weighed | null>
  /** fal shows `requestId` queued at this position (`accepted` stays), or running (`accepted` or `unknown` → `running`), perhaps with lines of its log. */
  progressed: (id: string, attempt: number, requestId: string, seen: { readonly kind: 'queued', readonly position: number | null } | { readonly kind: 'running' }, log?: LogPiece) => Promise<Weighed | null>
  /**
   * Of `requestId` fal is done, and the answer could not be used (rule 25): the row keeps what was seen, with the time of the first such answer, and gives its
   * place back; what is seen of it at fal after that takes both away. Changes nothing of a row that is not at fal.
   */
  doubted: (id: string, attempt: number, requestId: string, seen: Doubt, log?: LogPiece) => Promise<Weighed | null>
  /**
   * The end of `requestId`, perhaps with the last lines of fal's log: closes the row with the result in it, settles money, tells waiters.
   * The first end wins; a later, higher cost is booked as late, unless an operator has said what it cost. That of a double corrects what was booked for it;
   * when it succeeded and the row has not ended, the two change places and the row ends with it, since its picture is paid for.
   * An operator's settlement is no end: an output turns it `succeeded`, corrects the money and tells.
   * Above the reservation it is booked in full, up to ten times; beyond that ten times is booked, as an assumption. Then, and after two overruns of a model
   * in a row, the model's guard is closed: its price is unsure.
   * An output that is too long for a row is laid aside; the row given back has it all the same, for the callers who are there. No cache name leads to it.
   */
  finish: (id: string, attempt: number, requestId: string, ending: Ending, log?: LogPiece) => Promise<Weighed | null>

  // Leases

  /**
   * Signs of life of `replica`, also when it holds nothing, and for what it holds. Gives back the ids that it does not hold any more, and the facts' ids whose
   * rows are older than the facts (a rollback). A replica that follows a double of a row holds that, also when another one has the row. With no such fact it
   * says that this replica has put back all that it knows, unless these are only a part of that (`isPart`).
   */
  renew: (replica: string, facts: readonly Omit<Fact, 'terms'>[], isPart?: boolean) => Promise<{ readonly gone: readonly string[], readonly rolledBack: readonly string[] }>
  /**
   * Writes rows from their owner's facts after a rollback, over the budget if need be, and the names that led to them (rule 22). A name that leads to a row
   * which still waits and was never granted an attempt goes to the restored row, and the other becomes its alias: money, rate and place are given back,
   * its waiters hear of the restored one, and its own id goes on being known. Any other row keeps the name; gives how many did.
   */
  restore: (replica: string, facts: readonly Fact[]) => Promise<{ readonly contested: number }>
  /** `replica` leaves, and lets go of generations so that another one takes them over at once. */
  release: (replica: string, ids: readonly string[]) => Promise<void>
  /**
   * Looks after at most `max` rows that are due: waiting past their deadline → `failed` unspent; lease run out → taken over by `replica` and given back to it
   * (after five times `unknown`); retention over → forgotten. Rows that are `unknown`, or were settled since, and have a request id are given back to be
   * asked about at fal (rule 34): after 30 s, then ever more rarely, at most two a second on all replicas together.
   */
  sweep: (replica: string, max: number) => Promise<readonly Taken[]>
  /** At most `max` pieces of news, oldest first, each given to one caller only. Of a row that is forgotten there is none. */
  takeNews: (max: number) => Promise<readonly News[]>

  // Delivery

  /** This generation's own answer reached the socket `connection`, or was fetched by id (`connection` null): it is delivered. For a connection, only if it is the one written there. */
  seen: (id: string, connection: Connection | null) => Promise<void>
  /** The caller at `connection` is gone without an answer; only if it is the one written there. Shortens a waiting generation's deadline to 60 s, when it was keyless and nobody joined it. */
  left: (id: string, connection: Connection) => Promise<void>
  /** Which of these connections of another replica are open? Asked on the events channel; no answer in time means none. */
  askOpen: (replica: string, connections: readonly string[]) => Promise<ReadonlySet<string>>
  /** Answers such questions for `replica` until the returned function is called. */
  answerOpen: (replica: string, isOpen: (connection: string) => boolean) => () => void

  // Readers

  /** The generation with this id, own or through an alias (whose id it then shows), or null: unknown, expired or somebody else's. */
  read: (id: string, reader: Reader) => Promise<Row | null>
  /** A success that this cache name leads to. Changes nothing. */
  lookup: (cacheName: string) => Promise<Row | null>
  /** Newest first. */
  list: (reader: Reader, page: { readonly limit: number, readonly cursor: string | null, readonly status: Status | null }) => Promise<Page>
  /**
   * The rows with these ids, for processes that wait for them or tend them: no reader is checked, and of aliases only those are known that were rows
   * themselves (see `restore`): they are shown as their readers see them.
   */
  look: (ids: readonly string[]) => Promise<readonly Row[]>
  /** The same without what is large: for who looks at many, often. A place in our own line is told as it is now; it moves without a new version. */
  glance: (ids: readonly string[]) => Promise<readonly Change[]>
  /**
   * The output of a success that is too long for its row (`large`), by the id of its purchase. It lies aside for an hour; `null` afterwards, and where there was
   * no room for it when the generation ended. Like `look` it checks no reader.
   */
  aside: (id: string) => Promise<string | null>
  /**
   * Lines of fal's log from the `from`th on (0 is the first), as far as they are kept: the last 200 and at most 32 KiB, as long as the row.
   * Like `look` it checks no reader and knows no aliases; nothing for a row that is not there.
   */
  logs: (id: string, from: number) => Promise<LogPiece>
  /** Calls `listener` with every change of every generation until the returned function is called. May lose some: `look` again. */
  listen: (listener: (change: Published | 'look-again') => void) => () => void

  // Small compare-and-sets

  /**
   * Waiting: closed, unspent. Submitting or later: notes the wish and wakes the owner. Refused when anybody ever joined. Through an alias it only lets go of it.
   * From the wish on no name leads to it, so that a caller who asks for the same buys its own; if it succeeds all the same, it takes names that are free.
   */
  cancel: (id: string, reader: Reader) => Promise<Cancelled>
  /** An operator's word on an `unknown` older than ten minutes: billed (at the reserved price) or not. */
  settle: (id: string, billed: boolean) => Promise<Settled>
  /**
   * An operator's word on what one that has ended cost, or with `null` that what was booked is right. The difference is booked, either way; what was reserved
   * stays as it was. Opens the model's guard when its price was unsure. The same word again changes nothing.
   */
  correct: (id: string, cost: MicroUsd | null) => Promise<Corrected>
  /** Tells the guard a word of its own, without evidence. Gives the state that holds now. */
  guard: (scope: string, verdict: Omit<Verdict, 'scope' | 'tenantFirst'>) => Promise<Guard>
  /** Of tenants only those that are not ok or count failures, and no more than sixteen. */
  guards: () => Promise<readonly Guard[]>
  mint: (token: Token) => Promise<void>
  token: (id: string) => Promise<Token | null>
  revoke: (id: string, tenant: string) => Promise<boolean>

  // Books

  balances: (accounts: readonly Pick<Budget, 'owner' | 'per'>[]) => Promise<readonly Balance[]>
  /** Those that are unknown for longest come first. */
  unknowns: (limit: number) => Promise<readonly OpenUnknown[]>
  /** Oldest first, from `fromMs` on and before `toMs`; with `after` only what follows the line with this cursor. Fewer than `limit` lines: these are the last. */
  journal: (fromMs: number, toMs: number, limit: number, after?: string) => Promise<readonly JournalEntry[]>
  gauges: () => Promise<Gauges>

  /** Ends subscriptions and connections. Twice is harmless. */
  close: () => Promise<void>
}

/** What also a process of another account may do: look, but be given no stored result in place of a purchase. */
export const openOperations = ['ping', 'read', 'list', 'look', 'glance', 'aside', 'logs', 'guards', 'token', 'balances', 'unknowns', 'journal', 'gauges'] as const satisfies readonly (keyof Ledger)[]

/** Facts for gauges. */
export interface Gauges {
  readonly waiting: ReadonlyMap<string, number>
  /** Places used at fal. */
  readonly atUpstream: number
  /** How many may be used at most, since fal took no more; `null` when nothing was heard of that. */
  readonly places: number | null
  readonly unknownOpen: number
  /** The admission time of the oldest open unknown. */
  readonly unknownOldestMs: number | null
  /** What lies aside, in bytes. */
  readonly asideBytes: number
}

/** Durations and bounds that every store needs, fixed at its construction. */
export interface LedgerTimes {
  readonly resultTtlMs: number
  readonly queueMs: number
  readonly runMs: number
  readonly leaseMs: number
  /** How much may lie aside, all together (see {@link Ledger.aside}). */
  readonly largeResultBytes: number
}

/** Limits that are part of the rules, not of the configuration (rules 4, 5, 7, 13, 19 of `docs/ledger.md`). */
export const ledgerConstants = {
  idempotencyMs: 24 * 3_600_000,
  /** How long it is remembered of a row that went before its time that it is rightly gone: longer than replicas tell what ended with them. */
  tombstoneMs: 120_000,
  /** How long an end that cost nothing is kept, unless results are kept for less: it can be made for nothing, and must not fill the store. */
  unspentMs: 3_600_000,
  /** The longest inputs, in bytes, that an ended row keeps: one that cost nothing, and any. */
  maxUnspentInputBytes: 1024,
  maxEndedInputBytes: 32_768,
  /** The longest input and output, in bytes together, that lie beside what a list shows of a row, so that one look reads all. */
  maxCardBytes: 1024,
  /** The longest output, in bytes, that a row has room for, the longest that is taken from fal, and how long those between the two lie aside. */
  maxOutputBytes: 262_144,
  maxLargeBytes: 67_108_864,
  largeMs: 3_600_000,
  /** How long an `unknown` or a billed refusal answers for its cache key or body. */
  verdictMs: 15 * 60_000,
  adoptableMs: 10 * 60_000,
  settleAfterMs: 10 * 60_000,
  /** What is left to a waiting generation whose keyless caller has gone. */
  abandonedMs: 60_000,
  maxTakeovers: 5,
  /** How many times its reservation a generation may cost at most, before an operator says so, and how many overruns in a row leave a model's price unsure. */
  maxOverrun: 10,
  maxOverrunsInARow: 2,
  /** How soon who is refused because a price is unsure should ask again. */
  unsureRetryMs: 60_000,
  /** How long a waiting generation of such a model lets others go before it. */
  asideMs: 10_000,
  /** How many price rules of a model are remembered: the latest, and those that were replaced last. */
  maxPriceRules: 8,
  /** How many requests are admitted in one step. */
  maxAdmissions: 10,
  /** How many undelivered twins one admission names. */
  maxTwins: 8,
  /** How long fal may ask for a pause of all places, and how soon one more is tried after it. */
  maxBusyMs: 60_000,
  busyStepMs: 5000,
  /** The pauses between questions about an unknown double from the first to the longest, for fal's hour and a little, counted from the claim. */
  firstQuestionMs: 30_000,
  maxQuestionMs: 600_000,
  askForMs: 66 * 60_000,
  minQuestions: 4,
  /** No more than two questions are asked within this, on all replicas together. */
  questionWindowMs: 1000,
  /** Guards of tenants; more of them failing at once are the account's failure. */
  maxTenantGuards: 16,
  /** How many different inputs of one tenant are remembered that failed last. */
  maxFailedInputs: 8,
  /** What is kept of one generation's log: its last lines, as JSON text. */
  maxLogLines: 200,
  maxLogBytes: 32_768,
  journalMs: 92 * 86_400_000
} as const

// ---------------------------------------------------------------------------------------------- the upstream

/**
 * What became of a submit. Anything that may have reached fal and was not clearly answered is `lost`.
 * - `accepted`: fal has it under `requestId`.
 * - `unsent`: it certainly was not accepted, and may be tried again. `busy`: it was told to come later (429), which is no failure of fal's (rule 14).
 *   `requestId`: the answer named one all the same, whose status is better asked for first.
 * - `refused`: it certainly was not accepted, and trying again would not help.
 * - `lost`: it may have been accepted; `requestId` is set when an error answer named one whose status can be asked for.
 *
 * `suspect`: whose doing the trouble is (rule 37). After the body went out, no answer and fal's own errors may be the request's; a connection that was not
 * made, and an answer that is not of fal's form, are nobody's in particular.
 */
export type Submitted =
  | { readonly kind: 'accepted', readonly requestId: string, readonly position: number | null }
  | { readonly kind: 'unsent', readonly failure: Failure, readonly retryAfterMs: number | null, readonly suspect: Suspect, readonly busy?: true, readonly requestId?: string }
  | { readonly kind: 'refused', readonly failure: Failure }
  | { readonly kind: 'lost', readonly requestId: string | null, readonly suspect: Suspect, readonly cause: string }

/** Whose doing it may be that a submit was not accepted. */
export type Suspect = 'account' | 'request'

/** One thing seen while following a generation. `missing`: fal does not know the id (any more). */
export type Sighting =
  | { readonly kind: 'queued', readonly position: number | null, readonly log: LogPiece }
  | { readonly kind: 'running', readonly log: LogPiece }
  | { readonly kind: 'completed', readonly log: LogPiece }
  | { readonly kind: 'missing' }

/** Waiting was cut short, and nothing was seen. */
export interface Interrupted { readonly kind: 'interrupted' }

/** A line that the model logged, as fal tells it. Time and level are its words. */
export interface LogLine { readonly message: string, readonly timestamp: string | null, readonly level: string | null }

/**
 * Consecutive lines of one generation's log; the first of them is its `from`th (0 is the first of all). Places make lines the same on all replicas:
 * who tells the ledger a line again adds none, and who has read up to a place goes on from there anywhere.
 */
export interface LogPiece { readonly from: number, readonly lines: readonly LogLine[] }

/** Follows one generation by status stream, by polling where that breaks. */
export interface StatusReader {
  /**
   * The next sighting that differs from the last one. Waits as long as it takes, or until the signal fires; upstream troubles are waited out with growing
   * pauses. Rejects only when the reader is closed.
   */
  next: (signal: AbortSignal) => Promise<Sighting | Interrupted>
  close: () => void
}

/**
 * `units` is the text of `x-fal-billable-units`, or null. `pending` and `unavailable` say nothing of the picture. `no-output` (a 200 that is no output of the
 * model), `cancelled` and `expired` (the result is gone) would throw a paid picture away; `isClear`: said in fal's own form, and not perhaps by something in
 * front of fal.
 */
export type Result =
  | { readonly kind: 'succeeded', readonly body: string, readonly seed: string | null, readonly units: string | null }
  | { readonly kind: 'failed', readonly failure: Failure, readonly units: string | null, readonly free: boolean }
  | { readonly kind: 'no-output' | 'cancelled', readonly units: string | null, readonly isClear: boolean }
  | { readonly kind: 'expired', readonly isClear: boolean }
  | { readonly kind: 'pending' }
  | { readonly kind: 'unavailable', readonly retryAfterMs: number | null }

/** fal's queue. No operation rejects for what the network or fal does; each has a deadline of its own. */
export interface Upstream {
  /** Never aborted from outside: its answer is the only trace of a purchase. */
  submit: (model: string, input: string) => Promise<Submitted>
  follow: (model: string, requestId: string) => StatusReader
  /** Where it stands, asked once. */
  state: (model: string, requestId: string, signal: AbortSignal) => Promise<Sighting['kind'] | 'unavailable'>
  result: (model: string, requestId: string, signal: AbortSignal) => Promise<Result>
  cancel: (model: string, requestId: string) => Promise<'asked' | 'too-late' | 'missing' | 'unavailable'>
  close: () => Promise<void>
}

// ---------------------------------------------------------------------------------------------- counting again

/**
 * Something that does not follow from the rows as it should.
 *
 * - `places`, `aside` (bytes of large results), `running`, `waiting`, `held`, `pictures`, `money`: a counter, of the ledger, a tenant, an account, or a browser token.
 * - `line`: a tenant's place in the waiting line.
 * - `row`: a row's place in an index; `stray`: a place there that leads nowhere, or to a row that does not belong.
 * - `spent`: what an account has spent, with what its open unknowns may have cost, against the journal. Nothing tells which of the two is wrong, so it stays.
 */
export interface Difference {
  readonly what: 'places' | 'aside' | 'running' | 'waiting' | 'held' | 'spent' | 'pictures' | 'money' | 'line' | 'row' | 'stray'
  /** Of which tenant, account, token, row or index. */
  readonly name: string
  /** `null`: nothing. */
  readonly found: string | null
  readonly expected: string | null
  readonly isMended: boolean
}

export interface Recounted {
  readonly rows: number
  readonly differences: readonly Difference[]
  /** Lines of the journal are gone after their time, so that it does not explain the books any more. */
  readonly isJournalTrimmed: boolean
}

/** Of a ledger whose counters outlive the processes that keep them. */
export interface Recounting {
  /**
   * Counts every counter and index again from the rows, and holds the books against the journal; with `isMending` writes what was counted. Others may use the
   * ledger meanwhile. Nobody else may count: of two counts the earlier one rejects.
   */
  readonly recount: (given: {
    readonly isMending: boolean
    /** Runs between two of the pieces that it is done in. */
    readonly between?: () => Promise<unknown>
  }) => Promise<Recounted>
}
