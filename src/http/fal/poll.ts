// What has become of a submitted request: status, status stream, result, cancel. Nothing here asks fal.

import { setTimeout } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import { appIdOf } from '../../fal-wire/endpoint-id.ts'
import { falHeaders } from '../../fal-wire/headers.ts'
import { IN_PROGRESS_TEXT, PING, codeOfState, queueWords, statusEvent, wantsLogs } from '../../fal-wire/status.ts'
import type { Generation } from '../../generation/generation.ts'
import { bodyOf, withOutput } from '../../generation/large.ts'
import { hasEnded } from '../../generation/phases.ts'
import { problemOfGeneration, resultGone } from '../../generation/request/problems.ts'
import type { LogLine } from '../../generation/upstream.ts'
import type { Follow } from '../../generation/watch/follow.ts'
import type { Moment } from '../../generation/watch/moments.ts'
import { rememberFetch, type DeliveryDeps } from '../delivery.ts'
import type { EventStreams } from '../event-stream.ts'
import { answerHeaders } from '../headers.ts'
import { outputFor, type FileAddresses } from '../file-addresses.ts'
import { readerOf } from '../request-facts.ts'
import { createGathering } from './gather.ts'
import { billableUnits, queueStatusOf } from './render.ts'
import { parseRequestId, type RequestId } from './request-id.ts'

export interface PollDeps extends Pick<DeliveryDeps, 'ledger' | 'onTrouble'> {
  readonly follow: Follow
  readonly eventStreams: EventStreams
  readonly queueBase: (request: FastifyRequest) => string
  readonly fileAddresses: FileAddresses
}

/** What is asked about a request of the queue. */
export interface AskedAbout {
  /** The id in the path, as it was given out. */
  readonly requestId: string
  /** The app id or the endpoint id in the path. */
  readonly named: string
}

/** Answers to what is asked about requests of the queue, by its operation. */
export type PollHandlers = Readonly<Record<'status' | 'stream' | 'result' | 'cancel', (request: FastifyRequest, reply: FastifyReply, asked: AskedAbout) => FastifyReply | Promise<FastifyReply> | undefined>>

/** Clients come back under the app id; fal's documents name the full id. Both mean the same request, and the row knows its model, also when that is not on offer any more. */
export function pollHandlers (deps: PollDeps): PollHandlers {
  const gather = createGathering() // one for all: answers to both names go out together
  return { status: status(gather, deps), stream: stream(deps), result: result(deps), cancel: cancel(deps) }
}

function status (gather: (send: () => void) => void, { follow, queueBase }: PollDeps): PollHandlers['status'] {
  return (request, reply, asked) => {
    const { id } = requestIdOf(asked, reply)
    const reader = readerOf(request)
    const kept = follow.nowKept(id, reader)
    if (kept === undefined) return follow.now(id, reader).then(moment => reply.send(prepare(request, reply, asked, id, moment)))
    // What is asked ten times a second, and has not ended, waits for nothing but others of its kind.
    const text = prepare(request, reply, asked, id, kept)
    gather(() => { reply.send(text) })
    return undefined
  }

  /** Says in the head of the answer how it stands, and gives its text. */
  function prepare (request: FastifyRequest, reply: FastifyReply, { requestId, named }: AskedAbout, id: string, moment: Moment | null): string {
    if (moment === null || !isNamed(moment.row, named)) throw new Problem('no-such-generation')
    request.facts.generationId = id
    const { code, text } = renderStatus(moment.row, { queueBase: queueBase(request), requestId, logs: wantsLogsIn(request) ? moment.log.lines : null })
    reply.code(code).type('application/json')
    return text
  }
}

interface StatusAsked { readonly queueBase: string, readonly requestId: string, readonly logs: readonly LogLine[] | null }

/** The text of a status, and what it was made for. `asked` is no copy: objects made by spreading have many shapes, and each poll reads this one. */
interface Rendered { readonly asked: StatusAsked, readonly code: number, readonly text: string }

/** The text that was made of a row last. Polls are many and changes few; a row that changes is another object. */
const lastRendered = new WeakMap<Generation, Rendered>()

function renderStatus (row: Generation, asked: StatusAsked): Rendered {
  const last = lastRendered.get(row)
  if (last !== undefined && last.asked.queueBase === asked.queueBase && last.asked.requestId === asked.requestId && last.asked.logs === asked.logs) return last
  const status = queueStatusOf(row, asked)
  const rendered = { asked, code: codeOfState(status.status), text: JSON.stringify(status) }
  lastRendered.set(row, rendered)
  return rendered
}

