// The ledger that many processes share: what the core needs of a store. The guarantees stand here in words; every store has to keep them, and one contract suite
// checks that it does.

import type { MicroUsd } from '../money.ts'
import type { Balance, JournalEntry, OpenUnknown, Ticket, Token, TokenPage } from './accounts.ts'
import type { Admission, Admitted, AdmittedAll, Budget, ClaimOffer, Preview, Withdrawal } from './admission.ts'
import type { Breaker, BreakerReport } from './breaker-state.ts'
import type { Change, Published } from './changes.ts'
import type { Doubt } from './doubt.ts'
import type { Cancelled, Claimed, Corrected, Ending, Erased, Fact, Settled, Taken, Unsent, Weighed } from './evidence.ts'
import type { Connection, Failure, Listed, Reader, Generation } from './generation.ts'
import type { DueHook, HookOutcome, HookSearch, SeenHook, SentAgain, TriedHook } from './hooks.ts'
import type { CondemnedFile, Expectation, FoundFile, KeptPage, RemovalTerms } from './kept-files.ts'
import type { Media } from './media.ts'
import type { OutboxEvent } from './outbox.ts'
import type { FailedGeneration, SeenReplica, Standing } from './overview.ts'
import type { Status } from './phases.ts'
import type { LogPiece } from './upstream.ts'

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

