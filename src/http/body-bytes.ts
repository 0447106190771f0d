// The bytes of a body: as many as the route's model may be sent, and of long ones only a few at the same time.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Model } from '../models/model.ts'
import type { CallerConnection } from './connection.ts'

/** The largest body that is read: room for a prompt of 10,000 characters, however they are encoded. */
export const BODY_LIMIT_BYTES = 256 * 1024

/** The same for a model that takes files, which may stand in the body as `data:` addresses. */
export const FILE_BODY_LIMIT_BYTES = 6 * 1024 * 1024

/** So many requests with a body above {@link BODY_LIMIT_BYTES} are served at once: each is in memory several times over while it is read. */
const MAX_LONG_BODIES = 8

/** The requests of a process with long bodies. */
export interface LongBodies {
  /** Counts one more, until it is over or let go of. Gives why its body is not read. */
  readonly enter: (request: FastifyRequest) => Problem | null
  /** Nothing of its body is held any more. Harmless where it was not counted. */
  readonly leave: (request: FastifyRequest) => void
}

export function createLongBodies (): LongBodies {
  const long = new Set<CallerConnection>()
  return {
    enter: ({ facts: { connection } }) => {
      // Nobody would be told when it is over.
      if (!connection.isOpen()) return problemOfStream(null)
      if (long.size >= MAX_LONG_BODIES) return new Problem('large-bodies-full', { retryAfterSeconds: 1 })
      long.add(connection)
      connection.onceOver(() => { long.delete(connection) })
      return null
    },
    leave: ({ facts: { connection } }) => { long.delete(connection) }
  }
}

/** What a caller is told whose body ended with this error of its stream. */
export function problemOfStream (error: unknown): Problem {
  return error instanceof BodyOverdue
    // What still comes of it is nobody's next request.
    ? new Problem('request-timeout', { detail: 'The body did not arrive in time.', headers: { connection: 'close' } })
    : new Problem('bad-request', { detail: 'The body did not arrive whole.' })
}

export function tooLarge (limitBytes: number): Problem {
  return new Problem('body-too-large', { detail: `At most ${limitBytes / 1024} KiB are read here.` })
}

/** What a body's stream is told with, as its error, when the server's own clock finds that it takes too long. */
export class BodyOverdue extends Error {}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The most bytes that a request of this route may bring. */
    bodyLimitOf?: (request: FastifyRequest) => number
  }
}

/** The limit of a route whose requests are for this model. */
export function bodyLimitOfModel (modelOf: (request: FastifyRequest) => Pick<Model, 'takesFiles'> | undefined): (request: FastifyRequest) => number {
  return request => modelOf(request)?.takesFiles === true ? FILE_BODY_LIMIT_BYTES : BODY_LIMIT_BYTES
}

/** Told of a body, or of why it was not read. */
type OnBody = (error: Error | null, bytes: Buffer) => void

const nothing = Buffer.alloc(0)

/**
 * Reads bodies. One that is too long is the problem `body-too-large`, one more than may be served at once `large-bodies-full`. It calls back: for a promise every
 * request would wait a turn.
 */
export function createBodyReader (longBodies: LongBodies): (request: FastifyRequest, payload: NodeJS.ReadableStream, done: OnBody) => void {
  return (request, payload, done) => {
    const limit = request.facts.config.bodyLimitOf?.(request) ?? BODY_LIMIT_BYTES
    const chunks: Buffer[] = []
    let length = 0
    let isLong = false

    /** Why a body of so many bytes is not read any further. */
    function refusalOf (bytes: number): Problem | null {
      if (bytes > limit) return tooLarge(limit)
      if (bytes <= BODY_LIMIT_BYTES || isLong) return null
      isLong = true
      return longBodies.enter(request)
    }

    function onData (chunk: Buffer | string): void {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      length += bytes.length
      const refusal = refusalOf(length)
      if (refusal === null) chunks.push(bytes)
      else end(refusal)
    }

    function onEnd (): void {
      end(null)
    }

    function onError (error: Error): void {
      end(problemOfStream(error))
    }

    function end (error: Problem | null): void {
      payload.removeListener('data', onData).removeListener('end', onEnd).removeListener('error', onError)
      const [first = nothing] = chunks
      done(error, error !== null ? nothing : chunks.length > 1 ? Buffer.concat(chunks, length) : first)
    }

    // What says that it is too long is not read.
    const refusal = refusalOf(Number(request.headers['content-length'] ?? 0))
    if (refusal === null) payload.on('data', onData).on('end', onEnd).on('error', onError)
    else done(refusal, nothing)
  }
}
