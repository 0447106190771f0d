// A generation as the ledger keeps it. Each field is declared here and nowhere else: its type, how stores keep it, and what a new row has in it.

import { isProblemCode, type FieldFault, type ProblemCode } from '../errors.ts'
import type { MicroUsd } from '../money.ts'
import { traceOfText, traceText, type TraceContext } from '../trace-context.ts'
import { bases, type Bases } from './bases.ts'
import { doubts, type Doubt } from './doubt.ts'
import { admitted, begin, decided, flag, initially, integer, integerOf, json, listOf, moment, or, orNull, pick, recordOf, text, textOf, word, type Admitted, type Begun, type Values } from './fields.ts'
import { hooks, NO_HOOKS } from './hook.ts'
import { media, type Media } from './media.ts'
import { isAtUpstream, phases, type Phase } from './phases.ts'

/** Who reads and pays: a tenant, and within it the holder of a browser token (`''` for the tenant's own keys). */
export interface Reader { readonly tenant: string, readonly subject: string }

/** The socket that waits for a generation: which process, and which connection of it. */
export interface Connection { readonly replica: string, readonly connection: string }

/** Why a generation failed, as its callers will be told. */
export interface Failure {
  readonly code: ProblemCode
  readonly detail: string
  /** fal's own lines for a refused input (`loc` as a JSON pointer), without the offending values. */
  readonly errors?: readonly FieldFault[]
}

/** A budget that one generation counts against: whose, and the UTC period that was current at its admission. */
export interface Account {
  /** The tenant's id, or `*` for the company. */
  readonly owner: string
  /** `2026-11-22` or `2026-11`. */
  readonly period: string
}

/** Positions in a tenant's own queue: someone waits, nobody waits, asked to stand behind. */
export type Priority = 'interactive' | 'background' | 'low'

const priorities: readonly Priority[] = ['interactive', 'background', 'low']

/** How a purchase deals with what is stored: `refresh` buys and takes the cache names when it succeeds; `bypass` never reads nor takes one. */
export type Mode = 'normal' | 'refresh' | 'bypass'

const modes: readonly Mode[] = ['normal', 'refresh', 'bypass']

/** A socket as one text: a process' name holds no space. */
export const connection = {
  kind: 'text',
  read: (kept: string | undefined): Connection => {
    const [replica = '', ...rest] = textOf(kept).split(' ')
    return { replica, connection: rest.join(' ') }
  },
  write: (value: Connection): string => `${value.replica} ${value.connection}`
} as const

/** What a row tells of an output that is too long for it. */
export interface Large { readonly bytes: number, readonly sha256: string }

/** As `<bytes> <sha256>`. */
const large = {
  kind: 'text',
  read: (kept: string | undefined): Large => {
    const [bytes, sha256] = textOf(kept).split(' ')
    return { bytes: integerOf(bytes), sha256: textOf(sha256) }
  },
  write: ({ bytes, sha256 }: Large): string => `${bytes} ${sha256}`
} as const

/** A trace as one text. */
export const trace = {
  kind: 'text',
  read: (kept: string | undefined): TraceContext | null => kept === undefined ? null : traceOfText(kept),
  write: (value: TraceContext | null): string | undefined => value === null ? undefined : traceText(value)
} as const

