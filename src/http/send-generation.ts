// A generation as the body of an answer, with its output, however long that is.

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Generation } from '../generation/generation.ts'
import { bodyOf } from '../generation/large.ts'
import { generationJson, generationJsonAround } from './generation-view.ts'
import { outputFor, rowFor, type FileAddresses } from './file-addresses.ts'

/** How one of many readers is sent a long output: nothing of it is copied, and the next part waits until the one before was taken. */
const STREAM = { objectMode: true, highWaterMark: 1 } as const

/** Sends a row that has its output (see `withOutput`), with the status and the headers that the answer has by now. */
export function sendGeneration (request: FastifyRequest, reply: FastifyReply, row: Generation, fileAddresses: FileAddresses): FastifyReply {
  const { large, output } = row
  reply.type('application/json')
  if (large === null || output === null) return reply.send(generationJson(rowFor(request, row, fileAddresses), request.id))
  const [before, after] = generationJsonAround(row, request.id)
  const parts = [before, outputFor(request, bodyOf(row, output), row, fileAddresses), after].map(part => typeof part === 'string' ? Buffer.from(part) : part)
  return reply.header('content-length', parts.reduce((sum, part) => sum + part.length, 0)).send(Readable.from(parts, STREAM))
}
