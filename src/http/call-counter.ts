// How many calls each tenant has made in the window that runs for it: in this process, in one turn, because every call is counted.

import type { Limit } from '../tenants/book.ts'

/** A call, once it is counted. */
export interface CountedCall {
  readonly isExceeded: boolean
  /** Calls that are left in the window. */
  readonly left: number
  /** Whole seconds until the window ends, at least one. */
  readonly resetSeconds: number
}

/** Tenants that are counted at once; more than any tenants file is expected to have. The one whose window began longest ago makes room. */
const MAX_TENANTS = 10_000

/** Counts calls against one limit, by the tenant's id. A window begins with the first call after the one before has ended. `now`: milliseconds that never go back. */
export function createCallCounter ({ max, windowSeconds }: Limit, now: () => number = () => performance.now()): (tenant: string) => CountedCall {
  const windowMs = windowSeconds * 1000
  const windows = new Map<string, { endsAtMs: number, calls: number }>()

  function windowOf (tenant: string, nowMs: number): { endsAtMs: number, calls: number } {
    const running = windows.get(tenant)
    if (running !== undefined && nowMs < running.endsAtMs) return running
    const begun = { endsAtMs: nowMs + windowMs, calls: 0 }
    // In the order in which they began.
    windows.delete(tenant)
    windows.set(tenant, begun)
    const [oldest] = windows.keys()
    if (windows.size > MAX_TENANTS && oldest !== undefined) windows.delete(oldest)
    return begun
  }

  return tenant => {
    const nowMs = now()
    const window = windowOf(tenant, nowMs)
    window.calls += 1
    return { isExceeded: window.calls > max, left: Math.max(0, max - window.calls), resetSeconds: Math.max(1, Math.ceil((window.endsAtMs - nowMs) / 1000)) }
  }
}
