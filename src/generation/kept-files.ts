// Stored files as the ledger counts them: by name, with how many generations refer to each. What nothing refers to is an orphan, and is removed after a while.

/** A stored file. */
export interface KeptFile {
  readonly name: string
  /** 0: nobody has said it yet. */
  readonly bytes: number
  /** How many generations have it in their output. */
  readonly references: number
  /** When the ledger first heard of it. */
  readonly sinceMs: number
  /** Since when nothing refers to it; `null`: something does, or it is being removed. */
  readonly orphanSinceMs: number | null
  /** An operator took it out: it is not stored again, whatever refers to it. */
  readonly isWithdrawn: boolean
}

/**
 * What becomes of a file that is about to be stored. `expected`: nobody removes it for an hour at least. `busy`: one of that name is just being removed, so that it is to be
 * tried again. `full`: there is no room for it. `withdrawn`: an operator took it out for good.
 */
export type Expectation = 'expected' | 'busy' | 'full' | 'withdrawn'

/** When files are removed that nothing refers to. */
export interface RemovalTerms {
  /** Not before: as long as somebody may have a link to one. */
  readonly idleMs: number
  /** So much longer, where there is room. */
  readonly keepMs: number
  /** The room that all files may take; `null`: whatever the place has. From nine tenths of it on the oldest go sooner. */
  readonly maxBytes: number | null
}

/** A file that is to be removed. `untilMs`: until when by nobody else, of the ledger's clock. */
export interface CondemnedFile { readonly name: string, readonly bytes: number, readonly untilMs: number }

/** Some of the stored files, and where to go on for others: `null` when these are the last. */
export interface KeptPage {
  readonly files: readonly KeptFile[]
  readonly next: string | null
  /** The ledger's time, which theirs are to be compared with. */
  readonly nowMs: number
}

/** A file that was found where files are stored. `ageMs`: how long it has been there. */
export interface FoundFile { readonly name: string, readonly bytes: number, readonly ageMs: number }
