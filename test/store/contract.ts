// What every ledger has to keep, whatever it is stored in. A store's own test hands in how to make one.

import type { Test } from 'tap'
import { accounts } from './contract/accounts.ts'
import { admission } from './contract/admission.ts'
import { aliases } from './contract/aliases.ts'
import { asides } from './contract/asides.ts'
import { atOnce } from './contract/at-once.ts'
import { books } from './contract/books.ts'
import { breakers } from './contract/breakers.ts'
import { decisions } from './contract/decisions.ts'
import { doubts } from './contract/doubts.ts'
import { duplicates } from './contract/duplicates.ts'
import { ends } from './contract/ends.ts'
import { evidence } from './contract/evidence.ts'
import { failovers } from './contract/failovers.ts'
import { kept } from './contract/kept.ts'
import { leases } from './contract/leases.ts'
import { limits } from './contract/limits.ts'
import { lists } from './contract/lists.ts'
import { logs } from './contract/logs.ts'
import { many } from './contract/many.ts'
import { media } from './contract/media.ts'
import { names } from './contract/names.ts'
import { outbox } from './contract/outbox.ts'
import { overview } from './contract/overview.ts'
import { owners } from './contract/owners.ts'
import { previews } from './contract/previews.ts'
import { questions } from './contract/questions.ts'
import { queue } from './contract/queue.ts'
import { readers } from './contract/readers.ts'
import { requests } from './contract/requests.ts'
import { restoredNames } from './contract/restored-names.ts'
import { reuse } from './contract/reuse.ts'
import { rollbacks } from './contract/rollbacks.ts'
import { silence } from './contract/silence.ts'
import { twins } from './contract/twins.ts'
import type { MakeStore } from './contract/world.ts'

/** Runs the whole suite; each test gets an empty store. */
export async function contract (t: Test, make: MakeStore): Promise<void> {
  const groups = { admission, previews, lists, names, reuse, aliases, duplicates, twins, limits, queue, atOnce, breakers, evidence, doubts, requests, logs, books, asides, media, kept, leases, silence, rollbacks, restoredNames, failovers, decisions, ends, questions, many, outbox, readers, overview, owners, accounts }
  for (const [name, group] of Object.entries(groups)) await t.test(name, async t => group(t, make))
}
