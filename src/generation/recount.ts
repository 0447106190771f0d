// Counting the ledger's counters and indexes again from its rows: `falgate ledger recount`.

/**
 * A counter or an index that is not what the rows say.
 *
 * - `slots`, `aside` (bytes of large results), `kept` (bytes of stored files), `running`, `waiting`, `held`, `pictures`, `money`: a counter of the ledger, of a tenant, of an account, or of a browser token.
 * - `turn`: a tenant's turn, when it has something to claim.
 * - `row`: a row's entry in an index; `stray`: an entry there that leads nowhere, or to a row that does not belong.
 * - `file`: how many generations refer to a stored file.
 * - `spent`: what an account has spent, with what its open unknowns may have cost, against the journal. Nothing tells which of the two is wrong, so it stays.
 */
export interface Difference {
  readonly what: 'slots' | 'aside' | 'kept' | 'running' | 'waiting' | 'held' | 'spent' | 'pictures' | 'money' | 'turn' | 'row' | 'stray' | 'file'
  /** Of which tenant, account, token, row, index or file. */
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

/** What a ledger can do whose counters outlive the processes that keep them. */
export interface Recounting {
  /**
   * Counts every counter and index again from the rows, and compares the books with the journal. With `isMending` what was counted is written. The ledger may be
   * used meanwhile. Only one count may run: when another one begins, this one rejects.
   */
  readonly recount: (given: {
    readonly isMending: boolean
    /** Runs between two of the pieces that it is done in. */
    readonly between?: () => Promise<unknown>
  }) => Promise<Recounted>
}
