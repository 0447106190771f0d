// Pictures as OpenAI streams them: server-sent events, with comments about where the request stands until it is done.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Generation } from '../../generation/generation.ts'
import { bodyOf, withOutput } from '../../generation/large.ts'
import { hasEnded, statusOf } from '../../generation/phases.ts'
import { problemOfGeneration, resultGone } from '../../generation/request/problems.ts'
import { CALLER_GONE, stillRunning, tellAnswers } from '../answer.ts'
import { askForAll } from '../ask.ts'
import { rememberFetch } from '../delivery.ts'
import { readerOf } from '../request-facts.ts'
import type { AskedImages, ImagesDeps } from './asked.ts'
import { addressMembers, base64Members, successesIn, type Made } from './pictures.ts'
import { openAiErrorOf } from './render.ts'

/** A refusal is an answer like every other; what happens after the admission is told in the stream. */
export async function streamImages (request: FastifyRequest, reply: FastifyReply, asked: AskedImages, deps: ImagesDeps): Promise<FastifyReply> {
  const { answers: [answer], deliver } = await askForAll(request, asked.model, { ...asked.headers, waitMs: 0 }, asked.mapped, deps, asked.uploadFiles)
  if (answer === undefined || answer.kind === 'caller-gone') return reply.code(CALLER_GONE).send()
  tellAnswers(request, reply, [answer], asked.headers.mode)
  if (answer.kind === 'under-way') {
    await deps.eventStreams.write(request, reply, storyOf(request, answer.generationId, asked, deps))
    return reply
  }
  const [success] = successesIn([answer])
  if (success === undefined) throw new Error('an answer is neither a success nor a problem')
  await deps.eventStreams.write(request, reply, told(async function * () {
    const events = await eventsOf(request, success, createdAt(Date.now() - success.ageMs), asked, deps)
    deliver()
    yield events
  }))
  return reply
}

/** What becomes of a generation, until it has ended. */
function storyOf (request: FastifyRequest, id: string, asked: AskedImages, deps: ImagesDeps): AsyncGenerator<string> {
  const { connection } = request.facts
  return told(async function * () {
    const moments = await deps.follow.moments(id, readerOf(request), { logged: 0, signal: connection.untilOver(), comesBack: false })
    if (moments === null) throw new Problem('no-such-generation')
    for await (const { row } of moments) {
      if (!hasEnded(row.phase)) {
        yield progressOf(row)
        continue
      }
      const events = await eventsOf(request, await madeOf(row, deps), createdAt(row.finishedAtMs ?? Date.now()), asked, deps)
      rememberFetch(connection, id, deps)
      yield events
      return
    }
    throw stillRunning(id)
  })
}

/** Ends a stream that fails with an event that says why. */
async function * told (texts: () => AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    yield * texts()
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    yield event('error', JSON.stringify(openAiErrorOf(error)))
  }
}

function progressOf ({ phase, queuePosition }: Generation): string {
  return `: ${statusOf(phase)}${queuePosition === null ? '' : `, ${queuePosition} ahead`}\n\n`
}

/** The output of a row that has ended. Throws what became of it in place of that. */
async function madeOf (row: Generation, { ledger }: Pick<ImagesDeps, 'ledger'>): Promise<Made> {
  if (row.phase !== 'succeeded') throw problemOfGeneration(row)
  const { output, bases, media, id } = await withOutput(ledger, row)
  if (output === null) throw resultGone(row)
  return { body: bodyOf(row, output), bases, media, generationId: id }
}

async function eventsOf (request: FastifyRequest, made: Made, created: number, asked: AskedImages, deps: ImagesDeps): Promise<string> {
  const members = asked.format === 'url' ? addressMembers(request, made, asked, deps) : await base64Members(request, made, asked, deps)
  const completed = `${asked.event}.completed`
  return members.map(member => event(completed, `{"type":"${completed}","created_at":${created},${member.slice(1)}`)).join('')
}

function createdAt (ms: number): number {
  return Math.floor(ms / 1000)
}

function event (name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}