/**
 * The store of generations, money and the queue, shared by all replicas.
 *
 * Every operation is atomic. One that cannot reach the store rejects with a `Problem` `store-unavailable` within a second,
 * and a *right* (`admit`, `claim`) that was answered so has changed nothing, however late the store runs it.
 *
 * A ledger is that of one kind of upstream and of the accounts there that its processes have (rule 28): the first process that reaches an empty one writes down its
 * own, and one that was filled before that counts as fal's account `main`. A process that has one of them brings its others along. To a process that has none
 * of them the ledger is foreign: its operations reject with a `Problem` `foreign-ledger` and change nothing, but for {@link openOperations}. An operator's window
 * has no account, and is refused nothing.
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
   *
   * What is bought while nobody waits, a slot is free and claims are granted goes to fal by the claim that came along, in the same step. That right is had by who hears
   * of it only: an admission whose answer was lost is taken back together with it, by `withdraw`. Asked again, both are granted again, as long as the attempt is
   * `submitting`.
   */
  admit: (admission: Admission, claim?: ClaimOffer) => Promise<Admitted>
  /**
   * The same of 1 to 10 requests of one caller, which have tenant, subject, token, rate, line and budgets in common: all or nothing, in one step. Each gets a
   * free answer where there is one, also from one before it in the list; the others are bought, each counted by itself in rate and line, and by their sums in
   * budgets and token. The i-th has its index in duplicate and idempotency name: no two of a list may have the same. While a breaker is not ok only one may be bought.
   */
  admitAll: (admissions: readonly Admission[]) => Promise<AdmittedAll>
  /**
   * Takes back admissions whose callers were told that nothing was bought (rule 1): they leave the queue unspent, unless somebody has come to them since, by
   * reattaching, joining or asking for the id. One that was granted to the claim that came along was not sent, because nobody heard of that: it leaves unspent, or
   * waits in the queue for those who came.
   */
  withdraw: (admissions: readonly Withdrawal[]) => Promise<void>
  /**
   * Grants the next submit attempt to `replica`: the fairest tenant's oldest waiting generation of the best priority, if the tenant has a free slot and so has an
   * account of this process, of those that no breaker stops the one with most of them. That account is written into the row, and goes with all that follows. Each
   * account has `slots`, where this process was not told another number for it. The same `claimId` gets the same grant while that attempt is `submitting`.
   * Only this operation, here or along with an admission, writes `submitting` and raises `attempt`. Heads of the queue whose deadline passed, or whose model is retired, are closed
   * unspent on the way. After fal took no more there are fewer slots of that account for a while (see `recordNotSent`).
   * When the store turns out to be kept by another server than before, or to have fallen behind what was known of it, nothing is granted for one lease, or
   * until every replica has renewed again that had done so in the last lease before. A new connection is no such sign. An empty ledger has
   * nothing to wait for. To a replica that knew more of it, one that came back empty has fallen behind, and waits the whole lease.
   */
  claim: (claim: ClaimOffer & { readonly deadlineMs: number }) => Promise<Claimed>

  // Evidence: taken from every process that has it, lease or not; the first wins. Each gives the row as it now is, or null when there is none.
  //
  // With a request id it is about one purchase, whatever attempt that came of. A row that knows of none takes it for its own, from wherever it stands: one
  // that waits or that ended unbilled came back from a rollback, or an operator settled it, and in what had ended the price is booked and told. Beside
  // another purchase it is a double: booked at the reserved price and told once, and followed by the replica that holds its id. An id that stands for another
  // generation is refused: a row without one of its own becomes `unknown`, which is told (rule 32).
  //
  // Without a request id it is about an attempt: it says nothing about a row that has an id, and nothing about another attempt than the row's, except that
  // a newer one proves a rollback and is taken.
  //
  // `upstream` is the account that the purchase was made with: a row that takes the purchase for its own takes this, too. Left out: that of the row.

  /**
   * Attempt `attempt` was accepted under `requestId`: `submitting` or `unknown` → `accepted`. It closes the breakers whose probe it is, and ends a row of
   * failures.
   */
  recordAccepted: (id: string, attempt: number, requestId: string, upstream?: string | null) => Promise<Weighed | null>
  /**
   * Attempt `attempt` certainly never reached fal: `submitting` or `unknown` → `waiting` (to be claimed again not before `retryAfterMs`), or → `failed` unspent.
   * A failure of the account alone (`elsewhere`) ends nothing while another account of this process is not stopped: then it waits again, too.
   * `busy`: then it waits for no pause where another account is not stopped; fal takes no more than what is there without this one, so that account has that many slots until `retryAfterMs`, then one more every five seconds.
   * The report is taken in the same step, so that nothing is claimed between the two; told twice, the evidence is taken once, and so is the report.
   */
  recordNotSent: (id: string, attempt: number, then: Unsent, report?: BreakerReport) => Promise<Weighed | null>
  /**
   * Without a `requestId`: attempt `attempt` went out and no answer to the submit came: `submitting` → `unknown`, money held. With one: the trace of what was
   * followed under it at fal is lost; it becomes `unknown`, too.
   */
  recordUnknown: (id: string, attempt: number, requestId: string | null, failure: Failure, report?: BreakerReport, upstream?: string | null) => Promise<Weighed | null>
  /** fal shows `requestId` queued at this position (`accepted` stays), or running (`accepted` or `unknown` → `running`), perhaps with lines of its log. */
  recordProgress: (id: string, attempt: number, requestId: string, seen: { readonly kind: 'queued', readonly position: number | null } | { readonly kind: 'running' }, log?: LogPiece, upstream?: string | null) => Promise<Weighed | null>
  /**
   * Of `requestId` fal is done, and the answer could not be used (rule 25): the row keeps what was seen, with the time of the first such answer, and gives its
   * slot back; what is seen of it at fal after that takes both away. Changes nothing of a row that is not at fal.
   */
  recordDoubt: (id: string, attempt: number, requestId: string, seen: Doubt, log?: LogPiece, upstream?: string | null) => Promise<Weighed | null>
  /**
   * The end of `requestId`, perhaps with the last lines of fal's log: closes the row with the result in it, settles money, tells waiters.
   * The first end wins; a later, higher cost is booked as late, unless an operator has said what it cost. That of a double corrects what was booked for it;
   * when it succeeded and the row has not ended, the two change places and the row ends with it, since its picture is paid for.
   * An operator's settlement is no end: an output turns it `succeeded`, corrects the money and tells.
   * Above the reservation it is booked in full, up to ten times; beyond that ten times is booked, as an assumption. Then, and after two overruns of a model
   * in a row, the model's breaker is tripped: its price is unsure.
   * An output that is too long for a row is laid aside; the row given back has it all the same, for the callers who are there. No cache name leads to it.
   */
  finish: (id: string, attempt: number, requestId: string, ending: Ending, log?: LogPiece, upstream?: string | null) => Promise<Weighed | null>

  // Leases

  /**
   * Signs of life of `replica`, also when it holds nothing, and for what it holds. Gives back the ids that it does not hold any more, and the facts' ids whose
   * rows are older than the facts (a rollback). A replica that follows a double of a row holds that, also when another one has the row. With no such fact it
   * says that this replica has put back all that it knows, unless these are only a part of that (`isPart`).
   */
  renew: (replica: string, facts: readonly Omit<Fact, 'terms'>[], isPart?: boolean) => Promise<{ readonly gone: readonly string[], readonly rolledBack: readonly string[] }>
  /**
   * Writes rows from their owner's facts after a rollback, over the budget if need be, and the names that led to them (rule 22). A name that leads to a row
   * which still waits and was never granted an attempt goes to the restored row, and the other becomes its alias: money, rate and position are given back,
   * its waiters hear of the restored one, and its own id goes on being known. Any other row keeps the name; gives how many did.
   */
  restore: (replica: string, facts: readonly Fact[]) => Promise<{ readonly contested: number }>
  /** `replica` leaves, and lets go of generations so that another one takes them over at once. */
  release: (replica: string, ids: readonly string[]) => Promise<void>
  /**
   * Looks after at most `max` rows that are due: waiting past their deadline → `failed` unspent; lease run out → taken over by `replica` and given back to it
   * (after five times `unknown`), unless this process has no key of the account: it waits for one that has, and is `unknown` when its time to run is over; retention over → forgotten. Rows that are `unknown`, or were settled since, and have a request id are given back to be
   * asked about at fal (rule 34): after 30 s, then ever more rarely, at most two a second on all replicas together.
   */
  sweep: (replica: string, max: number) => Promise<readonly Taken[]>
  /**
   * A heartbeat of `replica`, once a second. Gives the replicas that went silent: they had a heartbeat within the last lease and none for two seconds, and look
   * after something that `takeOver` would give. None while claims wait after a failover: for a while nobody could have a heartbeat.
   */
  heartbeat: (replica: string) => Promise<readonly string[]>
  /**
   * Gives `replica` at most `max` generations of one that went silent and does not answer, before their leases run out. Only such that fal has accepted under a
   * request id: should it be alive after all, both follow them, and nothing is bought. What was taken over twice waits for its lease; so does a submit under
   * way. Nothing when `silent` has had a heartbeat meanwhile.
   */
  takeOver: (replica: string, silent: string, max: number) => Promise<readonly Taken[]>
  /** At most `max` events of the outbox, oldest first, each given to one caller only. Of a row that is forgotten there is none. */
  takeOutbox: (max: number) => Promise<readonly OutboxEvent[]>
  /** Is it this call that does `what` for all replicas? True for one call, and then for none for so long. `what` is one of a few names. */
  once: (what: string, forMs: number) => Promise<boolean>
  /** At most `max` successes with files that are due to be stored, each given to one caller for a while: what dies with that is tried again. */
  takeMissing: (max: number) => Promise<readonly Generation[]>
  /** Of a success some files are stored, or never will be. Taken only where its places are what they `was`. Gives the row as it now is, or null. */
  keepFiles: (id: string, was: Media, media: Media) => Promise<Generation | null>

  /** The files of a success are not where its output says any more: from then on no cache name leads to it. A key still does, since it never buys twice. Twice is harmless. */
  noteDeadLinks: (id: string) => Promise<void>

  // Stored files, counted by reference (rule 42)

  /** A file is about to be stored, and a generation will refer to it: it is known from now on, whatever becomes of who stores it. `maxBytes`: the room for all of them; `null`: any. */
  expectFile: (name: string, bytes: number, maxBytes: number | null) => Promise<Expectation>
  /**
   * At most `max` files that nothing has referred to for as long as the terms say, the longest first, each given to one caller for two minutes. Who is given one removes it
   * within the first of them, and says so. In crowded room some go sooner, but none before `idleMs`.
   */
  takeOrphans: (max: number, terms: RemovalTerms) => Promise<readonly CondemnedFile[]>
  /** These are removed. What was given to another process since is that one's to say. Gives those that something refers to by now all the same. */
  filesGone: (files: readonly CondemnedFile[]) => Promise<readonly string[]>
  /** An operator takes these out: they are not stored again, and are removed once more in an hour, when nobody stores them any more who had begun. */
  withdrawFiles: (names: readonly string[]) => Promise<void>
  /** Some of the stored files, in no order. What comes or goes meanwhile may be told twice, or not at all. */
  keptFiles: (after: string | null) => Promise<KeptPage>
  /** Which of these files, found where they are stored, the ledger knows nothing of. With `isTaking` they are orphans from now on, since they were stored. The lengths of others are noted. */
  meetFiles: (found: readonly FoundFile[], isTaking: boolean) => Promise<readonly string[]>

  // Webhooks: kept with the row of the purchase, bought, joined, adopted, replayed or hit in the step that notes them

  /**
   * At most `max` webhooks that are due, each given to one caller for a while: what dies with that is given to another one, as one more try that failed. A webhook is due when its
   * generation has ended or become `unknown`, and again when an `unknown` becomes something else; one event after the other, but for an `unknown` that nobody
   * was told of when it changed. In turns of the tenants, that which waits for longest first, of each the oldest and at most eight; none of `exceptTenants`.
   */
  takeHooks: (max: number, exceptTenants: readonly string[]) => Promise<readonly DueHook[]>
  /** What became of that delivery. Another outcome than `delivered` is taken from its holder only. Was it taken? */
  hookTried: (tried: TriedHook, then: HookOutcome) => Promise<boolean>
  /** Those that are not told yet, longest due first, then those that were given up, newest first. */
  hooks: (search: HookSearch) => Promise<readonly SeenHook[]>
  /** An operator's word: what this generation's webhooks told last, or have to tell, is due now, as if it had not been tried. `id`: as its reader knows it. */
  sendHooksAgain: (id: string) => Promise<SentAgain>

  // Delivery

  /** This generation's own answer reached the socket `connection`, or was fetched by id (`connection` null): it is delivered. For a connection, only if it is the one written there. Its version stays, and nobody is told. */
  seen: (id: string, connection: Connection | null) => Promise<void>
  /** The caller at `connection` is gone without an answer; only if it is the one written there. Shortens a waiting generation's deadline to 60 s, when it was keyless and nobody joined it. */
  left: (id: string, connection: Connection) => Promise<void>
  /** Which of these connections of another replica are open? Asked on the events channel; no answer in time means none. */
  askOpen: (replica: string, connections: readonly string[]) => Promise<ReadonlySet<string>>
  /**
   * Is another replica there? Asked on the events channel, too. `silent`: it did not answer in time. `unheard`: messages do not arrive here just now, so that
   * silence proves nothing.
   */
  askThere: (replica: string) => Promise<'there' | 'silent' | 'unheard'>
  /** Answers such questions for `replica` until the returned function is called. */
  answerOpen: (replica: string, isOpen: (connection: string) => boolean) => () => void

  // Readers

  /** The generation with this id, own or through an alias (whose id it then shows), or null: unknown, expired or somebody else's. */
  read: (id: string, reader: Reader) => Promise<Generation | null>
  /** A success that this cache name leads to, which may be a `reuseName`. Changes nothing. */
  lookup: (cacheName: string) => Promise<Generation | null>
  /**
   * What `admit` would answer now to an admission that is none yet, and the figures that it would go by. Changes nothing, so that it is no promise: the next
   * operation may change the answer. It has no deadline, and its id stands for nothing.
   */
  preview: (admission: Omit<Admission, 'deadlineMs'>) => Promise<Preview>
  /** Newest first. */
  list: (reader: Reader, page: { readonly limit: number, readonly cursor: string | null, readonly status: Status | null }) => Promise<Page>
  /**
   * The rows with these ids, for processes that wait for them or tend them: no reader is checked, and of aliases only those are known that were rows
   * themselves (see `restore`): they are shown as their readers see them.
   */
  getMany: (ids: readonly string[]) => Promise<readonly Generation[]>
  /** The same without what is large: for looking at many, often. A position in our own queue is told as it is now; it moves without a new version. */
  getStatuses: (ids: readonly string[]) => Promise<readonly Change[]>
  /**
   * The output of a success that is too long for its row (`large`), by the id of its purchase. It lies aside for an hour; `null` afterwards, and where there was
   * no room for it when the generation ended. Like `getMany` it checks no reader.
   */
  aside: (id: string) => Promise<string | null>
  /**
   * Lines of fal's log from the `from`th on (0 is the first), as far as they are kept: the last 200 and at most 32 KiB, as long as the row.
   * Like `getMany` it checks no reader and knows no aliases; nothing for a row that is not there.
   */
  logs: (id: string, from: number) => Promise<LogPiece>
  /** Calls `listener` with every change of every generation until the returned function is called. May lose some: `getMany` again. */
  listen: (listener: (change: Published | 'look-again') => void) => () => void

  // Small compare-and-sets

  /**
   * Waiting: closed, unspent. Submitting or later: notes the wish and wakes the owner. Refused when anybody ever joined. Through an alias it only lets go of it.
   * From the wish on no name leads to it, so that a caller who asks for the same buys its own; if it succeeds all the same, it takes names that are free.
   */
  cancel: (id: string, reader: Reader) => Promise<Cancelled>
  /**
   * A reader's word that an ended generation is to be forgotten for good (rule 44): its row, log and output go, no replica puts it back, and every process that has something of it
   * in memory is told. What it cost stays booked, and its keys stay bound (`gone`). Through an alias it lets go of that alone. Again within 24 hours it answers the same.
   */
  erase: (id: string, reader: Reader) => Promise<Erased>
  /** An operator's word on an `unknown` older than ten minutes: billed (at the reserved price) or not. */
  settle: (id: string, billed: boolean) => Promise<Settled>
  /**
   * An operator's word on what one that has ended cost, or with `null` that what was booked is right. The difference is booked, either way; what was reserved
   * stays as it was. Closes the model's breaker when its price was unsure. The same word again changes nothing.
   */
  correct: (id: string, cost: MicroUsd | null) => Promise<Corrected>
  /** Tells the breaker a word of its own, without evidence. Gives the state that holds now. */
  breaker: (scope: string, report: Omit<BreakerReport, 'scope' | 'tenantFirst'>) => Promise<Breaker>
  /** Of tenants only those that are not ok or count failures, and no more than sixteen. */
  breakers: () => Promise<readonly Breaker[]>
  /** `full`: the tenant has as many live tokens as it may (`maxTokens`). The same id again changes nothing. */
  mint: (token: Token) => Promise<{ readonly outcome: 'minted' | 'full' }>
  token: (id: string) => Promise<Token | null>
  /** A page of at most `limit` (up to 100) live tokens; `after` is the id of the last one on the page before. */
  tokens: (tenant: string, page: { readonly limit: number, readonly after: string | null }) => Promise<TokenPage>
  revoke: (id: string, tenant: string) => Promise<boolean>
  /** Kept until it is taken or has ended. How many there are is bounded by the calls that a tenant may make. */
  issueTicket: (ticket: Ticket) => Promise<void>
  /** Gives a ticket to one of those who ask for it, on all replicas together, and `null` to the others, and after its end. */
  takeTicket: (sha256: string) => Promise<Ticket | null>

  // Books

  balances: (accounts: readonly Pick<Budget, 'owner' | 'per'>[]) => Promise<readonly Balance[]>
  /** Those that are unknown for longest come first. */
  unknowns: (limit: number) => Promise<readonly OpenUnknown[]>
  /** Oldest first, from `fromMs` on and before `toMs`; with `after` only what follows the line with this cursor. Fewer than `limit` lines: these are the last. */
  journal: (fromMs: number, toMs: number, limit: number, after?: string) => Promise<readonly JournalEntry[]>
  gauges: () => Promise<Gauges>

  // Those on call

  /** How each of these tenants stands in the line, in their order. */
  standings: (tenants: readonly string[]) => Promise<readonly Standing[]>
  /** At most `limit` of the last 200 that failed, the latest first, as long as their rows are kept; of `tenant` alone unless it is `null`. */
  failures: (limit: number, tenant: string | null) => Promise<readonly FailedGeneration[]>
  /** At most 100 replicas that had a heartbeat within the last lease, the latest heartbeat first. */
  replicas: () => Promise<readonly SeenReplica[]>

  /** Ends subscriptions and connections. Twice is harmless. */
  close: () => Promise<void>
}

