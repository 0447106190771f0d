// A ledger on its way from one store to another: its entries as texts, by table and key, in the form in which the ledger on disk keeps them.

/** The texts of an entry, by the names of its fields. */
export type Image = Readonly<Record<string, string>>

/** The long texts of a row, which stand beside its image; what lies aside has an output only. */
export interface LongTexts { readonly input?: string, readonly output?: string }

/** One entry of a table. */
export interface Entry { readonly table: MovedTable, readonly key: string, readonly image: Image, readonly texts: LongTexts }

/**
 * The tables in the order in which they travel: what rows draw on comes before them, and what is taken out of the indexes that follow from rows behind.
 * The lines of the journal of money come last, oldest first.
 */
export const movedTables = ['tenants', 'books', 'tokens', 'tickets', 'breakers', 'prices', 'overruns', 'granted', 'lowered', 'kept', 'rows', 'logs', 'aliases', 'names', 'ends', 'passed', 'asides', 'outbox', 'journal'] as const

export type MovedTable = typeof movedTables[number]

/** Whose ledger it is, and what its clock said when it began to be read. */
export interface Identity {
  /** Its first account. */
  readonly upstream: string
  readonly otherAccounts: readonly string[]
  readonly clockMs: number
}

/** A whole ledger that can be read once. */
export interface LeavingLedger {
  readonly identity: Identity
  readonly entries: AsyncIterable<Entry>
  /** How many there are, about: for whoever waits. */
  readonly count: number
  /** Counters and other single values, once all entries were read. */
  readonly figures: () => Promise<Image>
}

/** What a store is given to take in. */
export interface ArrivingLedger {
  readonly identity: Pick<Identity, 'upstream' | 'otherAccounts'>
  readonly entries: AsyncIterable<Entry>
  /** To be read once all entries were. */
  readonly figures: () => Image
}

/** A place that has a ledger, or may have one. All reject with an {@link Unmovable} where that cannot be, and then have changed nothing. */
export interface MovingPlace {
  /** `isMove`: from here on no gateway changes anything in it. That is refused while one is there. Otherwise it may be used while it is read. */
  readonly leave: (isMove: boolean) => Promise<LeavingLedger>
  /** The file is whole, so it is moved away. */
  readonly left: () => Promise<void>
  /** An operator says that its file was imported nowhere. Gives its first account. */
  readonly takeBack: () => Promise<string>
  /** Makes it a place into which a ledger comes. It has none until `take` resolves, and may be begun again when that does not happen. */
  readonly arrive: () => Promise<Arrival>
}

/** Told how many entries are done so far, and of how many where that is known. */
export type OnCount = (done: number, all: number | null) => void

export interface Arrival {
  /** What the clock says there. */
  readonly nowMs: number
  /** `onCount` is told how many entries there were so far. */
  readonly take: (ledger: ArrivingLedger, onCount: (entries: number) => void) => Promise<void>
}

/** Why a ledger may not leave, or none may come in: a sentence for the operator. */
export class Unmovable extends Error {}