/** What is handed out of a row. Times are milliseconds of the ledger's clock; `null` is a field that is not there. */
export const rowFields = {
  /** Who pays. */
  tenant: admitted(text),
  subject: admitted(text),
  /** The endpoint id, such as `fal-ai/imagen4/preview/ultra`. */
  model: admitted(text),
  phase: initially<Phase>('waiting', word(phases)),
  /** Raised by one with every change that somebody waits for; not by a lease, nor by a delivery. */
  version: initially(1, integer),
  /** Submit attempts granted so far; evidence names the attempt it is about. */
  attempt: initially(0, integer),
  /** fal's id of this generation, once known. */
  requestId: initially(null, orNull(text)),
  /** The replica that looks after it. Says nothing about rights. */
  owner: initially(null, orNull(text)),
  /** How many times another replica took it over. */
  takeovers: initially(0, or(0, integer)),
  /** The socket whose delivery would make it delivered; `null` when nobody waits. */
  connection: admitted(orNull<Connection>(connection)),
  /** Which repetition of a call that caller makes, as its client counts them: 0 is the first time. */
  callerRetry: admitted(or(0, integer)),
  delivered: initially(false, flag),
  /** Somebody joined it once; set once, never cleared. Such a generation cannot be cancelled. */
  joined: initially(false, flag),
  cancelWished: initially(false, flag),
  priority: admitted(word(priorities)),
  /** The canonical JSON that is sent to fal; `null` once it ended, when it was longer than an ended row keeps (see `shedInput`). */
  input: admitted(orNull(text)),
  /** SHA-256 of the input, in hex, where it may be longer than an ended row keeps. */
  inputSha256: admitted(orNull(text)),
  /** The seed's digits, as asked or, once it ended, as answered. */
  seed: admitted(orNull(text)),
  /** The answer's JSON text, byte for byte as fal sent it. */
  output: initially(null, orNull(text)),
  /** Of an output that is too long for a row: it lies aside for an hour (see `Ledger.aside`), and `output` is `null`. */
  large: initially<Large | null>(null, orNull(large)),
  /** Where in the output addresses stand that are made for who asks; it is served with their base in the place of the stored one. */
  bases: initially<Bases | null>(null, orNull(bases)),
  /** Where in the output addresses of files stand that are stored here, or will be; it is served with links to them in their place. */
  media: initially<Media | null>(null, orNull(media)),
  failure: initially(null, orNull(json(failureIn))),
  /** What was reserved: the highest price of our table. */
  price: admitted(integer),
  /** The price of one unit when it was admitted, which fal's units are settled with; `null`: that of the whole call, in rows of an older version. */
  unitPrice: admitted<MicroUsd | null>(orNull(integer)),
  /** The digest of the model's price rule that it was admitted under; `null` in rows of an older version. */
  priceRule: admitted(orNull(text)),
  /** The most files that it may make, and once it succeeded how many it made, where that was told. A token's pictures are files. */
  files: admitted(or(1, integer)),
  /** What it cost, once settled; `null` while money is reserved. */
  cost: initially<MicroUsd | null>(null, orNull(integer)),
  /** The cost is our table's because fal named none, or ten times that because fal named an absurd one. */
  costAssumed: initially(false, flag),
  /** The cost is an operator's word, which no evidence changes. */
  corrected: initially(false, flag),
  accounts: decided<readonly Account[]>(json<readonly Account[]>(accountsIn)),
  /** The browser token whose pictures and money it counts against. */
  token: admitted(orNull(text)),
  /** The upstream account that it is bought with, as ledgers keep it: each claim chooses it. `null`, as in rows of an older version: the ledger's first. */
  upstream: decided<string | null>(orNull(text)),
  /** The trace of the request that it was bought for: what any replica does for it belongs there. */
  trace: admitted<TraceContext | null>(trace),
  /** The tenants with whom its result is shared; `null` when it is not to be stored. */
  cacheGroup: admitted(orNull(text)),
  /** Requests ahead of it at fal, when fal said so; before that the position in our own queue, when read. */
  queuePosition: initially<number | null>(null, orNull(integer)),
  createdAtMs: decided(moment),
  /** When fal began to work on it. */
  startedAtMs: initially<number | null>(null, orNull(moment)),
  finishedAtMs: initially<number | null>(null, orNull(moment)),
  /** Why its result is looked at again, and since when: fal is done with it, so it takes no slot there. Nothing of this is left when it has ended. */
  doubt: initially<Doubt | null>(null, orNull(word(doubts))),
  doubtSinceMs: initially<number | null>(null, orNull(moment)),
  /** `unknown`, or ended without a picture: how long it answers for its cache key or body all the same. A settlement does not lengthen it. */
  answersUntilMs: initially(0, or(0, moment)),
  /** Lines of fal's log told so far; the last of them are kept, see the ledger's `logs`. */
  logged: initially(0, or(0, integer)),
  /** Since when it waits again, or waited before its last attempt, that is not its first; `null`: it has waited since its admission. */
  waitsSinceMs: initially<number | null>(null, orNull(moment)),
  /** It leaves the queue unspent when it still waits then. */
  waitUntilMs: decided(moment),
  /** Until when its caller wanted it to have started; `null` when the caller said nothing, or others wait for it, too. */
  startUntilMs: decided<number | null>(orNull(moment)),
  /** Set by each claim, since the time in the queue is no run: after this it is cancelled at fal, then `unknown`. */
  runUntilMs: initially<number | null>(null, orNull(moment))
}

