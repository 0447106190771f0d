// Calling the ledger's operations: arguments in, answer out, and what every answer tells beside: Redis' clock and the ledger's sequence.

import type { LedgerTimes } from '../../generation/ports.ts'
import type { LedgerClock } from './clock.ts'
import { unavailable, type Connection, type RedisClient } from './connection.ts'
import type { Script, Scripts } from './script.ts'
import { integerIn, listIn } from './wire.ts'

export interface Caller {
  /** Runs an operation; the answer is what its Lua documents. */
  readonly call: (operation: string, given?: object, payload?: string) => Promise<unknown>
  /** The same for `admit`: refused when Redis' memory is full. */
  readonly callBounded: (operation: string, given: object, payload: string) => Promise<unknown>
  readonly audit: () => Promise<unknown>
  /** Loads the scripts, reads the clock and compares the sequence; for a connection that nothing else may use yet. */
  readonly prepare: (client: RedisClient) => Promise<void>
}

interface CallerOptions {
  readonly connection: () => Connection
  readonly scripts: Scripts
  readonly key: string
  readonly times: LedgerTimes
  readonly clock: LedgerClock
  /** A test's clock, which scripts take in place of Redis' own. */
  readonly fixedNow: (() => number) | undefined
  /** The sequence fell: Redis went back in time (rule 16). */
  readonly onRollback: (error: Error) => void
}

export function createCaller ({ connection, scripts, key, times, clock, fixedNow, onRollback }: CallerOptions): Caller {
  const settings = JSON.stringify(times)
  /** Scripts that are being loaded: one upload is enough for all who find them missing. */
  const loading = new Map<Script, Promise<unknown>>()
  let sequence = 0

  function argumentsOf (operation: string, given: object, payload: string): [string, string, string, string] {
    const now = fixedNow === undefined ? settings : JSON.stringify({ ...times, clockMs: fixedNow() })
    return [operation, now, JSON.stringify(given, (_, value: unknown) => value === null ? undefined : value), payload]
  }

  async function evaluate (client: RedisClient, script: Script, given: readonly string[]): Promise<unknown> {
    try {
      return await client.evalsha(script.sha, 1, key, ...given)
    } catch (error) {
      if (!isNoScript(error)) throw error
    }
    await load(client, script)
    try {
      return await client.evalsha(script.sha, 1, key, ...given)
    } catch (error) {
      throw isNoScript(error) ? unavailable(error) : error
    }
  }

  /** By EVAL of a harmless operation and not by SCRIPT LOAD, which knows no key: in a cluster it would go to any node. */
  async function load (client: RedisClient, script: Script): Promise<void> {
    let upload = loading.get(script)
    if (upload === undefined) {
      upload = client.eval(script.source, 1, key, ...argumentsOf('ping', {}, '')).finally(() => { loading.delete(script) })
      loading.set(script, upload)
    }
    await upload
  }

  /** Takes the answer out of its envelope. */
  function open (envelope: unknown): unknown {
    const [timeMs, count, answer] = listIn(envelope)
    clock.learn(integerIn(timeMs))
    const before = sequence
    sequence = integerIn(count)
    if (sequence < before) onRollback(new Error(`Redis went back in time: the ledger's sequence fell from ${before} to ${sequence}.`))
    return answer
  }

  async function run (script: Script, operation: string, given: object, payload: string): Promise<unknown> {
    return open(await connection().run(async client => await evaluate(client, script, argumentsOf(operation, given, payload))))
  }

  return {
    call: async (operation, given = {}, payload = '') => await run(scripts.unbounded, operation, given, payload),
    callBounded: async (operation, given, payload) => await run(scripts.bounded, operation, given, payload),
    audit: async () => await run(scripts.audit, 'audit', {}, ''),
    prepare: async client => { open(await evaluate(client, scripts.unbounded, argumentsOf('ping', {}, ''))) }
  }
}

function isNoScript (error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
