// Counting the ledger's counters and indexes again.

/**
 * Something that does not follow from the rows as it should.
 *
 * - `slots`, `aside` (bytes of large results), `running`, `waiting`, `held`, `pictures`, `money`: a counter, of the ledger, a tenant, an account, or a browser token.
 * - `turn`: a tenant's turn, when it has something to claim.
 * - `row`: a row's entry in an index; `stray`: an entry there that leads nowhere, or to a row that does not belong.
 * - `spent`: what an account has spent, with what its open unknowns may have cost, against the journal. Nothing tells which of the two is wrong, so it stays.
 */
export interface Difference {
  readonly what: 'slots' | 'aside' | 'running' | 'waiting' | 'held' | 'spent' | 'pictures' | 'money' | 'turn' | 'row' | 'stray'
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
