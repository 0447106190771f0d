// When a request is over: its answer went out, or whoever asked is gone.

import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** The caller's side of one request. */
export interface CallerConnection {
  /** Can an answer still be written? */
  readonly isOpen: () => boolean
  /** Calls `listener` once, when the request is over; `isDelivered`: the whole answer was handed to an open socket. Gives a function that forgets it. */
  readonly onceOver: (listener: (isDelivered: boolean) => void) => () => void
}

/**
 * The requests of each socket. Several may wait on one, when they are pipelined, and Node tells those behind the first nothing when the socket closes:
 * their responses never got it.
 */
const requestsOf = new WeakMap<Socket, Set<() => void>>()

/** Watches the connection of a request. `request.signal` would not do: it fires as soon as the body has been read. */
export function watchConnection (request: FastifyRequest, reply: FastifyReply): CallerConnection {
  const { raw } = reply
  const { socket } = request.raw
  const listeners = new Set<(isDelivered: boolean) => void>()
  let isOver = false

  const over = (): void => {
    if (isOver) return
    isOver = true
    requestsOf.get(socket)?.delete(over)
    for (const listener of listeners) listener(raw.writableFinished)
  }
  raw.once('close', over)
  requestsOn(socket).add(over)

  return {
    isOpen: () => !isOver && !raw.closed && !socket.destroyed,
    onceOver: listener => {
      listeners.add(listener)
      return () => { listeners.delete(listener) }
    }
  }
}

function requestsOn (socket: Socket): Set<() => void> {
  const known = requestsOf.get(socket)
  if (known !== undefined) return known
  const requests = new Set<() => void>()
  requestsOf.set(socket, requests)
  socket.once('close', () => { for (const over of [...requests]) over() })
  return requests
}