function stream ({ ledger, follow, eventStreams, queueBase, onTrouble }: PollDeps): PollHandlers['stream'] {
  return async (request, reply, asked) => {
    // Without a body there is no stream.
    if (request.method === 'HEAD') throw new Problem('method-not-allowed', { headers: { [answerHeaders.allow]: 'GET' } })
    const { id } = requestIdOf(asked, reply)
    const reader = readerOf(request)
    const signal = request.facts.connection.untilOver()
    const row = await ledger.read(id, reader)
    const moments = row === null || !isNamed(row, asked.named) ? null : await follow.moments(id, reader, { logged: 0, signal, comesBack: false })
    if (moments === null) throw new Problem('no-such-generation')
    request.facts.generationId = id
    const shown = { queueBase: queueBase(request), requestId: asked.requestId, withLogs: wantsLogsIn(request) }
    await eventStreams.write(request, reply, eventsOf(moments, shown, untilWritten), PING)
    return reply

    /** Resolves when the ledger has the end, too. While it is away only this process may know it, and the client fetches the result next, perhaps from another one. */
    async function untilWritten (): Promise<void> {
      while (!signal.aborted) {
        try {
          const written = await ledger.read(id, reader)
          if (written === null || hasEnded(written.phase)) return
        } catch (error) {
          onTrouble('read-end', error)
        }
        await setTimeout(LOOK_AGAIN_MS)
      }
    }
  }
}

/** How soon it is looked again whether the ledger has an end that this process knows. */
const LOOK_AGAIN_MS = 250

interface StreamAsked { readonly queueBase: string, readonly requestId: string, readonly withLogs: boolean }

/**
 * An event for every change, with the lines that are new. It ends with the last state: fal's client does not come back, and takes every end for that
 * one. A process that shuts down waits for it as for a synchronous call, and ends it early only when that lasts too long.
 */
async function * eventsOf (moments: AsyncIterable<Moment>, { withLogs, ...asked }: StreamAsked, untilWritten: () => Promise<void>): AsyncGenerator<string> {
  let last = ''
  for await (const { row, log } of moments) {
    if (hasEnded(row.phase)) await untilWritten()
    const event = statusEvent(queueStatusOf(row, { ...asked, logs: withLogs ? log.lines : null }))
    // What changed may be something that fal's queue does not tell.
    if (event !== last) yield event
    last = event
  }
}

function result ({ ledger, fileAddresses, onTrouble }: PollDeps): PollHandlers['result'] {
  return async (request, reply, asked) => {
    const { id, isFree } = requestIdOf(asked, reply)
    const row = await ledger.read(id, readerOf(request))
    if (row === null || !isNamed(row, asked.named)) throw new Problem('no-such-generation')
    request.facts.generationId = id
    if (!hasEnded(row.phase)) return reply.code(400).type('application/json').send(JSON.stringify({ detail: IN_PROGRESS_TEXT, message: IN_PROGRESS_TEXT }))
    const units = billableUnits(row, isFree || row.id !== row.purchase)
    if (units !== null) reply.header(falHeaders.billableUnits, units)
    const { output } = await withOutput(ledger, row)
    // Looking at it with HEAD shows no picture.
    if (request.method === 'GET') rememberFetch(request.facts.connection, id, { ledger, onTrouble })
    if (row.phase !== 'succeeded') throw problemOfGeneration(row)
    if (output === null) throw resultGone(row)
    return reply.code(200).type('application/json').send(outputFor(request, bodyOf(row, output), row, fileAddresses))
  }
}

function cancel ({ ledger }: PollDeps): PollHandlers['cancel'] {
  return async (request, reply, asked) => {
    const { id } = requestIdOf(asked, reply)
    const reader = readerOf(request)
    const row = await ledger.read(id, reader)
    if (row === null || !isNamed(row, asked.named)) throw new Problem('no-such-generation')
    request.facts.generationId = id
    const { outcome } = await ledger.cancel(id, reader)
    switch (outcome) {
      case 'cancelled':
      case 'asked':
      case 'already-cancelled': // a client that did not hear of it asks again
        return reply.code(202).type('application/json').send(JSON.stringify({ status: queueWords.cancelling }))
      case 'no-such-generation':
      case 'others-waiting':
      case 'already-finished':
        throw new Problem(outcome)
    }
  }
}

/** The id in the path, which every answer to it repeats. */
function requestIdOf ({ requestId }: AskedAbout, reply: FastifyReply): RequestId {
  const parsed = parseRequestId(requestId)
  if (parsed === null) throw new Problem('no-such-generation')
  reply.header(falHeaders.requestId, requestId)
  return parsed
}

function wantsLogsIn ({ query }: FastifyRequest): boolean {
  const logs: unknown = Reflect.get(Object(query), 'logs')
  return typeof logs === 'string' && wantsLogs(logs)
}

/** Are requests of the row's model named like this? */
function isNamed ({ model }: Generation, named: string): boolean {
  return model === named || (model.startsWith(named) && appIdOf(model) === named)
}
