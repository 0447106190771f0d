// `/generations`: what was asked for with this key, to look at, to collect and to cancel.

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Problem } from '../errors.ts'
import type { Generation } from '../generation/generation.ts'
import { withOutput } from '../generation/large.ts'
import type { Ledger } from '../generation/ledger.ts'
import { hasEnded, statuses, type Phase, type Status } from '../generation/phases.ts'
import type { OnTrouble } from '../trouble.ts'
import { rememberFetch } from './delivery.ts'
import { generationJson, generationListJson } from './generation-view.ts'
import { answerHeaders } from './headers.ts'
import { rowFor, type FileAddresses } from './file-addresses.ts'
import { problemResponses } from './problem-schema.ts'
import { readerOf } from './request-facts.ts'
import { sendGeneration } from './send-generation.ts'

/** Generations a page, where nobody says how many. */
const DEFAULT_LIMIT = 20

const Page = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_LIMIT, description: 'Generations a page, at most: a page with long inputs and outputs is shorter, and what was shared with others is looked through bit by bit. Only `next_cursor` tells whether there are more.' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'The page after the generation with this id: `next_cursor` of the page before.' })),
  status: Type.Optional(Type.Unsafe<Status>({ type: 'string', enum: [...statuses], description: 'Only these.' }))
}, { additionalProperties: false })

const Id = Type.Object({ id: Type.String({ description: 'A generation\'s id.' }) })

const documented = { tags: ['generations'], security: [{ key: [] }] }
const json = { content: { 'application/json': { schema: Type.Ref('Generation') } } }

export interface GenerationDeps {
  readonly ledger: Ledger
  readonly fileAddresses: FileAddresses
  readonly onTrouble: OnTrouble
}

export function generationRoutes (scope: FastifyInstance, { ledger, fileAddresses, onTrouble }: GenerationDeps): void {
  scope.get<{ Querystring: Static<typeof Page> }>('/generations', {
    schema: {
      ...documented,
      operationId: 'list_generations',
      summary: 'The generations of this key\'s tenant, newest first',
      querystring: Page,
      response: {
        200: Type.Unsafe<unknown>({ description: 'A page.', content: { 'application/json': { schema: Type.Ref('GenerationList') } } }),
        ...problemResponses('reading', 'bad-query')
      }
    }
  }, async (request, reply) => {
    const { limit = DEFAULT_LIMIT, cursor = null, status = null } = request.query
    const page = await ledger.list(readerOf(request), { limit, cursor, status })
    if (page.isCursorUnknown === true) throw new Problem('bad-query', { detail: 'No generation with the id in `cursor` is in this list, or it was forgotten meanwhile. Begin again without a cursor.' })
    return reply.type('application/json').send(generationListJson(page.rows.map(row => rowFor(request, row, fileAddresses)), page.nextCursor, request.id))
  })

  scope.get<{ Params: Static<typeof Id> }>('/generations/:id', {
    schema: {
      ...documented,
      operationId: 'get_generation',
      summary: 'One generation; this is how a paid picture is collected',
      params: Id,
      response: {
        200: Type.Unsafe<unknown>({ description: 'The generation.', ...json }),
        ...problemResponses('reading', 'no-such-generation')
      }
    }
  }, async (request, reply) => {
    const row = await ledger.read(request.params.id, readerOf(request))
    if (row === null) throw new Problem('no-such-generation')
    request.facts.generationId = row.id
    const shown = request.method === 'HEAD' ? row : await withOutput(ledger, row)
    // Looking at it with HEAD shows no picture, and what could not be read was not delivered.
    if (hasEnded(row.phase) && request.method === 'GET') rememberFetch(request.facts.connection, row.id, { ledger, onTrouble })
    return sendGeneration(request, reply.headers(headersOf(row)), shown, fileAddresses)
  })

  scope.delete<{ Params: Static<typeof Id> }>('/generations/:id', {
    schema: {
      ...documented,
      operationId: 'delete_generation',
      summary: 'Forget a generation for good',
      description: 'Its input, output and log go at once, and its files with the last generation that refers to them. What it cost stays in the books, and its `Idempotency-Key` stays bound: it is answered 410 `generation-deleted`. Only what has ended is deleted.',
      params: Id,
      response: {
        204: Type.Unsafe<unknown>({ description: 'It is deleted, now or within the last 24 hours.', type: 'null' }),
        ...problemResponses('changing', 'no-such-generation', 'generation-under-way')
      }
    }
  }, async (request, reply) => {
    const { id } = request.params
    const erased = await ledger.erase(id, readerOf(request))
    if (erased.outcome === 'no-such-generation') throw new Problem('no-such-generation')
    request.facts.generationId = id
    if (erased.outcome === 'not-ended') throw new Problem('generation-under-way', { generationId: id, detail: howToEnd(erased.phase) })
    return reply.code(204).send()
  })

  scope.post<{ Params: Static<typeof Id> }>('/generations/:id/cancel', {
    schema: {
      ...documented,
      operationId: 'cancel_generation',
      summary: 'Cancel a generation',
      description: 'Queued: nothing is spent. Running: the upstream is asked to stop; it ends as the upstream ends it.',
      params: Id,
      response: {
        200: Type.Unsafe<unknown>({ description: 'The generation as it now is.', ...json }),
        ...problemResponses('changing', 'no-such-generation', 'others-waiting', 'already-finished')
      }
    }
  }, async (request, reply) => {
    const { id } = request.params
    const cancelled = await ledger.cancel(id, readerOf(request))
    if (cancelled.outcome === 'no-such-generation') throw new Problem('no-such-generation')
    request.facts.generationId = id
    if (cancelled.outcome === 'others-waiting' || cancelled.outcome === 'already-finished') throw new Problem(cancelled.outcome, { generationId: id })
    return reply.headers(headersOf(cancelled.row)).type('application/json').send(generationJson(rowFor(request, cancelled.row, fileAddresses), request.id))
  })
}

function howToEnd (phase: Phase): string {
  switch (phase) {
    case 'unknown': return 'Nobody knows yet whether it was bought. Delete it when that was found out, or an operator has settled it.'
    case 'succeeded': case 'failed': case 'cancelled': return 'The upstream is still asked what came of it. Delete it again in an hour.'
    default: return 'Cancel it, or wait until it has ended.'
  }
}

/** Tells pollers when another look is worth it. */
function headersOf (row: Generation): Record<string, string> {
  return { [answerHeaders.generation]: row.id, ...(hasEnded(row.phase) ? {} : { [answerHeaders.retryAfter]: '1' }) }
}
