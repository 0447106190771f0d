// From what the core answers to HTTP: status, headers, body.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { Generation } from '../generation/generation.ts'
import { withOutput } from '../generation/large.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { CallOptions } from '../generation/request/call.ts'
import { problemOfEnd, problemOfFailed } from '../generation/request/problems.ts'
import type { Answer } from '../generation/request/request.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import { generationJson } from './generation-view.ts'
import { answerHeaders } from './headers.ts'
import { outputFor, type FileAddresses } from './file-addresses.ts'
import { addPurchaseLimit } from './rate-limit-headers.ts'
import { readerOf } from './request-facts.ts'
import { sendGeneration } from './send-generation.ts'

/** The addresses that the caller of a request is given: whole ones, or paths on the gateway's host. */
export interface Addresses {
  readonly generation: (request: FastifyRequest, id: string) => string
  readonly model: (request: FastifyRequest, endpointId: string) => string
}

/** What answers with outputs are made with. */
export interface AnswerDeps { readonly addresses: Addresses, readonly fileAddresses: FileAddresses }

/** An answer that somebody waits for. */
export type Arrived = Exclude<Answer, { kind: 'caller-gone' }>

type AnsweredAs = Pick<CallOptions, 'mode' | 'async' | 'preferenceApplied'>

type Kind<K extends Answer['kind']> = Extract<Answer, { kind: K }>

/** When a caller whose generation still runs should ask again. */
const COLLECT_AFTER_SECONDS = 5

/** What logs say of a caller that did not wait for its answer; nobody receives it. */
export const CALLER_GONE = 499

/** Writes the answer of `POST /generate`; failures are thrown for the error handler, with what is known about them in headers. */
export function sendAnswer (request: FastifyRequest, reply: FastifyReply, answer: Answer, options: AnsweredAs, { addresses, fileAddresses }: AnswerDeps): FastifyReply {
  if (answer.kind === 'caller-gone') return reply.code(CALLER_GONE).send()
  tellAnswer(request, reply, answer, options.mode)
  switch (answer.kind) {
    case 'picture':
      return reply.code(200).type('application/json').send(outputFor(request, answer.body, answer, fileAddresses))
    case 'failed':
      throw problemOfFailed(answer)
    case 'gone':
      throw problemOfEnd(answer.end)
    case 'under-way':
      return sendUnderWay(request, reply, answer, options, addresses)
  }
}

/** Writes the answer of `POST /generations`: the generation as it now is. What has no generation is thrown, as everywhere. */
export async function sendAsGeneration (request: FastifyRequest, reply: FastifyReply, answer: Answer, { mode, preferenceApplied }: AnsweredAs, { ledger, addresses, fileAddresses }: AnswerDeps & { readonly ledger: Pick<Ledger, 'read' | 'aside'> }): Promise<FastifyReply> {
  if (answer.kind === 'caller-gone') return reply.code(CALLER_GONE).send()
  tellAnswer(request, reply, answer, mode)
  if (answer.kind === 'gone') throw problemOfEnd(answer.end)
  const id = idOf(answer)
  if (id === null) throw withoutId(mode)
  const row = answer.row ?? await ledger.read(id, readerOf(request))
  if (row === null) throw new Problem('result-expired', { generationId: id })
  const shown = await withOutput(ledger, row)
  reply.code(202).header(answerHeaders.location, addresses.generation(request, id))
  if (preferenceApplied !== null) reply.header(answerHeaders.preferenceApplied, preferenceApplied)
  return sendGeneration(request, reply, shown, fileAddresses)
}

/** Says in headers, and notes for the log, where an answer comes from, which generation it belongs to and what it cost. */
export function tellAnswer (request: FastifyRequest, reply: FastifyReply, answer: Arrived, mode: CallOptions['mode']): void {
  const id = idOf(answer)
  request.facts.source = answer.source
  request.facts.generationId = id
  if (id !== null) reply.header(answerHeaders.generation, id)
  if (answer.rate !== null) addPurchaseLimit(reply, answer.rate)
  sayIgnored(request, reply)
  if (answer.source === 'replayed') reply.header(answerHeaders.replayed, 'true')
  reply.header(answerHeaders.cacheStatus, cacheStatus(answer, mode))
  if (answer.kind === 'under-way') return
  const ageMs = answer.kind === 'gone' || (answer.kind === 'picture' && answer.source !== 'hit') ? null : answer.ageMs
  if (ageMs !== null) reply.header(answerHeaders.age, Math.floor(ageMs / 1000))
  sayCost(request, reply, costOf(answer), answer.kind === 'picture' ? answer.saved : 0)
}

