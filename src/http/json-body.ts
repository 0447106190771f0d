// JSON bodies: strict UTF-8, plain JSON.parse, and numbers that keep their digits.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { exactNumbers } from '../fal-wire/exact-numbers.ts'
import { exactSeed, noSeed } from '../fal-wire/exact-seed.ts'
import { createBodyReader, type LongBodies } from './body-bytes.ts'
import { nameOfBytes, type KnownBodies, type ParsedBody } from './known-bodies.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Lets an application take `application/json` and nothing else, where a body is read. */
export function takeJsonOnly (app: FastifyInstance, knownBodies: KnownBodies, longBodies: LongBodies): void {
  const readBytes = createBodyReader(longBodies)
  app.removeAllContentTypeParsers()
  const ofJson = (request: FastifyRequest, payload: NodeJS.ReadableStream, done: (error: Error | null, body?: unknown) => void): void => {
    readBytes(request, payload, (error, bytes) => {
      if (error !== null) {
        done(error)
        return
      }
      let body: unknown
      try {
        body = read(request, bytes, knownBodies)
      } catch (error) {
        done(error instanceof Error ? error : new Error('a body could not be read', { cause: error }))
        return
      }
      done(null, body)
    })
  }
  app.addContentTypeParser('application/json', ofJson)
  app.addContentTypeParser('*', (request: FastifyRequest, payload: NodeJS.ReadableStream, done) => {
    // Where no body is looked at, clients send nothing under any type, or in chunks.
    if (request.facts.takesBody) done(new Problem('not-json'))
    else ofJson(request, payload, done)
  })
}

function read (request: FastifyRequest, bytes: Buffer, knownBodies: KnownBodies): unknown {
  if (!request.facts.takesBody) return undefined
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw new Problem('not-json', { detail: 'Send the body without Content-Encoding.' })
  const { facts } = request
  facts.bodyName = nameOfBytes(bytes)
  facts.knownBody = facts.bodyName === null ? null : knownBodies.find(facts.bodyName) ?? null
  const { value, seed, numbers } = facts.knownBody ?? parseJson(decode(bytes))
  facts.seed = seed
  facts.numbers = numbers
  return value
}

function decode (bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Problem('malformed-json', { detail: 'The body is not valid UTF-8.' })
  }
}

/** Reads a JSON text with its digits. Throws `malformed-json`. */
export function parseJson (text: string): ParsedBody {
  const value = valueOf(text)
  if (typeof value !== 'object' || value === null) return { value, seed: noSeed, numbers: null }
  const seed = exactSeed(text, value)
  makeFinite(value, seed.kind === 'digits')
  return { value, seed, numbers: exactNumbers(text) }
}

function valueOf (text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return value
  } catch {
    // The parser's own message quotes the body, and with it perhaps a prompt.
    throw new Problem('malformed-json', { detail: text === '' ? 'The body is empty; a JSON object is expected.' : 'The body cannot be parsed as JSON.' })
  }
}

/**
 * A seed of more than 308 digits is `Infinity` after parsing, which no schema takes for an integer.
 * Where its digits are known, the largest finite number stands in for it; the digits are what is used.
 */
function makeFinite (body: object, digitsKnown: boolean): void {
  const seed: unknown = Reflect.get(body, 'seed')
  if (digitsKnown && typeof seed === 'number' && !Number.isFinite(seed)) Reflect.set(body, 'seed', Math.sign(seed) * Number.MAX_VALUE)
}
