// Reads the answer of fal's result endpoint: a picture, an error of the model, or a reason to ask again.

import { Type, type TObject } from '@sinclair/typebox'
import { readErrorBody } from '../fal-wire/error-body.ts'
import { exactSeed, isSeedReadable } from '../fal-wire/exact-seed.ts'
import { falHeaders } from '../fal-wire/headers.ts'
import { queueWords } from '../fal-wire/status.ts'
import type { Result } from '../generation/upstream.ts'
import type { Models } from '../models/models.ts'
import { guardOf, type Guard } from '../schema.ts'
import { headerOf, type Answer } from './exchange.ts'
import { failureOf, retryAfterMsOf } from './failures.ts'
import { parseObject, statusWord } from './queue-status.ts'

/** Reads the answers of the result endpoint of a model. */
export type ResultReader = (endpointId: string, answer: Answer) => Result

/** `models` says what an output of each looks like. */
export function createResultReader (models: Pick<Models, 'find'>): ResultReader {
  const isOutput = createOutputCheck(models)
  return (endpointId, answer) => readResult(answer, output => isOutput(endpointId, output))
}

type IsOutput = (output: Readonly<Record<string, unknown>>) => boolean

/**
 * What an answer of the result endpoint means.
 * What may have been billed is `free: false` and the core books its units; HTTP 500 and above is never billed. Only what names its units, as fal's models
 * do, is clearly a model's answer where it is no output.
 */
function readResult (answer: Answer, isOutput: IsOutput): Result {
  const units = headerOf(answer, falHeaders.billableUnits)
  if (answer.status === 200) return readOutput(answer, units, isOutput)
  const error = readErrorBody(answer.text ?? '', headerOf(answer, falHeaders.errorType))
  if (answer.status === 499) return { kind: 'cancelled', units, isClear: error !== null }
  if (answer.status === 400 && error?.text != null && /still in progress/i.test(error.text)) return { kind: 'pending' }
  // The form of this answer is not documented; an HTML page, however, comes from something in front of fal.
  if (answer.status === 404 && parseObject(answer.text ?? '') !== null) return { kind: 'expired', isClear: error !== null || statusWord(answer.text) === queueWords.notFound }
  if (error === null || !isOfModel(answer.status)) return { kind: 'unavailable', retryAfterMs: retryAfterMsOf(answer) }
  return { kind: 'failed', failure: failureOf(answer.status, error), units, free: isFree(answer.status, units) }
}

/** 401, 403 and 429 are about our account, and nothing below 400 is an error. */
function isOfModel (status: number): boolean {
  return status >= 400 && status !== 401 && status !== 403 && status !== 429
}

/** A 422 may be billed even without a unit header; another 4xx only when fal names units. */
function isFree (status: number, units: string | null): boolean {
  return status >= 500 || (status !== 422 && (units === null || Number(units) === 0))
}

function readOutput (answer: Answer, units: string | null, isOutput: IsOutput): Result {
  // A cut body is the network's doing and says nothing.
  if (answer.unreadable === 'cut') return { kind: 'unavailable', retryAfterMs: null }
  // A byte order mark is no part of a JSON text (RFC 8259, section 8.1); everything else stays as fal sent it.
  const body = answer.text?.replace(/^\uFEFF/, '') ?? ''
  const output = parseObject(body)
  if (output === null || !isOutput(output)) return { kind: 'no-output', units, isClear: output !== null && units !== null }
  const seed = exactSeed(body, output)
  return { kind: 'succeeded', body, seed: seed.kind === 'digits' && isSeedReadable(seed.digits) ? seed.digits : null, units }
}

/**
 * Has it the model's shape, and a picture? The seed is not looked at here: pictures were paid for, and an odd seed only means that nothing is
 * learned from it. A model that was taken from the offer while this one ran has no schema, and its pictures alone count.
 */
function createOutputCheck (models: Pick<Models, 'find'>): (endpointId: string, output: Readonly<Record<string, unknown>>) => boolean {
  /** One for each model that was asked for. */
  const guards = new Map<string, Guard<TObject>>()

  return (endpointId, output) => {
    const images = output['images']
    if (!Array.isArray(images) || images.length === 0) return false
    const model = models.find(endpointId)
    if (model === undefined) return true
    const isOutput = guards.get(endpointId) ?? guardOf(Type.Omit(model.output, ['seed']))
    guards.set(endpointId, isOutput)
    return isOutput(output)
  }
}
