// One connection that commands go through: bounded in time and in number, cut when it hangs, opened again without a stampede.

import { Problem } from '../../errors.ts'
import type { OnTrouble } from '../../trouble.ts'
import { gatherWrites, pauseBefore, type RedisClient, type RedisServer } from './clients.ts'
import { isAbsence } from './diagnose.ts'
import { isLoss, meaningOf, problemOf, Unanswered, unavailable, Unusable, withoutCommand } from './redis-errors.ts'

export interface Connection {
  /** Begins to connect, and goes on trying until it is closed. Resolves when calls are possible; rejects after `withinMs`, without giving up. */
  readonly open: (withinMs: number) => Promise<void>
  /** Sends something, if calls are possible. Rejects with `store-unavailable` within the deadline, whatever Redis does; refusals by scripts pass through. */
  readonly run: <T>(send: (client: RedisClient) => Promise<T>) => Promise<T>
  /** Resolves once calls are possible, or after `withinMs`. */
  readonly whenUp: (withinMs: number) => Promise<boolean>
  readonly close: () => void
}

interface ConnectionOptions {
  readonly server: Pick<RedisServer, 'makeClient' | 'diagnose'>
  readonly deadlineMs: number
  /** What has to succeed on every new connection, and on one that did not answer in time, before anything else may use it. */
  readonly prepare: (client: RedisClient) => Promise<unknown>
  readonly onTrouble: OnTrouble
  readonly onState: (up: boolean) => void
}

/** Calls that wait for an answer; more are refused, so that a slow Redis does not fill this process' memory. */
export const MAX_IN_FLIGHT = 10_000

