// A TCP proxy that can lose an answer: the server got the request and acted on it, the client only sees its connection break. It can be slow, too, and lead
// elsewhere.

import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { listenFor, tie } from './listen.ts'

export interface TcpProxy {
  readonly port: number
  /** Connections that were made so far. */
  readonly connections: () => number
  /** The next connection that sends these bytes, or such ones, is cut when its answer comes. Resolves then. */
  readonly loseAnswerTo: (bytes: string | RegExp) => Promise<void>
  /** The next connection that sends these bytes, or such ones, ends with them: the server gets the whole request, and finds nobody to answer. Resolves then. */
  readonly cutBehind: (bytes: string | RegExp) => Promise<void>
  /** While it is `false`, connections are cut and new ones refused at once. */
  readonly setOpen: (isOpen: boolean) => void
  /** Connections that are made from now on lead to this port. */
  readonly leadTo: (port: number) => void
  /** From now on what the server says arrives so much later. */
  readonly setDelay: (delayMs: number) => void
}

export interface TcpProxyOptions {
  /** What the server says arrives so much later; what is under way when its connection breaks is lost. */
  readonly delayMs?: number
  /** Hears all that the server says. */
  readonly onAnswer?: (bytes: Buffer) => void
}

export async function startTcpProxy (t: Test, firstPort: number, { delayMs: firstDelayMs = 0, onAnswer = () => {} }: TcpProxyOptions = {}): Promise<TcpProxy> {
  let targetPort = firstPort
  let delayMs = firstDelayMs
  const sockets = new Set<Socket>()
  let isOpen = true
  let connections = 0
  let trap: { readonly bytes: string | RegExp, readonly when: 'behind' | 'answered', readonly onCut: () => void } | null = null

  const server = createServer(client => {
    connections += 1
    const target = connect(targetPort, '127.0.0.1')
    let caught: (() => void) | null = null
    let underWay = 0
    let lastWritten: Promise<unknown> = Promise.resolve()
    tie(sockets, client, target)
    if (!isOpen) {
      client.destroy()
      return
    }
    client.on('data', chunk => {
      if (trap !== null && isIn(chunk, trap.bytes)) {
        const { when, onCut } = trap
        trap = null
        if (when === 'behind') {
          target.end(chunk, () => {
            client.destroy()
            onCut()
          })
          return
        }
        caught = onCut
      }
      target.write(chunk)
    })
    target.on('data', chunk => {
      onAnswer(chunk)
      if (caught === null) {
        if (delayMs === 0 && underWay === 0) {
          client.write(chunk)
          return
        }
        // In their order, also when the delay has changed meanwhile.
        underWay += 1
        lastWritten = Promise.all([lastWritten, pause(delayMs)]).then(() => {
          underWay -= 1
          client.write(chunk)
        })
        return
      }
      client.destroy()
      caught()
    })
  })
  const port = await listenFor(t, server, sockets)
  return {
    port,
    connections: () => connections,
    loseAnswerTo: async bytes => await new Promise(resolve => { trap = { bytes, when: 'answered', onCut: resolve } }),
    cutBehind: async bytes => await new Promise(resolve => { trap = { bytes, when: 'behind', onCut: resolve } }),
    setOpen: open => {
      isOpen = open
      if (!open) for (const socket of sockets) socket.destroy()
    },
    leadTo: port => { targetPort = port },
    setDelay: toMs => { delayMs = toMs }
  }
}

function isIn (chunk: Buffer, bytes: string | RegExp): boolean {
  return typeof bytes === 'string' ? chunk.includes(bytes) : bytes.test(chunk.toString('latin1'))
}