/** A second purchase for one generation, which fal knows under a request id of its own. */
export interface Double {
  readonly requestId: string
  /** The upstream account that it was bought with; `null`: the ledger's first. */
  readonly upstream: string | null
  /** What is booked for it: the reserved price, until its own end names another. */
  readonly cost: MicroUsd
  /** It has ended at fal, so its cost is no assumption any more. */
  readonly ended: boolean
}

const NO_DOUBLES: readonly Double[] = []

/** Second purchases as one text; numbers are texts in it, as everywhere in the store. */
const doubles = {
  kind: 'text',
  read: (kept: string | undefined): readonly Double[] => listOf(JSON.parse(textOf(kept))).map(doubleIn),
  write: (value: readonly Double[]): string => JSON.stringify(value.map(({ requestId, upstream, cost, ended }) => ({ requestId, ...(upstream === null ? {} : { upstream }), cost: String(cost), ...(ended ? { ended: '1' } : {}) })))
} as const

const NONE: readonly string[] = []

/**
 * What a row was admitted under, and with it what leads to the row. Callers never see it; the replica that looks after the row is told, so that it can be put back
 * whole after the store went back in time (rule 22).
 */
export const termFields = {
  /** The cache name that it takes at admission, with `refresh` when it succeeds, with `bypass` never. Of a purchase that was asked for with `reuse` its `reuseName`. */
  cacheName: admitted(orNull(text)),
  /** The cache name that it took because its answer named a seed. */
  learnedName: initially<string | null>(null, orNull(text)),
  /** The cache name that it takes when it succeeds, from whatever success has it by then; `null` with `bypass`. Requests that ask for `reuse` look at it (rule 33). */
  reuseName: admitted(orNull(text)),
  duplicateName: admitted(orNull(text)),
  /** Its tenant wants one picture for equal requests (`twins: "join"`), so that it stays among its duplicates when it was delivered, as long as they may join it. */
  joinsTwins: admitted(flag),
  /** Admitted without an `Idempotency-Key`. */
  keyless: decided(flag),
  /** The name of its `Idempotency-Key`, and the fingerprint of the request that it stands for. */
  idempotencyName: decided<string | null>(orNull(text)),
  fingerprint: decided<string | null>(orNull(text)),
  mode: admitted(word(modes)),
  /** Who is told of it when it has ended. Its owner knows those that it was claimed with; the rest is lost with a store that goes back in time. */
  hooks: initially(NO_HOOKS, or(NO_HOOKS, hooks))
}

/** What the ledger alone keeps of a row. */
const ownFields = {
  /** Until when some `Idempotency-Key` leads to it: so long its end is kept, also when it is forgotten itself (rule 29). */
  keyedUntilMs: initially(0, or(0, moment)),
  /** The ledger's counter at admission: the order of lists, duplicates and lines. */
  number: decided(integer),
  /** The claim that holds attempt `attempt` while it is `submitting`. */
  claimId: initially<string | null>(null, orNull(text)),
  /** At fal: when another replica may take it over. */
  leaseUntilMs: initially(0, moment),
  /** Waiting: not claimable before this; 0 when it stands in the queue. */
  retryAtMs: initially(0, or(0, moment)),
  unknownSinceMs: initially(0, or(0, moment)),
  /** `unknown`, or settled since, with a request id: when fal is asked about it next, and how many questions there were. */
  askAtMs: initially<number | null>(null, orNull(moment)),
  questions: initially(0, or(0, integer)),
  /** Files of its output are not stored yet: when they are tried again. */
  filesAtMs: initially<number | null>(null, orNull(moment)),
  /** Its files are not where its output says any more: no cache name leads to it. */
  linksDead: initially(false, flag),
  /** An operator said what became of it: a booking, which an output found later corrects. */
  settled: initially(false, flag),
  /** Purchases beside the one that `requestId` stands for. */
  doubles: initially(NO_DOUBLES, or(NO_DOUBLES, doubles)),
  /** Request ids that fal gave for this generation and that belong to another one. */
  clashes: initially(NONE, or(NONE, json<readonly string[]>(parsed => listOf(parsed).map(textOf))))
}

/** What only the ledger knows about a row. */
export const hiddenFields = { ...termFields, ...ownFields }

/** A generation as the ledger hands it out. */
export interface Generation extends Values<typeof rowFields> {
  readonly id: string
  /** The id that changes are published and `getMany` is asked under: the same, unless this row was read through an alias. Never shown to callers. */
  readonly purchase: string
  /** A cache name leads here: its own, one learned from the answer's seed, or that of its input without a seed. */
  readonly stored: boolean
}

