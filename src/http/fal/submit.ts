// Making pictures by fal's protocol: the synchronous call, and the submit of the queue.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { falHeaders } from '../../fal-wire/headers.ts'
import { statusObjectOf } from '../../fal-wire/status.ts'
import { problemOfEnd, problemOfFailed } from '../../generation/request/problems.ts'
import type { ModelBook } from '../../models/models.ts'
import { CALLER_GONE, idOf, missed, stillRunning, tellAnswer, withoutId, type Arrived } from '../answer.ts'
import { ask, type AskDeps } from '../ask.ts'
import { askedModel, modelInPath, type ByModel } from '../asked-model.ts'
import { bodyLimitOfModel } from '../body-bytes.ts'
import { answerDryRun, isDryRun } from '../dry-run.ts'
import { answerHeaders } from '../headers.ts'
import { outputFor, type FileAddresses } from '../file-addresses.ts'
import { described } from '../model-schemas.ts'
import { withFalHook, type WebhookDeps } from '../webhook-wish.ts'
import { runOptionsOf, submitOptionsOf, webhookIn } from './call-headers.ts'
import { billableUnits } from './render.ts'
import { requestIdFor } from './request-id.ts'
import { anyRunSchema, runSchema } from './schema.ts'

export interface SubmitDeps extends AskDeps, WebhookDeps {
  /** What is on offer now. */
  readonly models: () => ModelBook
  readonly waitMs: number
  readonly fileAddresses: FileAddresses
  /** Base of the queue's addresses as this caller knows it. */
  readonly queueBase: (request: FastifyRequest) => string
}

/** A call; the query may ask for what is refused. */
interface Call extends ByModel { Querystring: Readonly<Record<string, unknown>> }

/** The handler of a submit, which shares its address with the requests that are already in the queue. */
export type Submit = (request: FastifyRequest<Call>, endpointId: string, reply: FastifyReply) => Promise<FastifyReply>

export function runRoute (fal: FastifyInstance, deps: SubmitDeps): void {
  const answer = run(deps)
  const config = { saysCacheStatus: true }
  // The same as the wildcard; they have addresses of their own for the documents' sake.
  for (const { model, components } of described(deps.models())) {
    fal.post<Call>(`/${model.endpointId}`, { config, schema: runSchema(model, components) }, async (request, reply) => await answer(request, model.endpointId, reply))
  }
  fal.post<Call>('/*', { config: { ...config, bodyLimitOf: bodyLimitOfModel(modelInPath(deps.models)) }, schema: anyRunSchema }, async (request, reply) => await answer(request, request.params['*'], reply))
}

/** A synchronous call. */
function run (deps: SubmitDeps): Submit {
  return async (request, endpointId, reply) => {
    const headers = runOptionsOf(request, deps.waitMs)
    reply.header(answerHeaders.cacheStatus, missed(headers.mode))
    const isDry = isDryRun(request, reply)
    const model = askedModel(request, endpointId, deps.models())
    if (isDry) return await answerDryRun(request, reply, model, headers, 'leave-out', deps)
    // fal's models leave out fields that they do not have, and take null for no seed; clients that were written for them may count on it.
    const answer = await ask(request, model, headers, 'leave-out', deps)
    if (answer.kind === 'caller-gone') return reply.code(CALLER_GONE).send()
    tellAnswer(request, reply, answer, headers.mode)
    nameRequest(reply, answer)
    switch (answer.kind) {
      case 'picture':
        return reply.header(falHeaders.billableUnits, answer.units).code(200).type('application/json').send(outputFor(request, answer.body, answer, deps.fileAddresses))
      case 'failed': {
        const units = billableUnits(answer.row, answer.source !== 'bought')
        if (units !== null) reply.header(falHeaders.billableUnits, units)
        throw problemOfFailed(answer)
      }
      case 'gone':
        throw problemOfEnd(answer.end)
      case 'under-way':
        throw stillRunning(answer.generationId)
    }
  }
}

/** The submit of the queue. */
export function submitter (deps: SubmitDeps): Submit {
  return async (request, endpointId, reply) => {
    const plain = submitOptionsOf(request)
    reply.header(answerHeaders.cacheStatus, missed(plain.mode))
    const headers = withFalHook(request, plain, webhookIn(request), deps)
    const isDry = isDryRun(request, reply)
    const model = askedModel(request, endpointId, deps.models())
    if (isDry) return await answerDryRun(request, reply, model, headers, 'leave-out', deps)
    const answer = await ask(request, model, headers, 'leave-out', deps)
    if (answer.kind === 'caller-gone') return reply.code(CALLER_GONE).send()
    tellAnswer(request, reply, answer, headers.mode)
    const requestId = nameRequest(reply, answer, headers.hook !== null)
    if (answer.kind === 'gone') throw problemOfEnd(answer.end) // nothing would be found under its id
    if (requestId === null) throw withoutId(headers.mode)
    // Like fal's answer it says `IN_QUEUE`, also when all is done by now. What came of it the client learns from the status and the result, an error too.
    const status = statusObjectOf({
      queueBase: deps.queueBase(request),
      endpointId: model.endpointId,
      requestId,
      state: 'IN_QUEUE',
      position: answer.kind === 'under-way' ? answer.row?.queuePosition ?? 0 : 0,
      logs: null,
      inferenceSeconds: null
    })
    return reply.code(200).type('application/json').send(JSON.stringify(status))
  }
}

/**
 * Gives the request the id under which its caller can come back, if there is one. With a webhook it is that of the generation, however the answer came about: the
 * ledger keeps no other, and the webhook has to name the one that was told.
 */
function nameRequest (reply: FastifyReply, answer: Arrived, hasHook = false): string | null {
  const id = idOf(answer)
  if (id === null) return null
  const requestId = hasHook ? id : requestIdFor(id, answer.source)
  reply.header(falHeaders.requestId, requestId)
  return requestId
}
