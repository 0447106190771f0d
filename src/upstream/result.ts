// Reads the answer of fal's result endpoint: a picture, an error of the model, or a reason to ask again.

import type { Censor } from '../censor.ts'
import { readErrorBody } from '../fal-wire/error-body.ts'
import { exactSeed, isSeedReadable } from '../fal-wire/exact-seed.ts'
import { falHeaders } from '../fal-wire/headers.ts'
import { queueWords } from '../fal-wire/status.ts'
import { basesIn } from '../generation/bases.ts'
import { placesOf } from '../generation/media.ts'
import type { Result } from '../generation/upstream.ts'
import type { ModelBook } from '../models/models.ts'
import { createOutputReader, type OutputReader } from '../models/output.ts'
import { headerOf, type Answer } from './exchange.ts'
import { failureOf, retryAfterMsOf } from './failures.ts'
import { parseObject, statusWord } from './queue-status.ts'

/** Reads the answers of the result endpoint of a model. */
export type ResultReader = (endpointId: string, answer: Answer) => Result

/** What of outputs' files is this gateway's: the base of the addresses of those that it makes itself, `null` where it makes none; and whether it stores those of others. */
export interface FilesHere { readonly madeHere: () => string | null, readonly keepsFiles: boolean }

/** The same at one moment. */
type FilesNow = Omit<FilesHere, 'madeHere'> & { readonly madeHere: string | null }

/**
 * `models` says which answers of each are a success. `censor` is for what fal says of an error: an output stays byte for byte.
 */
export function createResultReader (models: () => Pick<ModelBook, 'find'>, { madeHere, keepsFiles }: FilesHere, censor: Censor): ResultReader {
  return (endpointId, answer) => readResult(answer, models().find(endpointId)?.answers ?? untyped, { madeHere: madeHere(), keepsFiles }, censor)
}

/** Of a model that was taken from the offer while this one ran no schema is known. */
const untyped = createOutputReader({ output: null })

/** The addresses of the files in an output of this model, as far as what is on offer now tells where these are. */
export function filesOf (models: Pick<ModelBook, 'find'>, endpointId: string, output: string): readonly string[] {
  return (models.find(endpointId)?.answers ?? untyped).filesIn(parseObject(output))
}

/**
 * What an answer of the result endpoint means.
 * What may have been billed is `free: false` and the core books its units; HTTP 500 and above is never billed. Only what names its units, as fal's models
 * do, is clearly a model's answer where it is no output.
 */
function readResult (answer: Answer, outputs: OutputReader, files: FilesNow, censor: Censor): Result {
  const units = headerOf(answer, falHeaders.billableUnits)
  if (answer.status === 200) return readOutput(answer, units, outputs, files)
  const error = readErrorBody(answer.text ?? '', headerOf(answer, falHeaders.errorType))
  if (answer.status === 499) return { kind: 'cancelled', units, isClear: error !== null }
  if (answer.status === 400 && error?.text != null && /still in progress/i.test(error.text)) return { kind: 'pending' }
  // The form of this answer is not documented; an HTML page, however, comes from something in front of fal.
  if (answer.status === 404 && parseObject(answer.text ?? '') !== null) return { kind: 'expired', isClear: error !== null || statusWord(answer.text) === queueWords.notFound }
  if (error === null || !isOfModel(answer.status)) return { kind: 'unavailable', retryAfterMs: retryAfterMsOf(answer) }
  return { kind: 'failed', failure: failureOf(answer.status, error, censor), units, free: isFree(answer.status, units) }
}

/** 401, 403 and 429 are about our account, and nothing below 400 is an error. */
function isOfModel (status: number): boolean {
  return status >= 400 && status !== 401 && status !== 403 && status !== 429
}

/** A 422 may be billed even without a unit header; another 4xx only when fal names units. */
function isFree (status: number, units: string | null): boolean {
  return status >= 500 || (status !== 422 && (units === null || Number(units) === 0))
}

function readOutput (answer: Answer, units: string | null, { judge, filesIn }: OutputReader, { madeHere, keepsFiles }: FilesNow): Result {
  // A cut body is the network's doing and says nothing.
  if (answer.unreadable === 'cut') return { kind: 'unavailable', retryAfterMs: null }
  // A byte order mark is no part of a JSON text (RFC 8259, section 8.1); everything else stays as fal sent it.
  const body = answer.text?.replace(/^\uFEFF/, '') ?? ''
  const output = parseObject(body)
  if (output === null) return { kind: 'no-output', units, isClear: false }
  const verdict = judge(output)
  // The seed is not looked at here: what was paid for is not thrown away because of it, and an odd one only means that nothing is learned from it.
  if (!verdict.isSuccess) return { kind: 'no-output', units, isClear: units !== null && !verdict.mayHoldFile }
  const seed = exactSeed(body, output)
  const addresses = madeHere === null && !keepsFiles ? [] : filesIn(output)
  const bases = madeHere === null ? null : basesIn(body, addresses, madeHere)
  const media = keepsFiles ? placesOf(body, addresses) : []
  return { kind: 'succeeded', body, seed: seed.kind === 'digits' && isSeedReadable(seed.digits) ? seed.digits : null, units, ...(bases === null ? {} : { bases }), ...(media.length === 0 ? {} : { media }) }
}
