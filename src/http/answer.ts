// From what the core answers to HTTP: status, headers, body.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { problemOfRow, type Answer } from '../generation/request.ts'
import type { Row } from '../generation/ports.ts'
import { formatUsd } from '../money.ts'
import { generationJson } from './generation-view.ts'
import type { Wishes } from './generate-headers.ts'
import { addPurchaseLimit } from './rate-limit-headers.ts'

/** When a caller whose generation still runs should ask again. */
const COLLECT_AFTER_SECONDS = 5

/** Writes the answer of `POST /generate`; failures are thrown for the error handler, with what is known about them in headers. */
export function sendAnswer (request: FastifyRequest, reply: FastifyReply, answer: Answer, wishes: Wishes): FastifyReply {
  request.facts.source = answer.source
  if (answer.rate !== null) addPurchaseLimit(reply, answer.rate)
  if (answer.source === 'replayed') reply.header('idempotent-replayed', 'true')
  switch (answer.kind) {
    case 'picture':
      return sendPicture(request, reply, answer, wishes)
    case 'failed':
      reply.header('cache-status', cacheStatus(answer, wishes, false))
      throw problemOfRow(answer.row)
    case 'under-way':
    case 'caller-gone': // nobody reads this; it is answered like the case that it resembles
      return sendUnderWay(request, reply, answer, wishes)
  }
}

function sendPicture (request: FastifyRequest, reply: FastifyReply, answer: Answer & { kind: 'picture' }, wishes: Wishes): FastifyReply {
  request.facts.generationId = answer.generationId
  request.facts.cost = answer.cost
  if (answer.generationId !== null) reply.header('falgate-generation', answer.generationId)
  if (answer.source === 'hit') {
    reply.header('cache-status', `falgate; hit; ttl=${Math.floor(answer.ttlMs / 1000)}`)
    reply.header('age', Math.floor(answer.ageMs / 1000))
  } else {
    reply.header('cache-status', cacheStatus(answer, wishes, answer.stored))
  }
  reply.header('falgate-cost-usd', formatUsd(answer.cost))
  reply.header('falgate-saved-usd', formatUsd(answer.saved))
  return reply.code(200).type('application/json').send(answer.body)
}

function sendUnderWay (request: FastifyRequest, reply: FastifyReply, answer: Answer & { row: Row }, wishes: Wishes): FastifyReply {
  const { row } = answer
  const location = `/generations/${row.id}`
  request.facts.generationId = row.id
  reply.header('cache-status', cacheStatus(answer, wishes, false)).header('location', location)
  if (!wishes.async) {
    throw new Problem('still-running', {
      generationId: row.id,
      retryAfterSeconds: COLLECT_AFTER_SECONDS,
      detail: 'It goes on. Send the same request again, or read the generation, to collect it; nothing is bought twice.'
    })
  }
  if (wishes.applied !== null) reply.header('preference-applied', wishes.applied)
  reply.header('falgate-generation', row.id)
  return reply.code(202).type('application/json').send(generationJson(row, request.id))
}

/** RFC 9211: why the request went on, what became of the answer, and from where it came. */
function cacheStatus (answer: Answer, wishes: Wishes, stored: boolean): string {
  const why = wishes.mode === 'bypass' ? 'bypass' : wishes.mode === 'refresh' ? 'request' : 'miss'
  return `falgate; fwd=${why}${stored ? '; stored' : ''}${answer.source === 'joined' ? '; collapsed' : ''}; detail=${answer.source}`
}
