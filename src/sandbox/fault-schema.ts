// What can be made to go wrong, as one schema for programs and for `/control/faults`.

import { Type, type Static, type TProperties } from '@sinclair/typebox'
import { errorAnswers, oddAnswers, type ErrorName, type OddName } from './answers.ts'

export const operations = ['submit', 'status', 'stream', 'result', 'cancel', 'run', 'file'] as const

export type Operation = typeof operations[number]

const errorNames = Object.keys(errorAnswers)

const ErrorWord = Type.Unsafe<ErrorName>(Type.Union(errorNames.map(name => Type.Literal(name))))

/** A job ends with something that fal says; the page of an ingress is nothing of the kind. */
const JobErrorWord = Type.Unsafe<Exclude<ErrorName, 'nginx'>>(Type.Union(errorNames.filter(name => name !== 'nginx').map(name => Type.Literal(name))))

const OddWord = Type.Unsafe<OddName>(Type.Union(Object.keys(oddAnswers).map(name => Type.Literal(name))))

const accepted = Type.Optional(Type.Boolean({ description: 'The call does its work first: the job is made and billed, only the answer goes wrong.' }))

function fault<Kind extends string, Properties extends TProperties> (kind: Kind, properties: Properties) {
  return Type.Object({
    kind: Type.Literal(kind),
    operation: Type.Union(operations.map(operation => Type.Literal(operation))),
    times: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Literal('always')], { description: 'How many calls it hits; once by default.' })),
    skip: Type.Optional(Type.Integer({ minimum: 0, description: 'How many calls it lets pass before the first.' })),
    delayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 600_000, description: 'How long the call waits before anything else happens to it.' })),
    ...properties
  }, { additionalProperties: false })
}

/** One thing that goes wrong, with some calls of one operation. */
export const Fault = Type.Union([
  /** Only `delayMs`. */
  fault('delay', {}),
  /** The named error is the answer. */
  fault('answer', { error: ErrorWord, accepted, retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 0 })) }),
  /** Something in front of fal answers in its place. */
  fault('odd', { answer: OddWord, accepted }),
  /** The connection is reset (RST). */
  fault('reset', { accepted }),
  /** No answer, until the fault is released; then all goes on as usual. */
  fault('hang', { accepted }),
  /** Stream only: the connection breaks after the first event, or ends in good order when `cleanly`. */
  fault('truncate', { cleanly: Type.Optional(Type.Boolean()) }),
  /** Submit and run only: the call goes well, the job ends as said. */
  fault('job', {
    error: Type.Optional(JobErrorWord),
    units: Type.Optional(Type.Number({ minimum: 0, description: 'Units billed, instead of one a picture and none for an error.' })),
    hideUnits: Type.Optional(Type.Boolean({ description: 'The result does not name the units.' })),
    insideBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 67_108_864, description: 'The first picture comes inside the output, as a `data:` address of this many bytes that is no picture.' }))
  })
], { description: 'a fault, with the fields of its kind' })

export type Fault = Static<typeof Fault>
