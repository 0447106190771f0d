// Limits that are part of the ledger's rules, not of the configuration.

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
  answerMs: 15 * 60_000,
  reattachableMs: 10 * 60_000,
  settleAfterMs: 10 * 60_000,
  /** What is left to a waiting generation whose keyless caller has gone. */
  abandonedMs: 60_000,
  maxTakeovers: 5,
  /** How long one is put off that a process cannot look after, since it has no key of its account. */
  keylessMs: 5000,
  /** After this long without a heartbeat a replica is asked whether it is there. */
  silentMs: 2000,
  /** After so many takeovers the next one waits for the lease. A process that stands still for seconds is not dead, and may not use up all of them. */
  maxEarlyTakeovers: 2,
  /** How many times its reservation a generation may cost at most, before an operator says so, and how many overruns in a row leave a model's price unsure. */
  maxOverrun: 10,
  maxOverrunsInARow: 2,
  /** How many browser tokens of one tenant may be alive at once, and for how long after its end one is still known. */
  maxTokens: 1000,
  tokenKeptMs: 3_600_000,
  /** How soon a caller that is refused because a price is unsure should ask again. */
  unsureRetryMs: 60_000,
  /** How long a waiting generation of such a model lets others go before it. */
  asideMs: 10_000,
  /** How many price rules of a model are remembered: the latest, and those that were replaced last. */
  maxPriceRules: 8,
  /** How many requests are admitted in one step. */
  maxAdmissions: 10,
  /** How many undelivered duplicates one admission names. */
  maxDuplicates: 8,
  /** How long fal may ask for a pause of all slots, and how soon one more is tried after it. */
  maxBusyMs: 60_000,
  busyStepMs: 5000,
  /** The pauses between questions about an unknown double from the first to the longest, for fal's hour and a little, counted from the claim. */
  firstQuestionMs: 30_000,
  maxQuestionMs: 600_000,
  askForMs: 66 * 60_000,
  minQuestions: 4,
  /** No more than two questions are asked within this, on all replicas together. */
  questionWindowMs: 1000,
  /** Breakers of tenants; more of them failing at once are the account's failure. */
  maxTenantBreakers: 16,
  /** How many different inputs of one tenant are remembered that failed last. */
  maxFailedInputs: 8,
  /** How many of those that failed last are looked at for the last ones, and how many replicas are shown. */
  maxFailureLooks: 200,
  /** How many of those that pause between attempts are looked at for the oldest, those first that go on first. */
  maxPauseLooks: 1000,
  maxShownReplicas: 100,
  /** What is kept of one generation's log: its last lines, as JSON text. */
  maxLogLines: 200,
  maxLogBytes: 32_768,
  /** Files that are not stored yet: how long one process has them alone, and how soon they are tried again at first and at last. */
  filesLeaseMs: 300_000,
  filesFirstPauseMs: 10_000,
  filesLastPauseMs: 21_600_000,
  /** Stored files: how long one that is announced is safe, how long one process has those alone that it removes, and from what share of their room on orphans go sooner. */
  expectedMs: 3_600_000,
  condemnedMs: 120_000,
  crowdedShare: 0.9,
  /** Webhooks: how many open ones a generation has at most, of how many generations one tenant's may be open, and how many of a tenant one call hands out. */
  maxHooks: 8,
  maxHookedGenerations: 1000,
  maxHooksAtOnce: 8,
  /** How long one process has a delivery alone, and how long a generation is kept for one that could not be made. */
  hookLeaseMs: 60_000,
  hookKeptMs: 86_400_000,
  /** The most generations whose webhooks an operator looks at. */
  maxHookLooks: 1000,
  /** A moment that does not come. */
  neverMs: Number.MAX_SAFE_INTEGER,
  /** The most entries that one operation tidies up, so that none takes long. */
  tidyPerCall: 32,
  /** About as many bytes of rows are handed out by one call of a store that is asked over a network. */
  rowsBytes: 1_048_576,
  journalMs: 92 * 86_400_000
} as const
