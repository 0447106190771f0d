// What can be made to go wrong, as one schema for programs and for `/control/faults`.

import { Type, type Static, type TProperties } from '@sinclair/typebox'
import { errorAnswers, oddAnswers, type ErrorName, type OddName } from './answers.ts'

export const operations = ['submit', 'status', 'stream', 'result', 'cancel', 'run', 'file', 'initiate', 'upload'] as const

export type Operation = typeof operations[number]

const errorNames = Object.keys(errorAnswers)

const ErrorWord = Type.Unsafe<ErrorName>(Type.Union(errorNames.map(name => Type.Literal(name)), oneOf(errorNames)))

/** A job ends with something that fal says; the page of an ingress is nothing of the kind. */
const jobErrorNames = errorNames.filter(name => name !== 'nginx')
const JobErrorWord = Type.Unsafe<Exclude<ErrorName, 'nginx'>>(Type.Union(jobErrorNames.map(name => Type.Literal(name)), oneOf(jobErrorNames)))

const OddWord = Type.Unsafe<OddName>(Type.Union(Object.keys(oddAnswers).map(name => Type.Literal(name)), oneOf(Object.keys(oddAnswers))))

/** What a place expects, completing "expected …". */
function oneOf (words: readonly string[]): { readonly description: string } {
  return { description: `one of ${words.join(', ')}` }
}

const yesOrNo = { description: 'true or false' }

/** The call does its work first: the job is made and billed, only the answer goes wrong. */
const accepted = Type.Optional(Type.Boolean(yesOrNo))

function fault<Kind extends string, Properties extends TProperties> (kind: Kind, properties: Properties) {
  return Type.Object({
    kind: Type.Literal(kind),
    operation: Type.Union(operations.map(operation => Type.Literal(operation)), oneOf(operations)),
    /** How many calls it hits; once by default. */
    times: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Literal('always')], { description: 'a whole number from 1, or "always"' })),
    /** How many calls it lets pass before the first. */
    skip: Type.Optional(Type.Integer({ minimum: 0, description: 'a whole number from 0' })),
    /** How long the call waits before anything else happens to it. */
    delayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 600_000, description: 'a whole number from 0 to 600000' })),
    ...properties
  }, { additionalProperties: false })
}

/** One thing that goes wrong, with some calls of one operation. */
export const Fault = Type.Union([
  /** Only `delayMs`. */
  fault('delay', {}),
  /** The named error is the answer. */
  fault('answer', { error: ErrorWord, accepted, retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 0, description: 'a whole number from 0' })) }),
  /** Something in front of fal answers in its place. */
  fault('odd', { answer: OddWord, accepted }),
  /** The connection is reset (RST). */
  fault('reset', { accepted }),
  /** No answer, until the fault is released; then all goes on as usual. */
  fault('hang', { accepted }),
  /** Stream only: the connection breaks after the first event, or ends in good order when `cleanly`. */
  fault('truncate', { cleanly: Type.Optional(Type.Boolean(yesOrNo)) }),
  /** Submit and run only: the call goes well, the job ends as said. */
  fault('job', {
    error: Type.Optional(JobErrorWord),
    /** Units billed, instead of one a picture and none for an error. */
    units: Type.Optional(Type.Number({ minimum: 0, description: 'a number from 0' })),
    /** The result does not name the units. */
    hideUnits: Type.Optional(Type.Boolean(yesOrNo)),
    /** The first picture comes inside the output, as a `data:` address of this many bytes that is no picture. */
    insideBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 67_108_864, description: 'a whole number from 1 to 67108864' }))
  })
])

export type Fault = Static<typeof Fault>

/** What `kind` may be. */
export const kinds = Fault.anyOf.map(({ properties }) => properties.kind.const)

/** The schema of the faults of a kind; `null` where there is no such kind. */
export function faultOf (kind: unknown): typeof Fault.anyOf[number] | null {
  return Fault.anyOf.find(({ properties }) => properties.kind.const === kind) ?? null
}
