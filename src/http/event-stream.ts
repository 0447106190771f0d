// Server-sent events on a socket: beats while nothing happens, back pressure, and an end for readers that do not read.
// Nothing is queued here: the next event is asked for when the one before has left this process.

import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Metrics } from '../metrics.ts'
import type { OnTrouble } from '../trouble.ts'

/** All streams of this process. */
export interface EventStreams {
  /**
   * Takes the answer out of Fastify's hands and writes these texts, whole events each, as an event stream. Resolves when it is over: they ended and were
   * handed to the socket, the reader left, or it was dropped because it read nothing for too long. Never rejects; texts that fail end the stream.
   * `beat` is the comment that is sent while nothing happens.
   */
  readonly write: (request: FastifyRequest, reply: FastifyReply, texts: AsyncIterable<string>, beat?: string) => Promise<void>
}

export interface EventStreamsOptions {
  /** A comment is sent so often, so that nobody on the way takes the stream for dead. */
  readonly heartbeatMs: number
  /** A reader that takes nothing of what is sent for so long is dropped. */
  readonly idleTimeoutMs: number
  /** The clock that `idleTimeoutMs` goes by; monotonic. */
  readonly now?: () => number
  /** May this request still be answered? Asked at each beat and before each text. Always by default. */
  readonly isAllowed?: (request: FastifyRequest) => boolean
  readonly metrics: Pick<Metrics, 'eventStreams' | 'eventStreamDropped'>
  readonly onTrouble: OnTrouble
}

interface Stream {
  readonly request: FastifyRequest
  readonly raw: ServerResponse
  readonly beat: string
  /** Bytes that have left this process, and since when no more have although there were some. */
  sent: number
  stalledSinceMs: number | null
  isDropped: boolean
}

/** How often the tokens of readers are looked at. */
const TOKEN_LOOK_MS = 250

/** How long a dropped reader has to read why. */
const FAREWELL_MS = 1000

export function createEventStreams ({ heartbeatMs, idleTimeoutMs, now = () => performance.now(), isAllowed = () => true, metrics, onTrouble }: EventStreamsOptions): EventStreams {
  const streams = new Set<Stream>()
  let beats: NodeJS.Timeout | undefined
  let looks: NodeJS.Timeout | undefined

  /** One timer for all: a thousand of them would be a storm. */
  function beatAll (): void {
    for (const stream of streams) {
      if (stream.isDropped) continue
      if (!isAllowed(stream.request)) revoke(stream)
      else if (isStalled(stream)) drop(stream)
      else if (stream.raw.writableLength === 0 && !stream.raw.writableEnded) stream.raw.write(`: ${stream.beat}\n\n`)
    }
  }

  /** Tokens end within a second, whatever is told meanwhile. */
  function lookAtTokens (): void {
    for (const stream of streams) {
      if (!stream.isDropped && stream.request.facts.caller?.token != null && !isAllowed(stream.request)) revoke(stream)
    }
  }

  function isStalled (stream: Stream): boolean {
    const { raw } = stream
    const sent = (raw.socket?.bytesWritten ?? 0) - raw.writableLength
    const isMoving = raw.writableLength === 0 || sent > stream.sent
    stream.sent = sent
    stream.stalledSinceMs = isMoving ? null : stream.stalledSinceMs ?? now()
    return stream.stalledSinceMs !== null && now() - stream.stalledSinceMs >= idleTimeoutMs
  }

  function drop (stream: Stream): void {
    const { request, raw } = stream
    stream.isDropped = true
    metrics.eventStreamDropped('unread')
    request.log.warn({ request_id: request.id, tenant: request.facts.caller?.tenant.id, generation_id: request.facts.generationId, unread_bytes: raw.writableLength }, 'an event stream was dropped, because its reader does not read')
    sayFarewell(raw, 'dropped, because nothing was read')
  }

  /** Its key opens nothing any more. */
  function revoke (stream: Stream): void {
    const { request, raw } = stream
    stream.isDropped = true
    metrics.eventStreamDropped('revoked')
    request.log.warn({ request_id: request.id, tenant: request.facts.caller?.tenant.id, generation_id: request.facts.generationId }, 'an event stream was ended, because its key is not in force any more')
    sayFarewell(raw, 'ended, because the key is not in force any more')
  }

  function sayFarewell (raw: ServerResponse, why: string): void {
    if (!raw.writableEnded) raw.end(`: ${why}\n\n`)
    // What it has not read by then it never will.
    const farewell = setTimeout(() => { raw.destroy() }, FAREWELL_MS)
    raw.once('close', () => { clearTimeout(farewell) })
  }

  async function write (request: FastifyRequest, reply: FastifyReply, texts: AsyncIterable<string>, beat = 'beat'): Promise<void> {
    const { raw } = reply
    reply.hijack()
    const { connection } = request.facts
    const over = new Promise<void>(resolve => {
      connection.onceOver(() => { resolve() })
      if (!connection.isOpen()) resolve() // hung up before, which nobody tells again
    })
    const stream: Stream = { request, raw, beat, sent: 0, stalledSinceMs: null, isDropped: false }
    streams.add(stream)
    looks ??= setInterval(lookAtTokens, TOKEN_LOOK_MS)
    beats ??= setInterval(beatAll, Math.min(heartbeatMs, idleTimeoutMs))
    metrics.eventStreams(streams.size)
    raw.on('error', () => {}) // a reader that leaves while it is written to; `close` follows
    try {
      raw.writeHead(200, { ...headersOf(reply), 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
      raw.flushHeaders()
      for await (const text of texts) {
        if (raw.destroyed || raw.writableEnded) break
        if (!isAllowed(request)) {
          revoke(stream)
          break
        }
        if (!raw.write(text)) await Promise.race([over, drained(raw)])
      }
    } catch (error) {
      onTrouble('write-event-stream', error)
    } finally {
      if (!raw.writableEnded) raw.end()
      await over
      streams.delete(stream)
      metrics.eventStreams(streams.size)
      if (streams.size === 0) {
        clearInterval(looks)
        looks = undefined
        clearInterval(beats)
        beats = undefined
      }
    }
  }

  return { write }
}

function drained (raw: ServerResponse): Promise<void> {
  return new Promise(resolve => { raw.once('drain', resolve) })
}

/** What hooks and handlers have said so far, as Node takes it. */
function headersOf (reply: FastifyReply): Record<string, string | number | string[]> {
  const headers: Record<string, string | number | string[]> = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) headers[name] = value
  return headers
}
