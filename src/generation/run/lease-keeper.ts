// Keeps the leases of what this process looks after, hears what it has lost to others, and puts back what the ledger has lost.
//
// One renewal:
//
//   asked    → renewed    the ledger has all that this process knows
//   asked    → restored   the ledger had lost some of it, and that was put back. What is put back counts when it is there, so it is asked once more
//   asked    → failed     the ledger is away; the next renewal asks again
//
// The keeper: idle → keeping (start) → idle (stop). A renewal may be asked for in both, and several may be under way.

import type { OnTrouble } from '../../trouble.ts'
import type { Ledger, LedgerTimes } from '../ledger.ts'
import type { Task } from './task.ts'
import type { Tasks } from './tasks.ts'

export interface LeaseKeeper {
  /** Renews at once, which tells the ledger that this process is there, and then again and again. */
  readonly start: () => Promise<void>
  /** Renews now. Never rejects. */
  readonly renew: () => Promise<void>
  readonly stop: () => void
}

export interface LeaseKeeperDeps {
  readonly ledger: Pick<Ledger, 'renew' | 'restore'>
  readonly replica: string
  readonly times: Pick<LedgerTimes, 'leaseMs'>
  readonly tasks: Pick<Tasks, 'facts'> & { readonly running: ReadonlyMap<string, Pick<Task, 'disown'>> }
  /** Told that the ledger had lost generations that this process knows, and how many names lead elsewhere since. */
  readonly onRestored: (generations: number, contested: number) => void
  readonly onTrouble: OnTrouble
}

/** How often leases are renewed: each lease outlasts two renewals that fail. */
export function renewalMsOf ({ leaseMs }: Pick<LedgerTimes, 'leaseMs'>): number {
  return Math.max(50, leaseMs / 3)
}

export function createLeaseKeeper ({ ledger, replica, times, tasks, onRestored, onTrouble }: LeaseKeeperDeps): LeaseKeeper {
  let timer: NodeJS.Timeout | undefined

  async function renew (): Promise<void> {
    if (await renewOnce() === 'restored') await renewOnce()
  }

  async function renewOnce (): Promise<'renewed' | 'restored' | 'failed'> {
    // The answer is about these. A task that begins meanwhile is not among those that are gone.
    const running = new Map(tasks.running)
    const facts = tasks.facts()
    try {
      const { gone, rolledBack } = await ledger.renew(replica, facts)
      for (const id of gone) running.get(id)?.disown()
      if (rolledBack.length === 0) return 'renewed'
      const lost = new Set(rolledBack)
      const { contested } = await ledger.restore(replica, facts.filter(({ row }) => lost.has(row.id)))
      onRestored(lost.size, contested)
      return 'restored'
    } catch (error) {
      onTrouble('renew-leases', error)
      return 'failed'
    }
  }

  return {
    start: async () => {
      timer = setInterval(() => { renew() }, renewalMsOf(times))
      await renew()
    },
    renew,
    stop: () => { clearInterval(timer) }
  }
}
