// Says once a second that this process is there, and goes on with what others followed at fal that are not there any more, before their leases run out (rule 40).
//
//   state   | a heartbeat is answered                     | it fails, or comes late        | the time to come back is over
//   --------|---------------------------------------------|--------------------------------|------------------------------
//   sure    | each replica that went silent is asked      | unsure; late: leases are       | –
//           | whether it is there, and is taken over from | renewed, which tells what was  |
//           | when it does not answer                     | taken over from this process   |
//   unsure  | –                                           | the same                       | sure
//
// Where this process could not reach the ledger, or stood still, others may have been in the same case: nobody is judged until they could say that they are there.

import type { OnTrouble } from '../../trouble.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Ledger } from '../ledger.ts'
import type { Tasks } from './tasks.ts'

export interface Heartbeat {
  /** The first heartbeat at once, and then again and again. */
  readonly start: () => void
  /** One heartbeat, and what follows from its answer. Never rejects. */
  readonly beat: () => Promise<void>
  readonly stop: () => void
}

export interface HeartbeatDeps {
  readonly ledger: Pick<Ledger, 'heartbeat' | 'askThere' | 'takeOver'>
  readonly replica: string
  readonly tasks: Pick<Tasks, 'take'>
  /** Tells the ledger what this process looks after, and hears what others have. */
  readonly renew: () => Promise<void>
  /** Fires when this process begins to leave: it takes nothing over any more. */
  readonly leaving: AbortSignal
  /** Told that a replica went silent, and how many generations are followed here in its place. */
  readonly onSilent: (replica: string, generations: number) => void
  readonly onTrouble: OnTrouble
  /** Monotonic milliseconds. */
  readonly clock?: () => number
}

const BEAT_MS = 1000

/** Generations taken over at once; what is left is taken with the next heartbeat. */
const TAKE_OVER_MAX = 100

/** How long others may need to reach the ledger once it is there again (see the pauses in `store/redis/clients.ts`). */
const COMING_BACK_MS = 3000

export function createHeartbeat (deps: HeartbeatDeps): Heartbeat {
  const { ledger, replica, tasks, leaving, clock = () => performance.now() } = deps
  /** Replicas that are being asked. */
  const asking = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  /** When the latest one was answered; as long as none was, when the first one failed. */
  let latestMs: number | undefined
  let sureFromMs = -Infinity

  async function beat (): Promise<void> {
    const isLate = latestMs !== undefined && clock() - latestMs >= ledgerConstants.silentMs
    try {
      const silent = await ledger.heartbeat(replica)
      latestMs = clock()
      if (isLate) {
        sureFromMs = latestMs + COMING_BACK_MS
        deps.renew()
      }
      if (latestMs >= sureFromMs) await Promise.all(silent.map(goOnFor))
    } catch (error) {
      const nowMs = clock()
      sureFromMs = nowMs + COMING_BACK_MS
      latestMs ??= nowMs
      // A single one is not missed by anybody.
      if (nowMs - latestMs >= ledgerConstants.silentMs) deps.onTrouble('heartbeat', error)
    }
  }

  async function goOnFor (silent: string): Promise<void> {
    if (asking.has(silent) || leaving.aborted) return
    asking.add(silent)
    try {
      if (await ledger.askThere(silent) !== 'silent' || leaving.aborted) return
      const taken = await ledger.takeOver(replica, silent, TAKE_OVER_MAX)
      if (taken.length > 0) deps.onSilent(silent, taken.length)
      for (const each of taken) tasks.take(each, null)
    } catch (error) {
      deps.onTrouble('sweep', error)
    } finally {
      asking.delete(silent)
    }
  }

  return {
    start: () => {
      timer = setInterval(() => { beat() }, BEAT_MS)
      beat()
    },
    beat,
    stop: () => { clearInterval(timer) }
  }
}
