// What may be wrong with the Redis or the disk that holds the ledger: names for the metric, for `/readyz`, and for the store that finds it out.

/**
 * - `evicts`: it throws keys away when its memory is full, the books first.
 * - `wrong-kind`: it is a Sentinel, or a node of a cluster that is used as a single server.
 * - `too-old`: it does not know what the ledger's scripts need.
 * - `not-persistent`: it keeps no log of its writes.
 * - `replica`: it is a copy of another server, and takes no writes.
 * - `rights`: its user may not run every command that the ledger needs.
 * - `foreign`: the ledger in it is that of another upstream account.
 */
export const redisFaults = ['evicts', 'wrong-kind', 'too-old', 'not-persistent', 'replica', 'rights', 'foreign'] as const

/**
 * - `disk-full`: there is no room left for what is new.
 * - `disk-failing`: it takes no writes for another reason, such as a file system that became read-only.
 */
export const diskFaults = ['disk-full', 'disk-failing'] as const
export type DiskFault = typeof diskFaults[number]

export const storeFaults = [...redisFaults, ...diskFaults] as const
export type StoreFault = typeof storeFaults[number]

/** A fault that was found, or is over. The sentence says what to do next. */
export interface StoreFaultChange { readonly fault: StoreFault, readonly isThere: boolean, readonly sentence: string }