/** The same of a list that was asked for together. */
export function tellAnswers (request: FastifyRequest, reply: FastifyReply, answers: readonly Arrived[], mode: CallOptions['mode']): void {
  const [first] = answers
  if (first !== undefined && answers.length === 1) return tellAnswer(request, reply, first, mode)
  const ids = answers.flatMap(answer => idOf(answer) ?? [])
  request.facts.source = first?.source ?? null
  request.facts.generationId = ids.join(',') || null
  if (ids.length > 0) reply.header(answerHeaders.generation, ids.join(', '))
  const rate = answers.findLast(answer => answer.rate !== null)?.rate ?? null
  if (rate !== null) addPurchaseLimit(reply, rate)
  if (answers.every(({ source }) => source === 'replayed')) reply.header(answerHeaders.replayed, 'true')
  reply.header(answerHeaders.cacheStatus, answers.map(answer => cacheStatus(answer, mode)).join(', '))
  const costs = answers.map(costOf)
  const known = costs.filter(cost => cost !== null)
  if (known.length === costs.length) sayCost(request, reply, known.reduce((sum, cost) => sum + cost, 0), answers.reduce((sum, answer) => sum + (answer.kind === 'picture' ? answer.saved : 0), 0))
}

/** What an answer cost its caller, as far as that is known. */
function costOf (answer: Arrived): MicroUsd | null {
  switch (answer.kind) {
    case 'picture': return answer.cost
    case 'failed': return answer.source === 'bought' ? answer.row.cost : 0
    case 'gone': return 0
    case 'under-way': return null
  }
}

/** Names the fields that were left out: their caller meant something, and paid for a picture without it. */
export function sayIgnored ({ facts: { ignored } }: FastifyRequest, reply: FastifyReply): void {
  if (ignored.length > 0) reply.header(answerHeaders.ignored, ignored.join(', '))
}

/** The id that an answer gives its caller, or null where the caller may not have it. */
export function idOf (answer: Arrived): string | null {
  switch (answer.kind) {
    case 'picture':
    case 'under-way': return answer.generationId
    case 'gone': return answer.end.id
    case 'failed': return answer.row.id
  }
}

function sendUnderWay (request: FastifyRequest, reply: FastifyReply, { generationId, row }: Kind<'under-way'>, { async, preferenceApplied }: AnsweredAs, addresses: Addresses): FastifyReply {
  reply.header(answerHeaders.location, addresses.generation(request, generationId))
  if (!async || row === null) throw stillRunning(generationId)
  if (preferenceApplied !== null) reply.header(answerHeaders.preferenceApplied, preferenceApplied)
  return reply.code(202).type('application/json').send(generationJson(row, request.id))
}

/**
 * For a caller that has to be given an id, when there is none. That is only so for a stored result of another reader when nothing was admitted: no alias was made
 * that could lead this caller to it.
 */
export function withoutId (mode: CallOptions['mode']): Problem {
  return mode === 'only' ? new Problem('not-cached', { detail: 'What is stored was bought by others and has no id to come back with; `POST /generate` and fal\'s synchronous call get it.' }) : new Problem('draining')
}

/** For a caller that was not asked how long it wants to wait. */
export function stillRunning (generationId: string): Problem {
  return new Problem('still-running', {
    generationId,
    retryAfterSeconds: COLLECT_AFTER_SECONDS,
    detail: 'It goes on. Send the same request again, or read the generation, to collect it; nothing is bought twice.'
  })
}

/** A cost that is not known yet is not told. */
function sayCost (request: FastifyRequest, reply: FastifyReply, cost: Generation['cost'], saved: MicroUsd): void {
  if (cost === null) return
  request.facts.cost = cost
  request.facts.saved = saved
  reply.header(answerHeaders.cost, formatUsd(cost))
  reply.header(answerHeaders.saved, formatUsd(saved))
}

/** `Cache-Status` (RFC 9211) of an answer that does not come from what is stored: why the request goes on. */
export function missed (mode: CallOptions['mode']): string {
  switch (mode) {
    case 'bypass': return 'falgate; fwd=bypass'
    case 'refresh': return 'falgate; fwd=request'
    case 'normal':
    case 'reuse': return 'falgate; fwd=miss'
    case 'only': return 'falgate; detail=not-cached'
  }
}

/** The same once it is known what became of it. */
function cacheStatus (answer: Arrived, mode: CallOptions['mode']): string {
  if (answer.kind === 'picture' && answer.source === 'hit') return `falgate; hit; ttl=${Math.floor(answer.ttlMs / 1000)}`
  // What ended without a picture before this call came is an answer that is stored for a while, and nobody waited for it together with others.
  if (answer.kind === 'failed' && answer.source === 'joined' && answer.ageMs !== null) {
    return `falgate; hit; ttl=${Math.floor(answer.forMs / 1000)}; detail=${answer.row.phase === 'unknown' ? 'unknown-before' : 'failed-before'}`
  }
  const stored = answer.kind === 'picture' && answer.stored
  return `${answer.foundDead ? 'falgate; fwd=stale' : missed(mode)}${stored ? '; stored' : ''}${answer.source === 'joined' ? '; collapsed' : ''}; detail=${answer.foundDead ? 'dead-link' : answer.source}`
}