/** What also a process of another account may do: look, but be given no stored result in place of a purchase. */
export const openOperations = ['ping', 'read', 'list', 'getMany', 'getStatuses', 'aside', 'logs', 'breakers', 'token', 'tokens', 'balances', 'unknowns', 'journal', 'gauges', 'standings', 'failures', 'replicas', 'keptFiles', 'hooks'] as const satisfies readonly (keyof Ledger)[]

/** Facts for gauges. */
export interface Gauges {
  readonly waiting: ReadonlyMap<string, number>
  /** Slots at fal in use, with all accounts. */
  readonly atUpstream: number
  /** By account, all that the ledger has, its first one first. */
  readonly accounts: readonly AccountGauge[]
  readonly unknownOpen: number
  /** The admission time of the oldest open unknown. */
  readonly unknownOldestMs: number | null
  /** What lies aside, in bytes. */
  readonly asideBytes: number
  /** Stored files, how long they are together, and how many of them nothing refers to. */
  readonly keptFiles: number
  readonly keptBytes: number
  readonly orphans: number
  /** Ended generations of which somebody is still to be told. */
  readonly hooksDue: number
  /** Since when the oldest of these should have been told. */
  readonly hooksOldestMs: number | null
  /** Generations with a webhook that was given up. */
  readonly hooksGivenUp: number
}

/** How an account of the ledger stands. */
export interface AccountGauge {
  /** As rows name it; `null`: the only one, of a ledger that no account was named to. */
  readonly upstream: string | null
  /** Slots at fal in use. */
  readonly used: number
  /** How many may be used at most, since fal took no more; `null` when nothing was heard of that. */
  readonly open: number | null
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
