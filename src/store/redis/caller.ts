// Calls the ledger's operations. Every answer comes in an envelope that also tells Redis' clock, the ledger's sequence and whose ledger it is.

import { integerOf, recordOf, textOf } from '../../generation/fields.ts'
import type { LedgerTimes } from '../../generation/ledger.ts'
import { unrecorded } from '../../tracing.ts'
import type { RedisClient } from './clients.ts'
import type { LedgerClock } from './clock.ts'
import { loadLibrary } from './cluster.ts'
import type { Connection } from './connection.ts'
import type { Ownership } from './ownership.ts'
import { unavailable } from './redis-errors.ts'
import type { Program, Script, Scripts } from './script.ts'
import { textsIn } from './wire-rows.ts'
import { readers, type AnswerOf, type Operation } from './wire.ts'

export interface Caller {
  /** Runs an operation and reads its answer. */
  readonly call: <Name extends Operation>(operation: Name, given?: object, payload?: string) => Promise<AnswerOf<Name>>
  /** The same for `admit`: refused when Redis' memory is full. */
  readonly callBounded: <Name extends Operation>(operation: Name, given: object, payload: string) => Promise<AnswerOf<Name>>
  readonly audit: () => Promise<readonly string[]>
  /** What this process was told of the ledger's history. A ledger that knows less of it has lost something (rule 23). */
  readonly history: () => History
  /** Loads the library, reads the clock and compares the sequence; for a connection that nothing else may use yet. */
  readonly prepare: (client: RedisClient) => Promise<void>
  /** The commands that the ledger needs and this connection's user may not run. */
  readonly missingRights: (client: RedisClient) => Promise<readonly string[]>
}

/** The newest sequence that was told here since it last fell. Each fall makes another object, so that calls from before it are known as such. */
interface Known { sequence: number }

/** `epoch`: how many losses the ledger has noticed. `sequence`: the newest that was told here in this epoch. */
export interface History { readonly epoch: number, readonly sequence: number }

interface CallerOptions {
  readonly connection: () => Connection
  readonly scripts: Scripts
  /** Of every key: `{<namespace>}:`. */
  readonly prefix: string
  readonly times: LedgerTimes
  readonly ownership: Ownership
  readonly clock: LedgerClock
  /** A test's clock and server, which scripts take in place of Redis' own. */
  readonly fixed: { readonly now: () => number, readonly server?: () => string } | undefined
  /** The sequence fell: Redis went back in time (rule 16). */
  readonly onRollback: (error: Error) => void
}