/** A row that fal knows under an id. */
export type Followed = Generation & { readonly requestId: string }

/** Has fal's id of it been heard of? */
export function hasRequestId (row: Generation): row is Followed {
  return row.requestId !== null
}

/** Does it take one of the slots at fal? What fal is done with does not, although its result is still looked for. */
export function hasSlot ({ phase, doubt }: Pick<Generation, 'phase' | 'doubt'>): boolean {
  return isAtUpstream(phase) && doubt === null
}

/** What it cost its reader: nothing through an alias, because somebody else bought it. */
export function costToReader ({ id, purchase, cost }: Pick<Generation, 'id' | 'purchase' | 'cost'>): MicroUsd | null {
  return id === purchase ? cost : 0
}

/** What a row was admitted under. */
export interface Terms extends Values<typeof termFields> {}

/** What a list shows of a generation, beside its input and output. Stores keep these together, so that a page of them is cheap to read. */
export const listedFields = {
  phase: rowFields.phase,
  model: rowFields.model,
  inputSha256: rowFields.inputSha256,
  seed: rowFields.seed,
  price: rowFields.price,
  cost: rowFields.cost,
  failure: rowFields.failure,
  large: rowFields.large,
  cancelWished: rowFields.cancelWished,
  queuePosition: rowFields.queuePosition,
  createdAtMs: rowFields.createdAtMs,
  startedAtMs: rowFields.startedAtMs,
  finishedAtMs: rowFields.finishedAtMs,
  doubtSinceMs: rowFields.doubtSinceMs,
  cacheGroup: rowFields.cacheGroup,
  answersUntilMs: rowFields.answersUntilMs
}

/** What may be long of a row, and is read only for those who show it. */
export const largeFields = ['input', 'output'] as const

/** A row without that. */
export type Brief = Omit<Generation, typeof largeFields[number]>

/** A generation as a list shows it. */
export interface Listed extends Values<typeof listedFields>, Pick<Generation, 'id' | 'purchase' | 'input' | 'output' | 'bases' | 'media'> {}

/** What only the ledger knows about a row. */
export interface Hidden extends Values<typeof hiddenFields> {}

/** What an admission says about the row that it may make. */
export interface AdmittedFields extends Admitted<typeof rowFields>, Admitted<typeof hiddenFields> {}

/** What a row with these hidden fields was admitted under. */
export function termsOf (hidden: Hidden): Terms {
  return pick(termFields, hidden)
}

/** The hidden fields of a row that is put back, but for those that the store decides. */
export function hiddenUnder (terms: Terms): Terms & Begun<typeof ownFields> {
  return { ...terms, ...begin(ownFields, {}) }
}

/** A new row as far as it follows from its admission; the rest is the store's to decide. */
export function beginRow (admission: AdmittedFields): { readonly row: Begun<typeof rowFields>, readonly hidden: Begun<typeof hiddenFields> } {
  return { row: begin(rowFields, admission), hidden: begin(hiddenFields, admission) }
}

/** Why a generation failed; a word that a newer replica knows and this one does not is told as the model's failure. */
export function problemCodeOf (word: string): ProblemCode {
  return isProblemCode(word) ? word : 'upstream-failed'
}

function failureIn (parsed: unknown): Failure {
  const failure = recordOf(parsed)
  const base = { code: problemCodeOf(textOf(failure['code'])), detail: textOf(failure['detail']) }
  return failure['errors'] === undefined ? base : { ...base, errors: listOf(failure['errors']).map(faultIn) }
}

function faultIn (value: unknown): FieldFault {
  const fault = recordOf(value)
  const base = { path: textOf(fault['path']), message: textOf(fault['message']), code: textOf(fault['code']) }
  return fault['ctx'] === undefined ? base : { ...base, ctx: recordOf(fault['ctx']) }
}

function doubleIn (value: unknown): Double {
  const double = recordOf(value)
  return { requestId: textOf(double['requestId']), upstream: double['upstream'] === undefined ? null : textOf(double['upstream']), cost: integerOf(double['cost']), ended: double['ended'] === '1' }
}

export function accountsIn (parsed: unknown): Account[] {
  return listOf(parsed).map(value => {
    const account = recordOf(value)
    return { owner: textOf(account['owner']), period: textOf(account['period']) }
  })
}
