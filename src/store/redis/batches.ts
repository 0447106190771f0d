// Calls about many things, cut into calls that none of the other tenants notices: while one runs, Redis does nothing else.

/** What `call` answers for all of them, asked for at most `size` at a time. */
export async function inBatches<One, Result> (all: readonly One[], size: number, call: (batch: readonly One[]) => Promise<readonly Result[]>): Promise<Result[]> {
  const results: Result[] = []
  for (let from = 0; from < all.length; from += size) results.push(...await call(all.slice(from, from + size)))
  return results
}

/** What a call gave, and whether there is more of it. */
interface Piece<Result> { readonly found: readonly Result[], readonly isMore: boolean }

/** Up to `max` in all, at most `size` a call, until a call says that there is no more. */
export async function readInBatches<Result> (max: number, size: number, call: (max: number) => Promise<Piece<Result>>): Promise<Result[]> {
  const results: Result[] = []
  let isMore = true
  for (let asked = 0; isMore && asked < max; asked += size) {
    const piece = await call(Math.min(size, max - asked))
    results.push(...piece.found)
    isMore = piece.isMore
  }
  return results
}

/** The same for what is taken out of the store: what earlier calls have taken is handed out also when a later one fails. */
export async function takeInBatches<Result> (max: number, size: number, call: (max: number) => Promise<Piece<Result>>): Promise<Result[]> {
  let hasTaken = false
  return await readInBatches(max, size, async max => {
    try {
      const piece = await call(max)
      hasTaken ||= piece.found.length > 0
      return piece
    } catch (error) {
      if (hasTaken) return { found: [], isMore: false }
      throw error
    }
  })
}

/** Cuts a list where a batch would have more than `size` of them, or weigh more than `maxWeight`; one may be heavier alone. */
export function batchesOf<One> (all: readonly One[], size: number, maxWeight: number, weightOf: (one: One) => number): One[][] {
  const batches: One[][] = []
  let weight = Infinity
  for (const one of all) {
    weight += weightOf(one)
    const last = batches.at(-1)
    if (last === undefined || last.length === size || weight > maxWeight) {
      batches.push([one])
      weight = weightOf(one)
    } else {
      last.push(one)
    }
  }
  return batches
}

/**
 * Calls about one thing each that become calls about many: what is asked for while a call is under way goes along with the next one, at most `size` together.
 * One that comes alone waits for nothing. When a call fails, all who wait fail with it, so that nobody waits for more than the call under way and its own.
 */
export function gathered<One, Result> (size: number, call: (batch: readonly One[]) => Promise<readonly Result[]>): (one: One) => Promise<Result> {
  interface Asked { readonly one: One, readonly resolve: (result: Result) => void, readonly reject: (error: unknown) => void }
  const waiting: Asked[] = []
  let isUnderWay = false

  /** Never rejects: each of those who asked is told. */
  async function callAll (): Promise<void> {
    isUnderWay = true
    while (waiting.length > 0) {
      const batch = waiting.splice(0, size)
      try {
        const results = await call(batch.map(({ one }) => one))
        batch.forEach(({ resolve, reject }, index) => {
          const result = results[index]
          if (result === undefined) reject(new Error('A call about many things was answered for fewer.'))
          else resolve(result)
        })
      } catch (error) {
        for (const { reject } of [...batch, ...waiting.splice(0)]) reject(error)
      }
    }
    isUnderWay = false
  }

  return async one => await new Promise((resolve, reject) => {
    waiting.push({ one, resolve, reject })
    if (!isUnderWay) callAll().catch(reject)
  })
}
