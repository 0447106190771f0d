// When a request is over: its answer went out, or its caller is gone.

import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallerLink, OverListener } from '../generation/watch/presence.ts'

const NO_LISTENERS: readonly OverListener[] = []

/** Told of each request that is over, before everybody else. */
type WhenOver = (isDelivered: boolean, request: FastifyRequest, reply: FastifyReply) => void

/**
 * The caller's side of one request. One object with few parts, because every request has one: what is made for each poll
 * has to be collected again, and what is made for a caller that waits is kept all the time.
 */
export class CallerConnection implements CallerLink {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #socket: Socket
  readonly #whenOver: WhenOver
  /** Those of requests that somebody waits for, which few are: a list as long as it has to be. */
  #listeners: readonly OverListener[] = NO_LISTENERS
  #isOver = false

  constructor (request: FastifyRequest, reply: FastifyReply, whenOver: WhenOver) {
    this.#request = request
    this.#reply = reply
    this.#socket = request.raw.socket
    this.#whenOver = whenOver
  }

  /** Can an answer still be written? */
  isOpen (): boolean {
    return !this.#isOver && !this.#reply.raw.closed && !this.#socket.destroyed
  }

  /** Calls `listener` once, when the request is over. */
  onceOver (listener: OverListener): void {
    this.#listeners = this.#listeners.concat(listener) // no longer than it is, unlike what a spread makes
  }

  forget (listener: OverListener): void {
    this.#listeners = this.#listeners.filter(one => one !== listener)
  }

  /** Fires when the request is over, at once when it is already. */
  untilOver (): AbortSignal {
    const over = new AbortController()
    this.onceOver(() => { over.abort() })
    if (!this.isOpen()) over.abort()
    return over.signal
  }

  /** The request is over. Twice is harmless. */
  end (): void {
    if (this.#isOver) return
    this.#isOver = true
    queuedOf.get(this.#socket)?.delete(this)
    const isDelivered = this.#reply.raw.writableFinished
    this.#whenOver(isDelivered, this.#request, this.#reply)
    for (const listener of this.#listeners) listener(isDelivered)
  }
}

/**
 * The requests that came while another one of their socket was being answered, because callers may pipeline. Node tells them nothing when the socket
 * closes: their responses never got it.
 */
const queuedOf = new WeakMap<Socket, Set<CallerConnection>>()

/** Watches the connection of a request and tells `whenOver` once. `request.signal` would not do: it fires as soon as the body has been read. */
export function watchConnection (request: FastifyRequest, reply: FastifyReply, whenOver: WhenOver): CallerConnection {
  const connection = new CallerConnection(request, reply, whenOver)
  reply.raw.on('close', () => { connection.end() })
  if (reply.raw.socket === null) queuedOn(request.raw.socket).add(connection)
  return connection
}

function queuedOn (socket: Socket): Set<CallerConnection> {
  const known = queuedOf.get(socket)
  if (known !== undefined) return known
  const queued = new Set<CallerConnection>()
  queuedOf.set(socket, queued)
  socket.once('close', () => { for (const request of [...queued]) request.end() })
  return queued
}
