// From a request to the core and back, for all doors that make pictures: what was asked for, and the caller that waits for the answer.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { CallOptions } from '../generation/request/call.ts'
import type { Answer, Requests } from '../generation/request/request.ts'
import type { Presence } from '../generation/watch/presence.ts'
import type { Metrics } from '../metrics.ts'
import type { Mapped } from '../models/image-request.ts'
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
    // A caller that waits need not hold the bytes all the time.
    request.facts.bodyName = null
    return attended(options, request.facts.connection, deps)
  }
  rememberBody(request, options, unknownFields, deps)
  count(kept, options.tenant.id, deps.metrics)
  return kept
}

/** Answers of a list, in its order. `deliver` is called when they are about to be sent: what was not sent may be reattached. */
export interface AnsweredList { readonly answers: readonly Answer[], readonly deliver: () => void }

/** Uploads the files of a request to where fal finds them, and gives it with their addresses there. Rejects with a `Problem`. */
export type UploadFiles = () => Promise<Mapped>

/**
 * Asks for all the calls that a body in other words means. They are admitted together or not at all (rule 38). Answers out of this process' memory come at once.
 * `uploadFiles`: `mapped` names files by what they hold, so that the same ones mean the same picture wherever they lie, and they are uploaded before something is bought.
 */
export function askForAll (request: FastifyRequest, model: Model, headers: HeaderOptions, mapped: Mapped, deps: AskDeps, uploadFiles: UploadFiles | null = null): AnsweredList | Promise<AnsweredList> {
  const list = callsOf(request, model, headers, mapped, uploadFiles !== null, deps)
  const [first] = list
  const kept = keptOf(list, deps.requests)
  if (kept === null) return uploadFiles === null ? attendedList(request, list, deps) : uploadedList(request, model, headers, list, uploadFiles, deps)
  rememberBody(request, first, 'refuse', deps, mapped)
  for (const answer of kept) count(answer, first.tenant.id, deps.metrics)
  return { answers: kept, deliver: nothing }
}

/** Each of the calls that a body means. Where no seed tells them apart they share what was read, which may be megabytes of pictures. */
function callsOf (request: FastifyRequest, model: Model, headers: HeaderOptions, mapped: Mapped, namesFiles: boolean, deps: AskDeps): readonly [CallOptions, ...CallOptions[]] {
  const first = callOptionsOf(request, model, headers, 'refuse', deps, { mapped, index: 0, namesFiles })
  const list: [CallOptions, ...CallOptions[]] = [first]
  for (let index = 1; index < mapped.calls; index++) {
    list.push(request.facts.seed.kind === 'digits' ? callOptionsOf(request, model, headers, 'refuse', deps, { mapped, index, namesFiles }) : { ...first, place: { index, of: mapped.calls } })
  }
  return list
}

function nothing (): void {}

function keptOf (list: readonly CallOptions[], requests: Requests): readonly Answer[] | null {
  const kept: Answer[] = []
  for (const options of list) {
    const answer = requests.fromMemory(options)
    if (answer === null) return null
    kept.push(answer)
  }
  return kept
}

/** The same, once fal finds its files. What would be refused is refused before they are sent anywhere, and what is stored or may not buy needs none of them. */
async function uploadedList (request: FastifyRequest, model: Model, headers: HeaderOptions, list: readonly [CallOptions, ...CallOptions[]], uploadFiles: UploadFiles, deps: AskDeps): Promise<AnsweredList> {
  const [first] = list
  if (first.mode === 'only') return await attendedList(request, list, deps)
  const { would, problem } = await deps.requests.foresee(first)
  if (would === 'refuse' && problem !== null) throw problem
  const stored = would === 'hit' && first.idempotencyKey === null ? await storedList(request, list, deps) : null
  if (stored !== null) return stored
  const { connection } = request.facts
  const mapped = await uploadFiles().catch((error: unknown) => {
    if (connection.isOpen()) throw error
    return null
  })
  if (mapped === null) {
    deps.metrics.undelivered(first.tenant.id)
    return { answers: list.map(() => ({ kind: 'caller-gone' })), deliver: nothing }
  }
  const atFal = callsOf(request, model, headers, mapped, false, deps)
  return await attendedList(request, list.map((options, index) => ({ ...options, inputAtFal: atFal[index]?.input ?? null })), deps)
}

/** What is stored of all of a list; `null`: not all of it is there any more. Buys nothing. */
async function storedList (request: FastifyRequest, list: readonly CallOptions[], deps: AskDeps): Promise<AnsweredList | null> {
  try {
    return await attendedList(request, list.map(options => ({ ...options, mode: 'only' })), deps)
  } catch (error) {
    if (error instanceof Problem && error.code === 'not-cached') return null
    throw error
  }
}

async function attendedList ({ facts }: FastifyRequest, list: readonly CallOptions[], deps: AskDeps): Promise<AnsweredList> {
  const { requests, presence, metrics } = deps
  const caller = facts.connection
  facts.bodyName = null
  const connection = presence.arrive(caller)
  const [one, ...others] = list
  if (one === undefined) throw new Error('a list of calls is empty')
  const answers = others.length === 0 ? [await requests.request(one, connection, caller)] : await requests.requestAll(list, connection, caller)
  if (answers.some(({ kind }) => kind === 'caller-gone')) metrics.undelivered(one.tenant.id)
  for (const answer of answers) count(answer, one.tenant.id, metrics)
  return {
    answers,
    deliver: () => {
      list.forEach((options, index) => {
        const answer = answers[index]
        if (answer !== undefined) rememberDelivery(caller, answer, options, connection, deps)
      })
    }
  }
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
