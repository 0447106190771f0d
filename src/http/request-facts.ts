// What a request carries through its hooks and handlers, and what its one log line is made of.

import type { FastifyContextConfig, FastifyRequest } from 'fastify'
import { Problem, type ProblemCode } from '../errors.ts'
import type { ExactNumbers } from '../fal-wire/exact-numbers.ts'
import { noSeed, type ExactSeed } from '../fal-wire/exact-seed.ts'
import type { Reader } from '../generation/generation.ts'
import type { PromptFacts } from '../logger.ts'
import type { AnswerSource } from '../metrics.ts'
import type { MicroUsd } from '../money.ts'
import type { Tenant } from '../tenants/book.ts'
import type { TraceContext } from '../trace-context.ts'
import type { CallerConnection } from './connection.ts'
import type { KnownBody } from './known-bodies.ts'

/** Who calls, once the key was checked. */
export interface Caller {
  readonly tenant: Tenant
  readonly keyId: string
  /** The browser token's id, or `''` for the tenant's own keys. */
  readonly subject: string
  /** The browser token that was sent in place of a key. */
  readonly token: CallerToken | null
}

/** What the door asks of a token. */
export interface CallerToken {
  readonly id: string
  /** Pages of these origins may use it. */
  readonly origins: readonly string[]
  /** Free text for logs. */
  readonly label: string | null
  /** Which of the modes that pay again it may name. */
  readonly cache: readonly string[]
}

/** Filled in on the way and written once, when the answer is out. */
export interface RequestFacts {
  readonly connection: CallerConnection
  /** That of its route. Fastify makes the options of a route again for each question. */
  readonly config: FastifyContextConfig
  /** The route has a schema for bodies. */
  readonly takesBody: boolean
  /** What log and metrics call its route. */
  readonly route: string
  /** It asks how something stands, as clients do again and again. */
  readonly isPoll: boolean
  /** The trace that it belongs to. */
  readonly trace: TraceContext | null
  caller: Caller | null
  /** The digits of the body's `seed`. */
  seed: ExactSeed
  /** The digits of the body's numbers that JavaScript would change. */
  numbers: ExactNumbers | null
  /** What its body is remembered by; `null`: it has none, or a long one. */
  bodyName: string | null
  /** How the same bytes were read for somebody a moment ago. */
  knownBody: KnownBody | null
  /** It asks what would happen. */
  isDryRun: boolean
  /** Fields of the body that the model does not have, and that were left out. */
  ignored: readonly string[]
  code: ProblemCode | null
  source: AnswerSource | null
  generationId: string | null
  cost: MicroUsd | null
  saved: MicroUsd | null
  prompt: PromptFacts | null
  /** What was behind a problem; for the log only. */
  cause: unknown
}

declare module 'fastify' {
  interface FastifyRequest { facts: RequestFacts }
  interface FastifyContextConfig {
    /** Every answer of this route says what the cache had to do with it, also when it fails early. */
    saysCacheStatus?: boolean
    /** Clients ask it again and again while they wait: it is counted apart from other calls. */
    isPoll?: boolean
    /** An orchestrator or Prometheus asks it every few seconds: it is not logged while it works. */
    isProbe?: boolean
    /** A ticket in its query takes the place of a key. */
    takesTicket?: boolean
    /** Tells the operations apart that share this route. */
    operationOf?: (path: string) => RouteOperation
  }
}

/** One of several operations of a route: what log and metrics call it, and whether it is a poll. */
export interface RouteOperation { readonly route: string, readonly isPoll: boolean }

const NO_FIELDS: readonly string[] = []

export function freshFacts (connection: CallerConnection, { config, schema }: FastifyRequest['routeOptions'], { route, isPoll }: RouteOperation, trace: TraceContext | null): RequestFacts {
  return { connection, config, takesBody: schema?.body !== undefined, route, isPoll, trace, caller: null, seed: noSeed, numbers: null, bodyName: null, knownBody: null, isDryRun: false, ignored: NO_FIELDS, code: null, source: null, generationId: null, cost: null, saved: null, prompt: null, cause: undefined }
}

/** The caller of a route behind authentication. */
export function callerOf (request: FastifyRequest): Caller {
  const { caller } = request.facts
  if (caller === null) throw new Error('a protected route was reached without authentication')
  return caller
}

/** The same, for what is not for holders of tokens. Throws `not-allowed`. */
export function tenantOf (request: FastifyRequest): Caller {
  const caller = callerOf(request)
  if (caller.token !== null) throw new Problem('not-allowed', { detail: 'That is not for browser tokens; it takes a key of the tenant.' })
  return caller
}

/** Who reads, as the ledger knows it. */
export function readerOf (request: FastifyRequest): Reader {
  const { tenant, subject } = callerOf(request)
  return { tenant: tenant.id, subject }
}

const REQUEST_ID = /^[\w.-]{1,128}$/

/** A caller's `X-Request-Id` is kept when it can do no harm in a log or header. */
export function acceptableRequestId (header: string | string[] | undefined): string | null {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : null
}
