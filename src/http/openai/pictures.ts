// From answers of the core to OpenAI's list of pictures: addresses, or the files themselves.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import { exactSeed } from '../../fal-wire/exact-seed.ts'
import { storedAddress, type ReadFile } from '../../generation/media.ts'
import { problemOfEnd, problemOfFailed } from '../../generation/request/problems.ts'
import type { Answer } from '../../generation/request/request.ts'
import { servedOutput } from '../../generation/served-output.ts'
import type { PictureFormat } from '../../models/image-request.ts'
import type { Model } from '../../models/model.ts'
import { isObject } from '../../schema.ts'
import { stillRunning, type Arrived } from '../answer.ts'
import { outputFor, type FileAddresses } from '../file-addresses.ts'
import { openAiErrorOf, type OpenAiError } from './render.ts'

/** What a request asks for, as far as its answer goes. */
export interface AskedPictures { readonly model: Model, readonly format: PictureFormat }

export interface PicturesDeps {
  readonly fileAddresses: FileAddresses
  readonly readFile: ReadFile
}

/** An output with what is noted of it. */
export type Success = Extract<Answer, { kind: 'picture' }>

/** What of a success its pictures are made of. */
export type Made = Pick<Success, 'body' | 'bases' | 'media' | 'generationId'>

/** One picture: where it is, and what the model says beside it, as members of a JSON object. */
interface Picture { readonly address: string, readonly beside: string }

/** Files of one answer are read for so long. */
const FILES_MS = 60_000

/** What the files of one answer may come to. Base64 is a third longer, and all of it is one text. */
const MAX_FILES_BYTES = 64 * 1024 * 1024

/** By the bytes that a caller is sent: hits bring the same ones again. */
const known = new WeakMap<Buffer, readonly string[]>()

/** The successes of a list. Throws what its caller has to be told in their place: that one is not done yet, or what became of the first where none succeeded. */
export function successesIn (answers: readonly Arrived[]): readonly Success[] {
  const successes: Success[] = []
  for (const answer of answers) {
    // The others are collected with it: nothing was sent, so nothing is delivered.
    if (answer.kind === 'under-way') throw stillRunning(answer.generationId)
    if (answer.kind === 'picture') successes.push(answer)
  }
  const [failure] = answers
  if (successes.length === 0 && failure !== undefined) throw problemOf(failure)
  return successes
}

/** What failed, by its place in the list. */
export function failuresIn (answers: readonly Arrived[]): readonly (OpenAiError & { readonly index: number })[] {
  return answers.flatMap((answer, index) => answer.kind === 'picture' ? [] : [{ index, ...openAiErrorOf(problemOf(answer)) }])
}

function problemOf (answer: Arrived): Problem {
  switch (answer.kind) {
    case 'failed': return problemOfFailed(answer)
    case 'gone': return problemOfEnd(answer.end)
    case 'under-way': return stillRunning(answer.generationId)
    case 'picture': throw new Error('a picture is no problem')
  }
}

/** When the newest of them was made, in seconds: a whole number in every answer, as clients throw without. */
export function createdOf (successes: readonly Success[]): number {
  let ageMs = Infinity
  for (const success of successes) ageMs = Math.min(ageMs, success.ageMs)
  return Math.floor((Date.now() - ageMs) / 1000)
}

/** The members of `data` with addresses. */
export function addressMembers (request: FastifyRequest, made: Made, { model }: AskedPictures, { fileAddresses }: PicturesDeps): readonly string[] {
  const output = outputFor(request, made.body, made, fileAddresses)
  const remembered = typeof output === 'string' ? undefined : known.get(output)
  if (remembered !== undefined) return remembered
  const members = picturesIn(String(output), model).map(withAddress)
  if (typeof output !== 'string') known.set(output, members)
  return members
}

/** The members of `data` with the files in base64. Throws `file-unavailable`: it was bought, and the same request gets it. */
export async function base64Members ({ facts }: FastifyRequest, made: Made, { model }: AskedPictures, { readFile }: PicturesDeps): Promise<readonly string[]> {
  const output = String(servedOutput(made.body, made, { base: null, linkOf: storedAddress, stamp: STORED }))
  const signal = AbortSignal.any([facts.connection.untilOver(), AbortSignal.timeout(FILES_MS)])
  let left = MAX_FILES_BYTES
  const members: string[] = []
  for (const picture of picturesIn(output, model)) {
    const file = await readFile(picture.address, signal)
    if (file.kind === 'unread') throw unavailable(made, 'Send the same request again, or with "response_format": "url" for its address; nothing is bought twice.')
    left -= file.bytes.length
    if (left < 0) throw unavailable(made, 'The files of this answer are too long to be sent inside it: ask with "response_format": "url".')
    members.push(withBase64(file.bytes.toString('base64'), picture))
  }
  return members
}

const STORED = 'stored'

function unavailable ({ generationId }: Made, detail: string): Problem {
  return new Problem('file-unavailable', { ...(generationId === null ? {} : { generationId }), detail })
}

/** The pictures in an output, in its order. */
function picturesIn (output: string, model: Pick<Model, 'answers'>): readonly Picture[] {
  const value: unknown = JSON.parse(output)
  if (!isObject(value)) return []
  const seed = exactSeed(output, value)
  const revised = value['revised_prompt']
  const beside = [
    ...typeof revised === 'string' ? [`,"revised_prompt":${JSON.stringify(revised)}`] : [],
    ...seed.kind === 'digits' ? [`,"seed":${seed.digits}`] : []
  ].join('')
  return model.answers.filesIn(value).map(address => ({ address, beside }))
}

function withAddress ({ address, beside }: Picture): string {
  return `{"url":${JSON.stringify(address)}${beside}}`
}

/** Base64 needs no escaping. */
function withBase64 (base64: string, { beside }: Picture): string {
  return `{"b64_json":"${base64}"${beside}}`
}
