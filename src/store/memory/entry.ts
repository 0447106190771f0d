// A row as the ledger in memory has it in its hands.

import type { Generation, Hidden } from '../../generation/generation.ts'

/** What is handed out of a row, and what the ledger alone knows of it. Both halves are replaced, never edited, so that rows handed out stay as they were. */
export interface Entry { row: Generation, hidden: Hidden }
