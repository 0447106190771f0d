// Which outputs lie aside, and what their rows tell of them: the same for every store.

import { createHash } from 'node:crypto'
import { ledgerConstants } from '../generation/ports.ts'
import type { Large } from '../generation/row.ts'

/** What a row tells of this output in its place, or null when the row has room for it. */
export function largeOf (output: string): Large | null {
  // A character has at least one byte in UTF-8, and at most three.
  if (output.length * 3 <= ledgerConstants.maxOutputBytes) return null
  const bytes = Buffer.byteLength(output)
  return bytes <= ledgerConstants.maxOutputBytes ? null : { bytes, sha256: createHash('sha256').update(output).digest('hex') }
}
