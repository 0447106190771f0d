// A door in front of Redis that understands its protocol: one gateway's calls stop exactly before or after a named operation of the ledger, or are refused.

import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { listenFor, tie } from './listen.ts'

export interface RedisGate {
  readonly url: string
  /**
   * Stops the process' whole traffic with Redis at the next call of `operation`: `before` Redis sees it, or `after` Redis ran it and before the process
   * hears of it (only an answer that contains `having`). Resolves when that is so; nothing passes any more, over new connections either.
   */
  readonly holdAt: (operation: string, when: 'before' | 'after', having?: string) => Promise<void>
  /** Lets traffic pass again, over new connections: the old ones break, and what they held is lost. */
  readonly resume: () => void
  /** Until `refuse([])` these operations get an error from Redis and are not run. */
  readonly refuse: (operations: readonly string[]) => void
  /** Resolves when the next call of `operation` was answered. */
  readonly untilAnswered: (operation: string) => Promise<void>
}

interface Trap {
  readonly operation: string
  readonly when: 'before' | 'after'
  readonly having: string
  readonly onHeld: () => void
}

/** What Redis is asked in place of a refused call; it answers with an error. */
const NONSENSE = '*1\r\n$7\r\nREFUSED\r\n'

export async function startRedisGate (t: Test, redisUrl: string): Promise<RedisGate> {
  const target = new URL(redisUrl)
  const sockets = new Set<Socket>()
  const listeners = new Map<string, () => void>()
  let trap: Trap | null = null
  let refused: readonly string[] = []
  let isStopped = false

  function stop ({ onHeld }: Trap): void {
    isStopped = true
    trap = null
    onHeld()
  }

  const server = createServer(client => {
    const redis = connect(Number(target.port === '' ? 6379 : target.port), target.hostname)
    /** The operations whose answers are awaited, in their order; Redis answers in that of the calls. */
    const awaited: string[] = []
    tie(sockets, client, redis)

    client.on('data', eachValue(call => {
      if (isStopped) return
      const operation = operationIn(call)
      if (trap?.operation === operation && trap.when === 'before') {
        stop(trap)
        return
      }
      awaited.push(operation)
      redis.write(refused.includes(operation) ? NONSENSE : call)
    }))

    redis.on('data', eachValue(answer => {
      if (isStopped) return
      // What is pushed answers no call.
      const operation = answer[0] === '>'.charCodeAt(0) ? '' : awaited.shift() ?? ''
      const isRun = !answer.toString('latin1', 0, 10).startsWith('-')
      if (isRun && trap?.operation === operation && trap.when === 'after' && answer.includes(trap.having)) {
        stop(trap)
        return
      }
      client.write(answer)
      if (isRun) {
        listeners.get(operation)?.()
        listeners.delete(operation)
      }
    }))
  })
  const port = await listenFor(t, server, sockets)

  return {
    url: `redis://127.0.0.1:${port}`,
    holdAt: async (operation, when, having = '') => await new Promise(resolve => { trap = { operation, when, having, onHeld: resolve } }),
    resume: () => {
      isStopped = false
      for (const socket of sockets) socket.destroy()
    },
    refuse: operations => { refused = operations },
    untilAnswered: async operation => await new Promise(resolve => { listeners.set(operation, resolve) })
  }
}

/** Cuts a stream into whole values of Redis' protocol. */
function eachValue (onValue: (value: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = endOfValue(rest, 0); end !== null; end = endOfValue(rest, 0)) {
      onValue(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}

/** Where the value that begins at `start` ends, or null while it is not all there. RESP2 and RESP3. */
function endOfValue (bytes: Buffer, start: number): number | null {
  const line = bytes.indexOf('\r\n', start)
  if (line === -1) return null
  const kind = bytes.toString('latin1', start, start + 1)
  const size = Number(bytes.toString('latin1', start + 1, line))
  let end: number | null = line + 2
  if ('$=!'.includes(kind) && size >= 0) end += size + 2
  if ('*~>%'.includes(kind)) {
    for (let left = kind === '%' ? 2 * size : size; left > 0 && end !== null; left--) end = endOfValue(bytes, end)
  }
  return end !== null && end <= bytes.length ? end : null
}

/** The ledger's operation in `FCALL function 2 key key operation …`, or EVALSHA with a script; of other commands the command. */
function operationIn (call: Buffer): string {
  const words: string[] = []
  let at = call.indexOf('\r\n') + 2
  while (words.length < 6 && at < call.length) {
    const line = call.indexOf('\r\n', at)
    const length = Number(call.toString('latin1', at + 1, line))
    words.push(call.toString('latin1', line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
  const [command = ''] = words
  return ['FCALL', 'EVALSHA'].includes(command.toUpperCase()) ? words[3 + Number(words[2])] ?? '' : command
}
