// From a request to the core and back, for all doors that make pictures: what was asked for, and the caller that waits for the answer.

import type { FastifyRequest } from 'fastify'
import type { CallOptions } from '../generation/request/call.ts'
import type { Answer, Requests } from '../generation/request/request.ts'
import type { Presence } from '../generation/watch/presence.ts'
import type { Metrics } from '../metrics.ts'
import type { Model, ReadOptions } from '../models/model.ts'
import { callOptionsOf, rememberBody, type CallReading, type HeaderOptions } from './call-options.ts'
import type { CallerConnection } from './connection.ts'
import { rememberDelivery, type DeliveryDeps } from './delivery.ts'

export interface AskDeps extends DeliveryDeps, CallReading {
  readonly requests: Requests
  readonly presence: Presence
}

/** Asks the core for what this model makes of the request's body. An answer out of this process' memory comes at once. */
export function ask (request: FastifyRequest, model: Model, headers: HeaderOptions, unknownFields: ReadOptions['unknownFields'], deps: AskDeps): Answer | Promise<Answer> {
  const options = callOptionsOf(request, model, headers, unknownFields, deps)
  const kept = deps.requests.fromMemory(options)
  if (kept === null) {
    // Whoever waits need not hold the bytes all the time.
    request.facts.bodyName = null
    return attended(options, request.facts.connection, deps)
  }
  rememberBody(request, options, unknownFields, deps)
  count(kept, options.tenant.id, deps.metrics)
  return kept
}

/**
 * Asks the core while somebody waits. The caller counts as there until its request is over, because an answer that could not be written leaves its generation
 * reattachable. Not `async`, as little is as callers wait in: what such a function has at hand is kept until it goes on.
 */
function attended (options: CallOptions, caller: CallerConnection, deps: AskDeps): Promise<Answer> {
  const connection = deps.presence.arrive(caller)
  return deps.requests.request(options, connection, caller).then(answer => {
    if (answer.kind === 'caller-gone') deps.metrics.undelivered(options.tenant.id)
    rememberDelivery(caller, answer, options, connection, deps)
    count(answer, options.tenant.id, deps.metrics)
    return answer
  })
}

function count (answer: Answer, tenant: string, metrics: Metrics): void {
  if (answer.kind !== 'picture') return
  metrics.answered(tenant, answer.source)
  if (answer.source !== 'bought') metrics.saved(tenant, answer.source, answer.saved)
}
