// The addresses of the queue: one for all models, whichever are on offer now, and those of the models that the document of the gateway describes.

import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import { appIdOf } from '../../fal-wire/endpoint-id.ts'
import { parseQueuePath, type QueuePath } from '../../fal-wire/queue-path.ts'
import { modelInPath, type ByModel } from '../asked-model.ts'
import { bodyLimitOfModel } from '../body-bytes.ts'
import { answerHeaders } from '../headers.ts'
import { described } from '../model-schemas.ts'
import type { RouteOperation } from '../request-facts.ts'
import { FAL_PREFIX } from './address.ts'
import { pollHandlers, type PollDeps, type PollHandlers } from './poll.ts'
import { anySubmitSchema, cancelSchema, hiddenSchema, resultSchema, statusSchema, streamSchema, submitSchema, type RequestParams } from './schema.ts'
import { submitter, type SubmitDeps } from './submit.ts'

interface ById { Params: Static<typeof RequestParams> }
interface Call extends ByModel { Querystring: Readonly<Record<string, unknown>> }

const QUEUE = `${FAL_PREFIX}/queue/`

/** Submits and polls. */
export function queueRoutes (fal: FastifyInstance, deps: SubmitDeps & PollDeps): void {
  const submit = submitter(deps)
  const polls = pollHandlers(deps)
  pollRoutes(fal, deps.models().documented.map(({ endpointId }) => endpointId), polls)
  for (const { model, components } of described(deps.models())) {
    fal.post<Call>(`/queue/${model.endpointId}`, { config: { saysCacheStatus: true }, schema: submitSchema(model, components) }, async (request, reply) => await submit(request, model.endpointId, reply))
  }
  // An endpoint id may have any number of segments, so that the router cannot tell the operations apart.
  fal.post<Call>('/queue/*', { config: { saysCacheStatus: true, operationOf, bodyLimitOf: bodyLimitOfModel(modelInPath(deps.models)) }, schema: anySubmitSchema }, async (request, reply) => {
    const asked = parseQueuePath(request.params['*'])
    if (asked.operation !== 'submit') throw takesOnly(asked.method)
    return await submit(request, asked.endpointId, reply)
  })
  fal.route<ByModel>({
    method: ['GET', 'PUT'],
    url: '/queue/*',
    config: { operationOf },
    schema: hiddenSchema({}),
    handler: (request, reply) => poll(request, reply, parseQueuePath(request.params['*']))
  })

  function poll (request: FastifyRequest, reply: FastifyReply, asked: QueuePath): FastifyReply | Promise<FastifyReply> | undefined {
    if (asked.operation === 'submit' || (asked.method === 'PUT') !== (request.method === 'PUT')) throw takesOnly(asked.method)
    return polls[asked.operation](request, reply, { named: asked.endpointId, requestId: asked.id })
  }
}

/** Addresses of their own for models that are described, so that each operation has its place in the document. They do what the one for all does. */
export function pollRoutes (fal: FastifyInstance, ids: readonly string[], polls: PollHandlers): void {
  const appIds = new Set(ids.map(appIdOf))
  for (const named of new Set([...appIds, ...ids])) {
    const at = `/queue/${named}/requests/:id`
    const shown = appIds.has(named) ? <Schema>(schema: Schema): Schema => schema : hiddenSchema
    const to = (answer: PollHandlers[keyof PollHandlers]) => (request: FastifyRequest<ById>, reply: FastifyReply) => answer(request, reply, { named, requestId: request.params.id })
    fal.get<ById>(`${at}/status`, { config: { isPoll: true }, schema: shown(statusSchema(named)) }, to(polls.status))
    fal.get<ById>(`${at}/status/stream`, { exposeHeadRoute: false, schema: shown(streamSchema(named)) }, to(polls.stream))
    fal.get<ById>(at, { schema: shown(resultSchema(named)) }, to(polls.result))
    fal.get<ById>(`${at}/response`, { schema: hiddenSchema(resultSchema(named)) }, to(polls.result))
    fal.put<ById>(`${at}/cancel`, { schema: shown(cancelSchema(named)) }, to(polls.cancel))
  }
}

const tails: Readonly<Record<Exclude<QueuePath['operation'], 'submit'>, string>> = { status: '/status', stream: '/status/stream', result: '', cancel: '/cancel' }

function operationOf (path: string): RouteOperation {
  const { operation } = parseQueuePath(path.slice(QUEUE.length))
  return operation === 'submit' ? { route: `${QUEUE}*`, isPoll: false } : { route: `${QUEUE}*/requests/:id${tails[operation]}`, isPoll: operation === 'status' }
}

function takesOnly (method: string): Problem {
  return new Problem('method-not-allowed', { headers: { [answerHeaders.allow]: method } })
}
