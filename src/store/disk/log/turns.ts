// One work at a time.

/** Gives a function that runs each work when those before it have ended, in the order of the calls, and gives what it gives. */
export function createTurns (): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let before: Promise<unknown> = Promise.resolve()
  return async work => {
    const result = before.then(work)
    before = result.catch(() => {}) // told by its own promise
    return await result
  }
}
