// When a request is over: its answer went out, or its caller is gone.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Told once, when a request is over; `isDelivered`: the whole answer was handed to an open socket. */
type Listener = (isDelivered: boolean) => void

/**
 * The caller's side of one request. One object with few parts, because every request has one: what is made for each poll
 * has to be collected again.
 */
export class CallerConnection {
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #whenOver: Listener
  /** Made for those requests that somebody waits for, which few are. */
  #listeners: Set<Listener> | null = null
  #isOver = false

  /** `whenOver` is told first. */
  constructor (response: ServerResponse, socket: Socket, whenOver: Listener) {
    this.#response = response
    this.#socket = socket
    this.#whenOver = whenOver
  }

  /** Can an answer still be written? */
  isOpen (): boolean {
    return !this.#isOver && !this.#response.closed && !this.#socket.destroyed
  }

  /** Calls `listener` once, when the request is over. Gives a function that forgets it. */
  onceOver (listener: Listener): () => void {
    const listeners = this.#listeners ??= new Set()
    listeners.add(listener)
    return () => { listeners.delete(listener) }
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
    const isDelivered = this.#response.writableFinished
    this.#whenOver(isDelivered)
    if (this.#listeners !== null) for (const listener of this.#listeners) listener(isDelivered)
  }
}

/**
 * The requests that came while another one of their socket was being answered, because callers may pipeline. Node tells them nothing when the socket
 * closes: their responses never got it.
 */
const queuedOf = new WeakMap<Socket, Set<CallerConnection>>()

/** Watches the connection of a request and tells `whenOver` once. `request.signal` would not do: it fires as soon as the body has been read. */
export function watchConnection (request: FastifyRequest, reply: FastifyReply, whenOver: Listener): CallerConnection {
  const { socket } = request.raw
  const connection = new CallerConnection(reply.raw, socket, whenOver)
  reply.raw.on('close', () => { connection.end() })
  if (reply.raw.socket === null) queuedOn(socket).add(connection)
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
