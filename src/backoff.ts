// How long to wait before trying again, for everything that does: what was away is not asked by all at the same moment when it is back.

export interface Backoff {
  /** Before the second try. */
  readonly firstMs: number
  /** No pause is longer, but for the chance in it. */
  readonly mostMs: number
}

/** Doubles with each failure in a row (1 for the first), up to `mostMs`, in milliseconds. */
export function backoffMs (failures: number, { firstMs, mostMs }: Backoff): number {
  // 2 ** 30 times any pause is more than the most.
  return jittered(Math.min(firstMs * 2 ** Math.min(failures - 1, 30), mostMs))
}

/** A fifth of chance either way. */
export function jittered (ms: number): number {
  return ms * (0.8 + Math.random() * 0.4)
}
