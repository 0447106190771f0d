// Asking the ledger until it is clear which undelivered duplicates still have a caller (rule 7).

import type { Admission, DuplicateAnswer, DuplicatesFirst } from '../admission.ts'
import type { Connection } from '../generation.ts'
import type { Ledger } from '../ledger.ts'

/** Rounds of asking whether the callers of undelivered duplicates are still there, eight a round: as many as a tenant's queue holds by default, so that each has its own picture. */
const MAX_DUPLICATE_ROUNDS = 16

/**
 * Asks the ledger, and the replicas that it names, until it does not name any more; the number of rounds is bounded. A repeated request may come before the end of
 * the connection that it repeats was noticed. So the first time that all these callers are said to be there, `pause` is waited for, and they are asked about once more.
 */
export async function settleDuplicates<Settled extends object> (
  ledger: Pick<Ledger, 'askOpen'>, ask: (known: Pick<Admission, 'duplicates' | 'lastRound'>) => Promise<Settled | DuplicatesFirst>, pause: (() => Promise<void>) | null = null
): Promise<Settled> {
  let hasPaused = pause === null
  let duplicates: readonly DuplicateAnswer[] = []
  for (let round = 1; ; round++) {
    const answer = await ask({ duplicates, lastRound: round === MAX_DUPLICATE_ROUNDS })
    if (!namesDuplicates(answer)) return answer
    if (round === MAX_DUPLICATE_ROUNDS) throw new Error('the ledger asked about duplicates in the last round')
    const answers = await askAboutDuplicates(ledger, answer.duplicates)
    duplicates = [...duplicates, ...answers]
    // What is asked later is asked late enough the first time.
    if (!hasPaused && answers.length > 0 && answers.every(({ open }) => open)) {
      hasPaused = true
      await pause?.()
      duplicates = await askAboutDuplicates(ledger, duplicates)
    }
  }
}

function namesDuplicates (answer: object): answer is DuplicatesFirst {
  return 'outcome' in answer && answer.outcome === 'duplicates'
}

/** One question for each replica that holds connections of duplicates. */
async function askAboutDuplicates (ledger: Pick<Ledger, 'askOpen'>, duplicates: readonly (Connection & { readonly id: string })[]): Promise<readonly DuplicateAnswer[]> {
  const replicas = [...new Set(duplicates.map(duplicate => duplicate.replica))]
  const answers = await Promise.all(replicas.map(async replica => {
    const theirs = duplicates.filter(duplicate => duplicate.replica === replica)
    const open = await ledger.askOpen(replica, theirs.map(duplicate => duplicate.connection))
    return theirs.map(duplicate => ({ ...duplicate, open: open.has(duplicate.connection) }))
  }))
  return answers.flat()
}
