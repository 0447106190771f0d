// A row for tests of what only looks at rows.

import type { Generation } from '../../src/generation/generation.ts'
import { createMemoryLedger } from '../../src/store/memory/ledger.ts'
import { admissionOf, times } from './admission.ts'

/** A generation as it is when it was bought just now: it waits in line. No ledger has it any more. */
export async function boughtRow (): Promise<Generation> {
  const ledger = createMemoryLedger({ times })
  const bought = await ledger.admit(admissionOf())
  await ledger.close()
  if (bought.outcome !== 'bought') throw new Error(bought.outcome)
  return bought.row
}