export function createCaller ({ connection, scripts, prefix, times, ownership, clock, fixed, onRollback }: CallerOptions): Caller {
  /**
   * The keys that every script declares; a script uses many more, too many to name. While a cluster moves the slot, a node refuses a call before it begins when
   * it does not have all declared keys. The second key never exists, so that the old node and the new one refuse every call. Without it a script would begin:
   * it would stop half-way at the old node, at a key that has moved, and take keys for missing at the new node that are still to come.
   */
  const keys = [prefix + 'glob', prefix + 'nothing'] as const
  /** What is being loaded: one upload is enough for all who find it missing. */
  const loading = new Map<string, Promise<unknown>>()
  /** Until this connection showed that it can neither call the library nor load it. */
  let hasLibrary = true
  let known: Known = { sequence: 0 }
  let history: { readonly epoch: number, sequence: number } = { epoch: 0, sequence: 0 }

  /** The settings that were sent last, and what they were made of: they change with the ledger's owner only. */
  let sent = { claimed: ownership.claimed(), settings: '' }

  function settingsNow (): string {
    const claimed = ownership.claimed()
    if (fixed !== undefined) return JSON.stringify({ ...times, ...claimed, clockMs: fixed.now(), server: fixed.server?.() })
    if (sent.settings === '' || claimed !== sent.claimed) sent = { claimed, settings: JSON.stringify({ ...times, ...claimed }) }
    return sent.settings
  }

  function argumentsOf (operation: string, given: object, payload: string): [string, string, string, string] {
    return [operation, settingsNow(), JSON.stringify(given, (_, value: unknown) => value === null ? undefined : value), payload]
  }

  /** By the library; by the script where the server knows no functions, the user may not load them, or its memory is too full for that. */
  async function perform (client: RedisClient, { functionName, script }: Program, given: readonly string[]): Promise<unknown> {
    const callFunction = async (): Promise<unknown> => await client.fcall(functionName, keys.length, ...keys, ...given)
    try {
      if (hasLibrary) return await callFunction()
    } catch (error) {
      if (!isNoFunction(error)) throw error
      await once(scripts.library, async () => { await loadLibrary(client, scripts.library) })
      try {
        return await callFunction()
      } catch (again) {
        if (!isNoFunction(again)) throw again
        hasLibrary = false
      }
    }
    return await evaluate(client, script, given)
  }

  async function evaluate (client: RedisClient, script: Script, given: readonly string[]): Promise<unknown> {
    // An instrumentation of ioredis writes down all arguments of EVALSHA, and prompts are among them; of FCALL it writes none.
    const evaluated = async (): Promise<unknown> => await unrecorded(async () => await client.evalsha(script.sha, keys.length, ...keys, ...given))
    try {
      return await evaluated()
    } catch (error) {
      if (!isNoScript(error)) throw error
    }
    // By EVAL of a harmless operation and not by SCRIPT LOAD, which knows no key: in a cluster it would go to any node.
    await once(script.source, async () => await client.eval(script.source, keys.length, ...keys, ...argumentsOf('ping', {}, '')))
    try {
      return await evaluated()
    } catch (error) {
      throw isNoScript(error) ? unavailable(error) : error
    }
  }

  async function once (source: string, load: () => Promise<unknown>): Promise<void> {
    let upload = loading.get(source)
    if (upload === undefined) {
      upload = load().finally(() => { loading.delete(source) })
      loading.set(source, upload)
    }
    await upload
  }

  /**
   * Sends a call, takes the answer out of its envelope, and notices when the ledger lost something. The answer's sequence is compared with the one that was known
   * when the call was sent, not with the latest: answers may be read here in another order than Redis gave them.
   */
  async function exchange (send: () => Promise<unknown>): Promise<unknown> {
    const knownThen = known
    const { sequence: before } = knownThen
    const sentAtMs = performance.now()
    const historyThen = history
    const { time, sequence: count, epoch, answer, upstream, isRefused } = recordOf(JSON.parse(textOf(await send())))
    clock.learn(integerOf(time), sentAtMs)
    ownership.heard(upstream === undefined ? undefined : textOf(upstream))
    if (isRefused !== undefined) throw ownership.refusal()
    const sequence = integerOf(count)
    if (epoch !== undefined && integerOf(epoch) > history.epoch) history = { epoch: integerOf(epoch), sequence }
    else if (historyThen === history) history.sequence = Math.max(history.sequence, sequence)
    // One fall is one alarm: an answer to a call from before it says nothing new.
    if (knownThen !== known) return answer
    if (sequence < before) {
      known = { sequence }
      onRollback(new Error(`Redis went back in time: the ledger's sequence fell from ${before} to ${sequence}.`))
    } else known.sequence = Math.max(known.sequence, sequence)
    return answer
  }

  async function run<Name extends Operation> (program: Program, operation: Name, given: object, payload: string): Promise<AnswerOf<Name>> {
    return readers[operation](await exchange(async () => await connection().run(async client => await perform(client, program, argumentsOf(operation, given, payload)))))
  }

  return {
    call: async (operation, given = {}, payload = '') => await run(scripts.unbounded, operation, given, payload),
    callBounded: async (operation, given, payload) => await run(scripts.bounded, operation, given, payload),
    audit: async () => textsIn(await exchange(async () => await connection().run(async client => await evaluate(client, scripts.audit, argumentsOf('audit', {}, ''))))),
    history: () => history,
    prepare: async client => {
      hasLibrary = true
      await exchange(async () => await perform(client, scripts.unbounded, argumentsOf('ping', {}, '')))
    },
    missingRights: async client => textsIn(await exchange(async () => await perform(client, scripts.unbounded, argumentsOf('ping', { rights: true }, ''))))
  }
}

/** No such function, no functions at all, or none for this user; a user without the keys is told the same about the script. */
function isNoFunction (error: unknown): boolean {
  return error instanceof Error && /^(ERR Function not found|ERR unknown command|NOPERM)/.test(error.message)
}

function isNoScript (error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
