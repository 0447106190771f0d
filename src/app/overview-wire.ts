// An overview as one process asks it of another, in JSON: what is asked, and what is answered.

import { Type, type TSchema } from '@sinclair/typebox'
import { breakerStates } from '../breaker-states.ts'
import { problemCodeOf } from '../generation/generation.ts'
import { guardOf } from '../schema.ts'
import type { Overview, OverviewAsked } from './overview.ts'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const words = <const Word extends string>(all: readonly Word[]) => Type.Unsafe<Word>({ type: 'string', enum: [...all] })

const budget = orNull(Type.Object({ limit: Type.Integer(), per: words(['day', 'month']) }))

const asked = Type.Object({
  book: orNull(Type.Object({ tenants: Type.Array(Type.Tuple([Type.String(), Type.Object({ budget })])), companyBudget: budget })),
  falConcurrency: Type.Integer(),
  own: orNull(Type.Array(Type.Object({ kind: words(['sandbox', 'fal']), name: Type.String(), slots: Type.Optional(Type.Integer()) }))),
  tenant: orNull(Type.String()),
  failures: Type.Integer({ minimum: 0, maximum: 100 })
})

const places = { used: Type.Integer(), open: Type.Integer(), total: Type.Integer() }
const spending = Type.Object({ period: Type.String(), held: Type.Integer(), spent: Type.Integer(), limit: orNull(Type.Integer()), left: orNull(Type.Integer()) })
const state = words(breakerStates)

const answer = Type.Object({
  atMs: Type.Integer(),
  waiting: Type.Integer(),
  oldestMs: orNull(Type.Integer()),
  places: Type.Object(places),
  accounts: Type.Array(Type.Tuple([Type.String(), Type.Object(places)])),
  isForeign: Type.Boolean(),
  state,
  breakers: Type.Array(Type.Object({ scope: Type.String(), account: orNull(Type.String()), state, sinceMs: Type.Integer(), retryAtMs: Type.Integer(), probe: orNull(Type.String()), failures: Type.Integer() })),
  company: spending,
  unknown: Type.Object({ open: Type.Integer(), oldestMs: orNull(Type.Integer()) }),
  largeResultBytes: Type.Integer(),
  tenants: Type.Array(Type.Object({ tenant: Type.String(), running: Type.Integer(), waiting: Type.Integer(), oldestMs: orNull(Type.Integer()), spending })),
  failures: Type.Array(Type.Object({ id: Type.String(), tenant: Type.String(), model: Type.String(), code: Type.String(), finishedAtMs: Type.Integer(), cost: Type.Integer() })),
  replicas: Type.Array(Type.Object({ replica: Type.String(), beatAtMs: Type.Integer(), following: Type.Integer() }))
})

const isAsked = guardOf(asked)
const isAnswer = guardOf(answer)

export function askedText ({ book, ...rest }: OverviewAsked): object {
  return { ...rest, book: book === null ? null : { tenants: [...book.tenants].map(([id, { budget }]) => [id, { budget }]), companyBudget: book.companyBudget } }
}

/** Throws for what is no such question. */
export function askedIn (value: unknown): OverviewAsked {
  if (!isAsked(value)) throw new Error('The gateway does not understand what is asked: use the falgate that it is')
  const { book, ...rest } = value
  return { ...rest, book: book === null ? null : { ...book, tenants: new Map(book.tenants) } }
}

export function answerText ({ accounts, ...rest }: Overview): object {
  return { ...rest, accounts: [...accounts] }
}

/** Throws for what is no such answer. */
export function answerIn (value: unknown): Overview {
  if (!isAnswer(value)) throw new Error('What the gateway answers is not understood: use the falgate that it is')
  const { accounts, failures, ...rest } = value
  return { ...rest, accounts: new Map(accounts), failures: failures.map(failure => ({ ...failure, code: problemCodeOf(failure.code) })) }
}
