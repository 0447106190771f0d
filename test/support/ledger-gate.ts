// A door in front of a ledger in a folder: a gateway that imports `gate-disk-ledger.js` asks here before each operation, and again before it hears of the answer.

import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { parseObject } from './gateway.ts'
import type { Gate } from './kill-scene.ts'
import { listenFor } from './listen.ts'

export interface LedgerGate extends Gate {
  /** Where a gateway asks, in its environment `LEDGER_GATE`. */
  readonly port: number
  /** Until the returned function was called claims are told to wait, and none comes along with an admission. */
  readonly pauseClaims: () => () => Promise<void>
}

/** What a gateway is told before an operation: to go on, or, of a claim, not to make it. */
export type GateWord = 'go' | 'no-claims'

interface Trap { readonly operation: string, readonly when: string, readonly having: string, readonly onHeld: () => void }

export async function startLedgerGate (t: Test, onAsked: (operation: string) => void): Promise<LedgerGate> {
  const sockets = new Set<Socket>()
  const listeners = new Map<string, () => void>()
  let trap: Trap | null = null
  let isStopped = false
  let word: GateWord = 'go'

  function take (socket: Socket, line: string): void {
    if (isStopped) return
    const { operation, when, answer } = parseObject(line)
    const name = String(operation)
    if (when === 'before') onAsked(name)
    if (trap?.operation === name && trap.when === when && (when === 'before' || String(answer).includes(trap.having))) {
      isStopped = true
      trap.onHeld()
      return
    }
    socket.write(`${word}\n`)
    if (when === 'before') return
    listeners.get(name)?.()
    listeners.delete(name)
  }

  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {}) // it was killed
    socket.on('close', () => { sockets.delete(socket) })
    // In the order of the lines, so that answers need no numbers.
    createInterface({ input: socket }).on('line', line => { take(socket, line) }).on('error', () => {})
  })
  const port = await listenFor(t, server, sockets)
  return {
    port,
    holdAt: async (operation, when, having = '') => await new Promise(resolve => { trap = { operation, when, having, onHeld: resolve } }),
    pauseClaims: () => {
      word = 'no-claims'
      return async () => { word = 'go' }
    },
    untilAnswered: async operation => await new Promise(resolve => { listeners.set(operation, resolve) })
  }
}
