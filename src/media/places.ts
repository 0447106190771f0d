// Places for files on their way: so many at once, the others wait.

/** So many places for what goes on at once. Gives what frees one; `null`: the signal fired first. */
export function createPlaces (atOnce: number): (signal: AbortSignal) => Promise<(() => void) | null> {
  let free = atOnce
  const waiting = new Set<() => void>()
  const end = (): void => {
    free += 1
    const [next] = waiting
    next?.()
  }
  return async signal => {
    if (signal.aborted) return null
    if (free > 0) {
      free -= 1
      return end
    }
    return await new Promise(resolve => {
      const settle = (place: (() => void) | null): void => {
        waiting.delete(go)
        signal.removeEventListener('abort', giveUp)
        if (place !== null) free -= 1
        resolve(place)
      }
      const go = (): void => { settle(end) }
      const giveUp = (): void => { settle(null) }
      waiting.add(go)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }
}
