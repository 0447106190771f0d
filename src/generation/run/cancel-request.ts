// Asks fal to stop one generation. Nobody waits for the answer, because the generation ends as fal ends it.
//
//   state   | it is to be stopped | fal answered | fal cannot be asked                    | released
//   --------|---------------------|--------------|----------------------------------------|---------
//   unasked | asking              | –            | –                                      | –
//   asking  | –                   | asked        | asking again, after five times: asked  | asked
//   asked   | –                   | –            | –                                      | –

import { backoffMs, type Backoff } from '../../backoff.ts'
import type { OnTrouble } from '../../trouble.ts'
import type { Followed } from '../generation.ts'
import type { Upstream } from '../upstream.ts'
import { sleep } from './sleep.ts'

/** Tries to reach fal. */
const TRIES = 5
const BACKOFF: Backoff = { firstMs: 1000, mostMs: 4000 }

/** The function that asks, the first time it is called. `released` ends its tries. */
export function createCancelRequest (upstreamOf: (account: string | null) => Pick<Upstream, 'cancel'>, onTrouble: OnTrouble, released: AbortSignal, backoff = BACKOFF): (row: Followed) => void {
  let isAsked = false

  async function ask (row: Followed): Promise<void> {
    for (let tries = 1; await upstreamOf(row.upstream).cancel(row.model, row.requestId, row) === 'unavailable' && tries < TRIES; tries++) {
      if (await sleep(backoffMs(tries, backoff), released) === 'interrupted') return
    }
  }

  return row => {
    if (isAsked) return
    isAsked = true
    ask(row).catch((error: unknown) => { if (!released.aborted) onTrouble('send-cancel', error) })
  }
}
