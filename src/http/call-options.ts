// What a caller asked for, read from an authenticated request by the model that it means: the same for all doors that make pictures.

import type { FastifyRequest } from 'fastify'
import { Problem, type FieldFault } from '../errors.ts'
import { isSeedReadable, MAX_SEED_DIGITS, type ExactSeed } from '../fal-wire/exact-seed.ts'
import { canonicalJson, resultName, reuseName } from '../generation/key.ts'
import type { CallOptions } from '../generation/request/call.ts'
import { SENT_FILES_BASE } from '../generation/sent-file.ts'
import type { PromptFacts } from '../logger.ts'
import type { Mapped } from '../models/image-request.ts'
import { takesSeed, type Model, type ModelInput, type ReadOptions } from '../models/model.ts'
import { isObject } from '../schema.ts'
import { refusalOf, refusalOfValues, type Tenant } from '../tenants/book.ts'
import { isReadAlike, type KnownBodies, type ReadBody, type ReadFor } from './known-bodies.ts'
import { callerOf } from './request-facts.ts'

/** The part of a call that stands beside its body; each door reads it in its own way, before the body is looked at. */
export type HeaderOptions = Omit<CallOptions, 'tenant' | 'subject' | 'model' | 'body' | 'sent' | 'input' | 'inputAtFal' | 'seed' | 'numbers' | 'cacheName' | 'place' | 'trace'>

/** A body that is written in OpenAI's words, and which of the calls that it asks for is meant; 0 is the first. `namesFiles`: it has the gateway's own names for files in it. */
export interface InOtherWords { readonly mapped: Mapped, readonly index: number, readonly namesFiles: boolean }

/** What reading a call needs beside the request. */
export interface CallReading {
  readonly describePrompt: (prompt: string) => PromptFacts
  /** The fields whose defaults are sent because the price depends on them; the same list as long as the price rule is the same. */
  readonly pricedFields: (model: Model) => readonly string[]
  readonly knownBodies: KnownBodies
}

/** Reads a call of this model. An input that it does not take, what the tenant may not ask for, and a seed that cannot be kept, are thrown. */
export function callOptionsOf (request: FastifyRequest, model: Model, headers: HeaderOptions, unknownFields: ReadOptions['unknownFields'], reading: CallReading, words: InOtherWords | null = null): CallOptions {
  const { tenant, subject, token } = callerOf(request)
  const { mode, idempotencyKey, callerRetry, waitMs, async, preferenceApplied, priority, startWithinMs, needsId, hook } = headers
  if (token !== null && (mode === 'refresh' || mode === 'bypass') && !token.cache.includes(mode)) throw new Problem('not-allowed', { detail: `This token may not say Falgate-Cache: ${mode}, which pays for what is stored.` })
  const refusal = refusalOf(tenant, model)
  if (refusal !== null) throw new Problem('not-allowed', { detail: refusal })
  const { body, sent, input, seed, numbers, cacheName } = readBody(request, readForOf(tenant, model, mode, unknownFields, reading, words?.mapped ?? null), reading, words)
  const forbidden = refusalOfValues(tenant, model, sent)
  if (forbidden !== null) throw new Problem('not-allowed', { detail: forbidden })
  if (mode === 'reuse' && seed !== null) throw new Problem('bad-header', { detail: 'Falgate-Cache: reuse takes a picture of any seed, so the body may not name one.' })
  // Written out, as in generate-headers.ts.
  return { tenant, subject, model, body, sent, input, inputAtFal: null, seed, numbers, cacheName, mode, idempotencyKey, callerRetry, waitMs, async, preferenceApplied, priority, startWithinMs, needsId, hook, place: words === null || words.mapped.calls === 1 ? null : { index: words.index, of: words.mapped.calls }, trace: request.facts.trace }
}

/** Throws where a caller says what only the gateway says of files that came with a request. Those stand in fields of their own, or in lists. */
export function refuseNamesOfFiles (sent: ModelInput): void {
  for (const [name, value] of Object.entries(sent)) {
    if (isNameOfFile(value) || (Array.isArray(value) && value.some(isNameOfFile))) throw invalidInput([{ path: `/${name}`, message: 'is an address where nothing can be', code: 'value_error' }])
  }
}

function isNameOfFile (value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(SENT_FILES_BASE)
}

