// A generation as the body of an answer, with its output, however long that is.

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Generation } from '../generation/generation.ts'
import { bodyOf, withOutput } from '../generation/large.ts'
import type { Ledger } from '../generation/ledger.ts'
import { generationJson, generationJsonAround } from './generation-view.ts'

/** How one of many readers is sent a long output: nothing of it is copied, and the next part waits until the one before was taken. */
const STREAM = { objectMode: true, highWaterMark: 1 } as const

/** Sends it with the status and the headers that the answer has by now. To HEAD nothing is sent, so that a long output is not read. */
export async function sendGeneration (request: FastifyRequest, reply: FastifyReply, row: Generation, ledger: Pick<Ledger, 'aside'>): Promise<FastifyReply> {
  const { output } = request.method === 'HEAD' ? row : await withOutput(ledger, row)
  reply.type('application/json')
  if (row.large === null || output === null) return reply.send(generationJson(row, request.id))
  const [before, after] = generationJsonAround(row, request.id)
  const parts = [before, bodyOf(row, output), after].map(part => typeof part === 'string' ? Buffer.from(part) : part)
  return reply.header('content-length', parts.reduce((sum, part) => sum + part.length, 0)).send(Readable.from(parts, STREAM))
}
