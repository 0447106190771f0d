// A count that others can wait for, so that tests wait for things and not for time.

export interface Tally {
  readonly count: number
  add (): void
  /** Resolves when the count is at least `count`; rejects when `signal` aborts before. */
  until (count: number, signal?: AbortSignal): Promise<void>
  reset (): void
}

/** `what` completes the sentence "3 of 5 …" of the error that an aborted wait throws. */
export function createTally (what: string): Tally {
  const waits = new Set<() => void>()
  let count = 0

  return {
    get count () { return count },

    add () {
      count++
      for (const look of waits) look()
    },

    until (wanted, signal) {
      return new Promise((resolve, reject) => {
        function look (): void {
          if (count < wanted && signal?.aborted !== true) return
          waits.delete(look)
          signal?.removeEventListener('abort', look)
          if (count >= wanted) resolve()
          else reject(new Error(`${count} of ${wanted} ${what}`, { cause: signal?.reason }))
        }
        waits.add(look)
        signal?.addEventListener('abort', look)
        look()
      })
    },

    reset () { count = 0 }
  }
}