/** Keeps how the body of this call was read, for others that bring the same bytes. */
export function rememberBody ({ facts, body: value }: FastifyRequest, { tenant, model, mode, body, sent, input, seed, numbers, cacheName }: CallOptions, unknownFields: ReadOptions['unknownFields'], reading: CallReading, mapped: Mapped | null = null): void {
  const { bodyName, knownBody, ignored, prompt } = facts
  if (bodyName === null || knownBody?.read.sent === sent) return
  reading.knownBodies.keep(bodyName, {
    value,
    seed: facts.seed,
    numbers: facts.numbers,
    readFor: readForOf(tenant, model, mode, unknownFields, reading, mapped),
    read: { body, sent, input, seed, numbers, cacheName, ignored, prompt }
  })
}

function readForOf ({ allow, cacheGroup }: Tenant, model: Model, mode: CallOptions['mode'], unknownFields: ReadOptions['unknownFields'], { pricedFields }: CallReading, mapped: Mapped | null): ReadFor {
  return { model, unknownFields, pricedFields: pricedFields(model), allow, cacheGroup, mode, mapped }
}

/** What the model makes of the body, and what the log says of it. */
function readBody (request: FastifyRequest, readFor: ReadFor, { describePrompt }: CallReading, words: InOtherWords | null): ReadBody {
  const index = words?.index ?? 0
  const { facts } = request
  const { model, unknownFields, pricedFields, allow, cacheGroup, mode, mapped } = readFor
  const { knownBody, numbers } = facts
  if (index === 0 && knownBody !== null && isReadAlike(knownBody.readFor, readFor)) {
    facts.ignored = knownBody.read.ignored
    facts.prompt = knownBody.read.prompt
    return knownBody.read
  }
  const asked = seedAt(facts.seed, index)
  const body = mapped === null ? request.body : withSeed(mapped.body, asked)
  if (!isObject(body)) throw invalidInput([{ path: '', message: 'must be of type object', code: 'wrong_type' }])
  const reading = model.readInput(body, { unknownFields, sentDefaults: allow.size === 0 ? pricedFields : [...pricedFields, ...allow.keys()] })
  if (!reading.ok) throw invalidInput(reading.faults)
  const { given, sent, leftOut } = reading
  if (words?.namesFiles !== true) refuseNamesOfFiles(sent)
  if (leftOut.length > 0) facts.ignored = leftOut.filter(isPlainName)
  if (typeof sent['prompt'] === 'string') facts.prompt = describePrompt(sent['prompt'])
  // A seed that the model does not take says nothing: with it, different pictures would have one name.
  const seed = takesSeed(model) && (sent['seed'] ?? null) !== null ? digitsOf(asked) : null
  const input = canonicalJson(sent, seed, numbers)
  return { body: given, sent, input, seed, numbers, cacheName: nameOf(seed, mode, cacheGroup, model, input, sent, numbers), ignored: facts.ignored, prompt: facts.prompt }
}

/** What a stored result is looked for under, if any. */
function nameOf (seed: string | null, mode: CallOptions['mode'], cacheGroup: string, model: Model, input: string, sent: ModelInput, numbers: CallOptions['numbers']): string | null {
  if (mode === 'bypass') return null
  if (seed !== null) return resultName(cacheGroup, model, input)
  return mode === 'reuse' || mode === 'only' ? reuseName(cacheGroup, model, sent, numbers) : null
}

/** The seed of one of several calls: it counts up. */
function seedAt (seed: ExactSeed, index: number): ExactSeed {
  return seed.kind === 'digits' && index > 0 ? { kind: 'digits', digits: String(BigInt(seed.digits) + BigInt(index)) } : seed
}

/** The body with this seed. Beyond 2^53 its digits count, and a number that is about as large stands for them. */
function withSeed (body: ModelInput, seed: ExactSeed): ModelInput {
  return seed.kind === 'digits' && Number.isFinite(Number(seed.digits)) && Object.hasOwn(body, 'seed') ? { ...body, seed: Number(seed.digits) } : body
}

function digitsOf (seed: ExactSeed): string | null {
  if (seed.kind === 'inexact') throw seedFault('must be a whole number; beyond 2^53 in plain digits', 'inexact_integer')
  if (seed.kind === 'digits' && !isSeedReadable(seed.digits)) throw seedFault(`must have at most ${MAX_SEED_DIGITS} digits`, 'int_parsing_size')
  return seed.kind === 'digits' ? seed.digits : null
}

function seedFault (message: string, code: string): Problem {
  return invalidInput([{ path: '/seed', message, code }])
}

/** Names of fields are told in a header and in the log; what is none of any model may be anything. */
function isPlainName (name: string): boolean {
  return /^[\w.-]{1,64}$/.test(name)
}

function invalidInput (errors: readonly FieldFault[]): Problem {
  return new Problem('invalid-input', { detail: 'See `errors` for each field.', errors })
}
