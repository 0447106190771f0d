// What the purchase that this process has of a generation is to the ledger.
//
//   none      fal has given no request id that was heard of here
//   untold    fal gave one here, and the ledger has not said yet whether it is the row's
//   presumed  the same, and the ledger cannot say now: until it can, the purchase counts as the row's
//   own       it is the row's
//   double    the row has another: this one is a second purchase beside it (rule 21)
//   refused   the row has none, because the request id stands for another generation (rule 32)
//
//   from \ event          | accepted | ledger away | written: no id | written: this id | written: another id | read: this id | read: another id
//   ----------------------|----------|-------------|----------------|------------------|---------------------|---------------|-----------------
//   none                  | untold   | none        | none           | –                | own                 | –             | own
//   untold                | –        | presumed    | refused        | own              | double              | –             | –
//   presumed              | –        | presumed    | refused        | own              | double              | presumed      | the ledger is told
//   own                   | –        | own         | refused        | own              | double              | own           | the ledger is told
//   double, refused       | –        | the same    | refused        | own              | double              | the same      | the same
//
// "Written" is the row that the ledger answered a piece of evidence with, so it was told of the purchase. "Read" is a row that was only looked at: it may be
// from before that, and decides nothing. A row that is gone counts as the ledger that is away. Nothing is read while something is unwritten, so there is
// no reading of what is untold.

import type { Generation } from '../generation.ts'

type Known = Pick<Generation, 'requestId'>

export type Purchase =
  | { readonly kind: 'none' }
  | { readonly kind: 'untold', readonly requestId: string, readonly decide: () => void, readonly decided: Promise<void> }
  | { readonly kind: 'presumed' | 'own' | 'double' | 'refused', readonly requestId: string }

/** As a process is given a row. */
export function purchaseOf ({ requestId }: Known): Purchase {
  return requestId === null ? { kind: 'none' } : { kind: 'own', requestId }
}

/** fal took it under this id. `decided` resolves when that is not untold any more. */
export function bought (requestId: string): Purchase {
  let decide = (): void => {}
  const decided = new Promise<void>(resolve => { decide = resolve })
  return { kind: 'untold', requestId, decide, decided }
}

/** The ledger cannot say what it is. */
export function withoutAnswer (purchase: Purchase): Purchase {
  return purchase.kind === 'untold' ? { kind: 'presumed', requestId: purchase.requestId } : purchase
}

/** The ledger was told of it, and answered with this row. */
export function afterAnswer (purchase: Purchase, row: Known): Purchase {
  if (purchase.kind === 'none') return purchaseOf(row)
  const { requestId } = purchase
  return { kind: row.requestId === requestId ? 'own' : row.requestId === null ? 'refused' : 'double', requestId }
}

/** A row was read that {@link isUntoldTo} does not hold of. */
export function afterReading (purchase: Purchase, row: Known): Purchase {
  return purchase.kind === 'none' ? purchaseOf(row) : purchase
}

/** Has a row that was read another purchase, though the ledger has not said of this one that it stands beside it? */
export function isUntoldTo (row: Known, purchase: Purchase): purchase is Extract<Purchase, { readonly requestId: string }> {
  return purchase.kind !== 'none' && !isBeside(purchase) && row.requestId !== null && row.requestId !== purchase.requestId
}

/** Is the row not this purchase's to go on with? */
export function isBeside ({ kind }: Purchase): boolean {
  return kind === 'double' || kind === 'refused'
}
