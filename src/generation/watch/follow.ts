// Following a generation: what a caller reads through the doors of how it goes on, as a stream of moments or by polls.

import type { Ledger } from '../ledger.ts'
import { createMoments, type Moments } from './moments.ts'
import { createPollCache, type PollCache } from './poll-cache.ts'
import { createTracks, type TracksDeps } from './tracks.ts'

export interface Follow extends Pick<PollCache, 'now' | 'nowKept'>, Pick<Moments, 'streams' | 'staying'> {
  /** See {@link Moments.read}. */
  readonly moments: Moments['read']
  /** Ends all streams of moments whose readers come back, now and from now on; polls go on. Twice is harmless. */
  readonly drain: () => void
  /** Ends everything. */
  readonly close: () => void
}

export function createFollow ({ ledger, watch, onTrouble }: TracksDeps & { readonly ledger: Pick<Ledger, 'read' | 'logs'> }): Follow {
  const tracks = createTracks({ ledger, watch, onTrouble })
  const moments = createMoments({ ledger, tracks })
  const polls = createPollCache({ ledger, tracks })
  return {
    now: polls.now,
    nowKept: polls.nowKept,
    moments: moments.read,
    get streams () { return moments.streams },
    get staying () { return moments.staying },
    drain: moments.drain,
    close: () => {
      moments.close()
      polls.close()
    }
  }
}
