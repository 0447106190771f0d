// `POST /v1/images/generations`: pictures in OpenAI's form, by the same way as those of `POST /generate`.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CALLER_GONE, tellAnswers, type Arrived } from '../answer.ts'
import { askForAll, type AnsweredList } from '../ask.ts'
import { askedOf, type AskedImages, type ImagesDeps } from './asked.ts'
import { addressMembers, base64Members, createdOf, failuresIn, successesIn, type Success } from './pictures.ts'
import { sendOpenAi } from './render.ts'
import { imagesSchema } from './schema.ts'
import { streamImages } from './stream.ts'

export function imageRoutes (scope: FastifyInstance, deps: ImagesDeps): void {
  scope.post('/images/generations', { config: { saysCacheStatus: true }, schema: imagesSchema }, (request, reply) => makeImages(request, reply, askedOf(request, reply, deps), deps))
}

/** Answers a request that was understood. */
export function makeImages (request: FastifyRequest, reply: FastifyReply, asked: AskedImages, deps: ImagesDeps): Promise<FastifyReply> | FastifyReply {
  const { model, headers, mapped, format, uploadFiles } = asked
  if (mapped.isStream) return streamImages(request, reply, asked, deps)
  const answered = askForAll(request, model, headers, mapped, deps, uploadFiles)
  if (answered instanceof Promise) return answered.then(list => sendImages(request, reply, list, asked, deps))
  if (format === 'b64_json') return sendImages(request, reply, answered, asked, deps)
  // What lies in this process is sent in the same turn.
  const answers = arrivedIn(answered)
  tellAnswers(request, reply, answers, headers.mode)
  const successes = successesIn(answers)
  return sendMembers(reply, answers, successes, successes.map(success => addressMembers(request, success, asked, deps).join(',')))
}

async function sendImages (request: FastifyRequest, reply: FastifyReply, answered: AnsweredList, asked: AskedImages, deps: ImagesDeps): Promise<FastifyReply> {
  if (answered.answers.some(({ kind }) => kind === 'caller-gone')) return reply.code(CALLER_GONE).send()
  const answers = arrivedIn(answered)
  tellAnswers(request, reply, answers, asked.headers.mode)
  // Final errors are delivered, too.
  if (answers.every(({ kind }) => kind === 'failed' || kind === 'gone')) answered.deliver()
  const successes = successesIn(answers)
  const members: string[] = []
  for (const success of successes) members.push(...asked.format === 'url' ? addressMembers(request, success, asked, deps) : await base64Members(request, success, asked, deps))
  // Not sooner: what cannot be sent may be asked for again, and is not bought twice.
  answered.deliver()
  return sendMembers(reply, answers, successes, members)
}

function arrivedIn ({ answers }: AnsweredList): readonly Arrived[] {
  return answers.filter(answer => answer.kind !== 'caller-gone')
}

/** What failed beside what was made is told beside it, by its place in the list. */
function sendMembers (reply: FastifyReply, answers: readonly Arrived[], successes: readonly Success[], members: readonly string[]): FastifyReply {
  const errors = successes.length === answers.length ? '' : `,"errors":${JSON.stringify(failuresIn(answers))}`
  return sendOpenAi(reply.code(200), `{"created":${createdOf(successes)},"data":[${members.join(',')}]${errors}}`)
}
