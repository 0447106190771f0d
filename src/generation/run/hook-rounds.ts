// Webhooks that are due are taken once a second and sent, by whichever process. What a process takes and does not bring to an end is given to another one.

import type { OnTrouble } from '../../trouble.ts'
import type { DeliverHook, DueHook } from '../hooks.ts'
import { ledgerConstants } from '../ledger-constants.ts'
import type { Ledger } from '../ledger.ts'

export interface HookRoundsDeps {
  readonly ledger: Pick<Ledger, 'takeHooks' | 'hookTried'>
  readonly deliver: DeliverHook
  /** Ends what is under way. */
  readonly stopped: AbortSignal
  readonly onTrouble: OnTrouble
}

export interface HookRounds {
  /** Takes what there is room for. Never rejects. */
  readonly round: () => Promise<void>
  /** Takes nothing more. */
  readonly stop: () => void
  /** Resolves when nothing is under way, also of what is being taken just now. */
  readonly settled: () => Promise<void>
}

/** Deliveries of one process that are under way at once. */
const AT_ONCE = 64

export function createHookRounds ({ ledger, deliver, stopped, onTrouble }: HookRoundsDeps): HookRounds {
  const underWay = new Map<Promise<void>, string>()
  let taking: Promise<void> | null = null
  let isStopped = false

  async function take (): Promise<void> {
    const room = AT_ONCE - underWay.size
    if (room <= 0) return
    try {
      for (const hook of await ledger.takeHooks(room, busyTenants())) begin(hook)
    } catch (error) {
      onTrouble('take-webhooks', error)
    }
  }

  /** Receivers that take their time hold up nobody but their own tenant. */
  function busyTenants (): readonly string[] {
    const counts = new Map<string, number>()
    for (const tenant of underWay.values()) counts.set(tenant, (counts.get(tenant) ?? 0) + 1)
    return [...counts].filter(([, count]) => count >= ledgerConstants.maxHooksAtOnce).map(([tenant]) => tenant)
  }

  function begin (hook: DueHook): void {
    const work = send(hook).finally(() => { underWay.delete(work) })
    underWay.set(work, hook.tenant)
  }

  async function send (hook: DueHook): Promise<void> {
    try {
      const outcome = await deliver(hook, stopped)
      if (outcome !== null) await ledger.hookTried(hook, outcome)
    } catch (error) {
      onTrouble('note-webhook', error)
    }
  }

  return {
    round: async () => {
      if (isStopped) return
      taking ??= take().finally(() => { taking = null })
      await taking
    },
    stop: () => { isStopped = true },
    settled: async () => {
      await taking
      await Promise.all(underWay.keys())
    }
  }
}