export function createConnection ({ server: { makeClient, diagnose }, deadlineMs, prepare, onTrouble, onState }: ConnectionOptions): Connection {
  const client = makeClient()
  const waiters = new Set<() => void>()
  let isUp = false
  let isClosed = false
  /** Raised with every connection made or lost: what was begun for an older one is over. */
  let session = 0
  let inFlight = 0
  let trouble: unknown = new Error('Redis was not reached yet.')
  let isTroubleTold = false
  /** What Redis answered that made the connection unusable, as it was told last. */
  let unusableTold: string | null = null
  let wasUp = false
  /** Why it cannot be reached, as far as that was found out, and what is still to be looked at. */
  let found: Unusable | null = null
  let unexplained: Error | null = null

  client.on('error', tell)
  client.on('ready', () => { makeUsable(++session) })
  client.on('close', () => {
    session += 1
    goDown(new Error('The connection to Redis was closed.'))
  })

  // ioredis gives up for good when a failover is told while it asks the Sentinels where the primary is: it takes that for a disconnect that was wanted.
  client.on('end', () => {
    setTimeout(() => { if (!isClosed && client.status === 'end') client.connect().catch(tell) }, pauseBefore(3))
  })

  /** One word per outage: attempts that fail for the same reason would fill the log. What Redis itself refuses is another word than that it was lost. */
  function tell (error: unknown): void {
    if (isClosed) return
    const plain = withoutCommand(error)
    if (isAbsence(plain)) found = null
    trouble = found ?? plain
    if (error instanceof Unusable) tellUnusable(error)
    else if (wasUp) tellTrouble(plain)
    else explain(plain)
  }

  function tellTrouble (plain: Error): void {
    if (isTroubleTold) return
    isTroubleTold = true
    onTrouble('reach-redis', plain)
  }

  function tellUnusable (error: Unusable): void {
    trouble = error
    if (error.message === unusableTold) return
    unusableTold = error.message
    isTroubleTold = true
    if (!error.isTold) onTrouble('use-redis', error)
  }

  /**
   * What was never reached may be something else than the settings say. That is looked at after each attempt, the last one at least: on a busy machine the first ones
   * end without an answer, and only a later error says what is there.
   */
  async function explain (plain: Error): Promise<void> {
    const isExplaining = unexplained !== null
    unexplained = plain
    if (isExplaining) return
    while (unexplained !== null) {
      const error: Error = unexplained
      const seen = await diagnose(error)
      if (isClosed || isUp) break
      found = isAbsence(error) ? null : seen ?? found
      if (seen === null) tellTrouble(error)
      else tellUnusable(seen)
      if (unexplained === error) unexplained = null
    }
    unexplained = null
  }

  function goDown (cause: unknown): void {
    if (!isUp) return
    isUp = false
    tell(cause)
    onState(false)
  }

  async function makeUsable (mine: number): Promise<void> {
    try {
      await withDeadline(prepare(client))
      if (mine !== session || isClosed) return
      isUp = true
      wasUp = true
      found = null
      isTroubleTold = false
      unusableTold = null
      onState(true)
      for (const waiter of waiters) waiter()
    } catch (error) {
      if (mine !== session || isClosed) return
      // The problem is for callers; the log needs what Redis said.
      const cause = error instanceof Problem ? error.facts.cause ?? error : error
      tell(cause)
      if (cause instanceof Unusable && cause.isPassing) {
        setTimeout(() => { if (mine === session && !isClosed) makeUsable(mine) }, pauseBefore(3))
        return
      }
      // ioredis connects again after the pause that grows with `retryAttempts`, which it resets when a connection is ready; this one never was.
      setTimeout(() => { if (mine === session && !isClosed) client.disconnect(true) }, pauseBefore(3))
    }
  }

  /** Nobody waits on a connection that left one call without an answer: it has to answer a question first, or is cut and opened again. */
  function suspect (theirs: number, cause: unknown): void {
    if (!isUp || theirs !== session) return
    const mine = ++session
    goDown(cause)
    makeUsable(mine)
  }

  /** Rejects in time whatever becomes of `answer`; ioredis leaves some promises unsettled when a connection closes. */
  function withDeadline<T> (answer: Promise<T>, onSilence = (_cause: unknown): void => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      let isSettled = false
      const timer = setTimeout(() => {
        // When this process itself was busy, the answer may lie in the socket unread: look there first.
        setImmediate(() => {
          if (isSettled) return
          const cause = new Unanswered(`Redis did not answer within ${deadlineMs} ms.`)
          onSilence(cause)
          reject(unavailable(cause))
        })
      }, deadlineMs)
      const settle = (): void => {
        isSettled = true
        clearTimeout(timer)
      }
      answer.then(value => { settle(); resolve(value) }, (told: unknown) => {
        settle()
        const error = meaningOf(told)
        // A connection that lost an answer is about to close, or in a cluster one of several: either way it has to prove itself first.
        if (isLoss(error) || error instanceof Unusable) onSilence(error)
        reject(problemOf(error))
      })
    })
  }

  async function run<T> (send: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!isUp) throw unavailable(trouble)
    if (inFlight >= MAX_IN_FLIGHT) throw unavailable(new Error(`${inFlight} calls wait for Redis.`))
    inFlight += 1
    const mine = session
    gatherWrites(client)
    try {
      return await withDeadline(send(client), cause => { suspect(mine, cause) })
    } finally {
      inFlight -= 1
    }
  }

  async function whenUp (withinMs: number): Promise<boolean> {
    if (isUp || isClosed) return isUp
    await new Promise<void>(resolve => {
      const settle = (): void => {
        clearTimeout(timer)
        waiters.delete(settle)
        resolve()
      }
      const timer = setTimeout(settle, withinMs)
      waiters.add(settle)
    })
    return isUp
  }

  return {
    async open (withinMs) {
      // Its failures come as events, and it is tried again.
      if (client.status === 'wait') client.connect().catch(tell)
      if (!await whenUp(withinMs)) throw unavailable(trouble)
    },
    run,
    whenUp,
    close () {
      isClosed = true
      session += 1
      isUp = false
      trouble = new Error('The ledger was closed.')
      for (const waiter of waiters) waiter()
      client.disconnect()
    }
  }
}
