// Which outputs lie aside: the same for every store.

import { ledgerConstants } from '../generation/ledger-constants.ts'

/** The bytes of an output that is too long for a row, or null when the row has room for it. */
export function longBytesOf (output: string): number | null {
  // A character has at least one byte in UTF-8, and at most three.
  if (output.length * 3 <= ledgerConstants.maxOutputBytes) return null
  const bytes = Buffer.byteLength(output)
  return bytes > ledgerConstants.maxOutputBytes ? bytes : null
}
