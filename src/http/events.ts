// `GET /generations/{id}/events`: a generation's story as server-sent events, to its last state.

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Problem } from '../errors.ts'
import type { Ledger } from '../generation/ledger.ts'
import { hasEnded, statusOf } from '../generation/phases.ts'
import type { Follow } from '../generation/watch/follow.ts'
import type { Moment } from '../generation/watch/moments.ts'
import type { OnTrouble } from '../trouble.ts'
import { rememberFetch } from './delivery.ts'
import type { EventStreams } from './event-stream.ts'
import { generationEventJson } from './generation-view.ts'
import { requestHeaders } from './headers.ts'
import { rowFor, type FileAddresses } from './file-addresses.ts'
import { problemResponses } from './problem-schema.ts'
import { callerOf } from './request-facts.ts'

export interface EventsDeps {
  readonly follow: Follow
  readonly eventStreams: EventStreams
  readonly ledger: Ledger
  readonly fileAddresses: FileAddresses
  readonly onTrouble: OnTrouble
}

const Id = Type.Object({ id: Type.String({ description: 'A generation\'s id.' }) })

const Query = Type.Object({
  last_event_id: Type.Optional(Type.String({ maxLength: 64, description: '`Last-Event-ID` of an earlier stream, for those who cannot send that header.' }))
})

/** How long clients wait before they connect again, whyever the stream ended. */
const RETRY_MS = 2000

/**
 * Names a place in the story on every replica: version, log lines, and for the last state its word. What changes after the end, such as that the result
 * was collected, raises the version once more; the word stays.
 */
const EVENT_ID = /^\d{1,15}\.(\d{1,9})(?:\.([a-z]+))?$/

export function eventRoute (scope: FastifyInstance, { follow, eventStreams, ledger, fileAddresses, onTrouble }: EventsDeps): void {
  scope.get<{ Params: Static<typeof Id>, Querystring: Static<typeof Query> }>('/generations/:id/events', {
    // Without a body there is no stream.
    exposeHeadRoute: false,
    config: { takesTicket: true },
    schema: {
      operationId: 'follow_generation',
      tags: ['generations'],
      security: [{ key: [] }, { ticket: [] }],
      summary: 'Follow a generation, as server-sent events',
      description: [
        'Event `generation`: the generation, at once and after every change; the data is a `GenerationEvent`, and the last one has the output or the error; an output above 256 KiB (`output_bytes`) is left out, `GET` the generation for it. That the model is done and its answer could not be used is such a change: `looking_again_since`.',
        'Event `log`: a line that the model logged, `{"message", "timestamp", "level"}`.',
        'Comments come while nothing happens. The stream ends with the last state; it also ends when the process that serves it shuts down, or its key is not in force any more.',
        'Connect again with `Last-Event-ID`, on any replica: log lines go on behind the last one, and 204 says that the last state was told.',
        'For `EventSource`, which sends no key: `ticket` in its place. A ticket is used up when the stream opens; ask for another one to connect again.'
      ].join('\n\n'),
      params: Id,
      querystring: Query,
      response: {
        200: Type.Unsafe<unknown>({ description: 'Events until the generation has ended.', content: { 'text/event-stream': { schema: { type: 'string', description: 'The `data` of each event `generation` is JSON of the schema in `contentSchema`.', contentMediaType: 'text/event-stream', contentSchema: Type.Ref('GenerationEvent') } } } }),
        204: Type.Unsafe<unknown>({ description: 'It has ended, and `Last-Event-ID` is that of its last state: nothing more will come.', type: 'null' }),
        ...problemResponses('reading', 'bad-query', 'no-such-generation', 'ticket-unknown')
      }
    }
  }, async (request, reply) => {
    const { tenant, subject } = callerOf(request)
    const { connection } = request.facts
    const last = placeIn(request.headers[requestHeaders.lastEventId] ?? request.query.last_event_id)
    const moments = await follow.moments(request.params.id, { tenant: tenant.id, subject }, { logged: last.logged, signal: connection.untilOver() })
    if (moments === null) throw new Problem('no-such-generation')
    request.facts.generationId = request.params.id
    const story = moments[Symbol.asyncIterator]()
    const first = await story.next()
    if (first.done === true) throw new Problem('no-such-generation')
    const isTold = hasEnded(first.value.row.phase) && statusOf(first.value.row.phase) === last.end && first.value.log.lines.length === 0
    if (isTold) {
      await story.return?.()
      return reply.code(204).send()
    }

    async function * texts (): AsyncGenerator<string> {
      let moment = first
      try {
        yield `retry: ${RETRY_MS}\n\n`
        for (; moment.done !== true; moment = await story.next()) {
          const isLast = hasEnded(moment.value.row.phase)
          // An output that lies aside is too long for an event: it is not handed out by this.
          if (isLast && moment.value.row.large === null) rememberFetch(connection, request.params.id, { ledger, onTrouble })
          yield eventsOf({ ...moment.value, row: rowFor(request, moment.value.row, fileAddresses) }, request.id)
          if (isLast) return
        }
        yield ': this process shuts down, connect again\n\n'
      } finally {
        await story.return?.()
      }
    }
    await eventStreams.write(request, reply, texts())
    return reply
  })
}

/** Where a reader that comes back goes on; what is no id of ours is a beginning. */
function placeIn (header: string | string[] | undefined): { readonly logged: number, readonly end: string | null } {
  const [, logged, end] = EVENT_ID.exec(typeof header === 'string' ? header : '') ?? []
  return { logged: logged === undefined ? 0 : Number(logged), end: end ?? null }
}

/** Lines come before the state that they were told with: a reader of the last state has read everything. */
function eventsOf ({ row, log, moved }: Moment, requestId: string): string {
  const lines = log.lines.map((line, n) => event('log', `${row.version}.${log.from + n + 1}`, JSON.stringify(line)))
  if (!moved) return lines.join('')
  const id = `${row.version}.${log.from + log.lines.length}${hasEnded(row.phase) ? '.' + statusOf(row.phase) : ''}`
  return lines.join('') + event('generation', id, generationEventJson(row.large === null ? row : { ...row, output: null }, requestId))
}

/** JSON text holds no line break of its own when it was written by us, but an output comes byte for byte as fal sent it. */
function event (name: string, id: string, json: string): string {
  return `event: ${name}\nid: ${id}\ndata: ${json.replaceAll(/\r\n|[\r\n]/g, '\ndata: ')}\n\n`
}
