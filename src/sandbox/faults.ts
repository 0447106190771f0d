// The faults that are set: which call they hit, how long a hanging one hangs, and whether jobs are held back.

import type { Fault, Operation } from './fault-schema.ts'
import { createTally } from './tally.ts'

/** A fault that was added. */
export interface SetFault {
  readonly fault: Fault
  /** How many calls it has hit so far. */
  readonly hits: number
  /** Resolves when it has hit at least that many calls; rejects when `signal` aborts. */
  untilHit (count?: number, signal?: AbortSignal): Promise<void>
  /** Lets calls that it hangs go on. Harmless with other kinds. */
  release (): void
  /** It hits no more calls, and those it hangs go on. */
  remove (): void
}

export interface Faults {
  /** Faults of one operation hit in the order in which they were added, one a call. */
  add (fault: Fault): SetFault
  readonly list: readonly SetFault[]
  /** Removes all faults and releases what hangs. Held jobs stay held. */
  clear (): void
  /** Jobs start but do not end until the returned function is called. Holds add up. */
  holdJobs (): () => void
  readonly holds: number
}

/** The side of the faults that only the sandbox uses. */
export interface FaultSwitches {
  readonly faults: Faults
  /** The fault that this call meets, used up by asking. */
  take (operation: Operation): TakenFault | null
}

export interface TakenFault {
  readonly fault: Fault
  /** Resolves when the fault is released. */
  readonly released: Promise<void>
}

export function createFaults (onHold: (held: boolean) => void): FaultSwitches {
  const set = new Set<Switch>()
  let holds = 0

  const faults: Faults = {
    add (fault) {
      const added = createSwitch(fault, () => { set.delete(added) })
      set.add(added)
      return added.face
    },

    get list () { return [...set].map(entry => entry.face) },

    clear () {
      for (const entry of set) entry.face.remove()
    },

    holdJobs () {
      let holding = true
      holds++
      onHold(true)
      return () => {
        if (!holding) return
        holding = false
        holds--
        onHold(holds > 0)
      }
    },

    get holds () { return holds }
  }

  return {
    faults,
    take (operation) {
      for (const entry of set) {
        const taken = entry.fault.operation === operation ? entry.take() : null
        if (taken !== null) return taken
      }
      return null
    }
  }
}

interface Switch {
  readonly fault: Fault
  readonly face: SetFault
  take (): TakenFault | null
}

function createSwitch (fault: Fault, onRemove: () => void): Switch {
  const hits = createTally('calls were hit by the fault')
  const times = fault.times === 'always' ? Infinity : fault.times ?? 1
  let toSkip = fault.skip ?? 0
  let release = (): void => {}
  const released = new Promise<void>(resolve => { release = resolve })

  return {
    fault,
    face: {
      fault,
      get hits () { return hits.count },
      untilHit: (count = 1, signal) => hits.until(count, signal),
      release,
      remove () {
        onRemove()
        release()
      }
    },
    take () {
      if (hits.count >= times) return null
      if (toSkip > 0) {
        toSkip--
        return null
      }
      hits.add()
      return { fault, released }
    }
  }
}
