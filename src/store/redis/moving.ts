// The ledger of a namespace as one that is moved: away from it, or into it.

import { movingMarkIn, movingSentence } from '../../upstream-account.ts'
import { Unmovable, type MovingPlace } from '../moving/entry.ts'
import { beginArrival } from './arrive.ts'
import type { Caller } from './caller.ts'
import type { Connection } from './connection.ts'
import { leavingLedger } from './leave.ts'
import type { MoveStep } from './wire-figures.ts'

interface MovingPlaceOptions {
  readonly caller: Caller
  readonly connection: Connection
  /** Of every key: `{<namespace>}:`. */
  readonly prefix: string
  /** Where it is, in words. */
  readonly place: string
  readonly now: () => number
  readonly leaseMs: number
  readonly readAside: (id: string) => Promise<string | null>
}

export function createMovingPlace ({ leaseMs, readAside, ...options }: MovingPlaceOptions): MovingPlace {
  const { caller, place } = options

  /** What stands in the way, as a sentence. */
  function obstacle ({ outcome, replicas, missing }: MoveStep): Unmovable {
    if (missing.length > 0) return new Unmovable(`The Redis user may not run ${missing.join(', ')}, which this needs: allow it (ACL SETUSER).`)
    if (outcome === 'empty') return new Unmovable(`${place}: there is no ledger`)
    if (outcome === 'alive') return new Unmovable(`${place}: gateways are running (${replicas.join(', ')}); stop all of them first. One that was killed is taken for running for ${leaseMs / 1000} s`)
    const mark = movingMarkIn(outcome)
    if (mark !== null) return new Unmovable(movingSentence(mark, place))
    return new Unmovable(`${place}: the ledger there is not one that was moved away`)
  }

  return {
    leave: async isMove => {
      const found = await caller.call('move', { step: isMove ? 'leave' : 'look' })
      if (found.upstream === null) throw obstacle(found)
      return await leavingLedger({ ...options, upstream: found.upstream, readAside })
    },
    left: async () => {
      const found = await caller.call('move', { step: 'left' })
      if (found.outcome !== 'left' && found.outcome !== 'moved') throw obstacle(found)
    },
    takeBack: async () => {
      const found = await caller.call('move', { step: 'takeBack' })
      if (found.upstream === null) throw obstacle(found)
      return found.upstream
    },
    arrive: async () => await beginArrival(options)
  }
}
