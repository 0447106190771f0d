// Builders for what ledger tests admit, claim and report: every field has a default, a test names only what it is about.

import type { Ticket, Token } from '../../src/generation/accounts.ts'
import type { Admission } from '../../src/generation/admission.ts'
import type { Ending } from '../../src/generation/evidence.ts'
import type { Failure, Terms } from '../../src/generation/generation.ts'
import type { LedgerTimes } from '../../src/generation/ledger.ts'
import type { TraceContext } from '../../src/trace-context.ts'

export const price = 60_000

export const times: LedgerTimes = { resultTtlMs: 518_400_000, queueMs: 900_000, runMs: 3_600_000, leaseMs: 15_000, largeResultBytes: 268_435_456 }

/** A deadline that no test reaches; exact in every store. */
export const never = 8_000_000_000_000

export const unreachable: Failure = { code: 'upstream-unavailable', detail: 'fal could not be reached.' }
export const traceLost: Failure = { code: 'outcome-unknown', detail: 'The submit went out and no answer came.' }
export const refusal: Failure = { code: 'content-refused', detail: 'The model refused.', errors: [{ path: '/prompt', message: 'No.', code: 'content_policy_violation' }] }

/** As long a trace as a row keeps. */
export const longTrace: TraceContext = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', isSampled: true, state: `vendor=${'s'.repeat(505)}` }

/** Of a row that nothing leads to. */
export const noTerms: Terms = { cacheName: null, learnedName: null, reuseName: null, duplicateName: null, joinsTwins: false, keyless: true, idempotencyName: null, fingerprint: null, mode: 'normal', hooks: [] }

let ids = 0

/** An id in the form of a UUID that this process did not use yet. */
export function freshId (): string {
  ids += 1
  return `00000000-0000-7000-8000-${String(ids).padStart(12, '0')}`
}

/** A keyless request without seed, cache or duplicates, of the tenant `studio`. Budgets follow the tenant unless they are given. */
export function admissionOf (given: Partial<Admission> = {}): Admission {
  const tenant = given.tenant ?? 'studio'
  return {
    id: freshId(),
    tenant,
    subject: '',
    deadlineMs: never,
    model: 'fal-ai/imagen4/preview/ultra',
    input: '{"prompt":"a red bicycle"}',
    inputSha256: null,
    makesLarge: false,
    seed: null,
    price,
    unitPrice: price,
    priceRule: 'rule',
    replacesPriceRule: null,
    files: 1,
    mode: 'normal',
    cacheGroup: tenant,
    cacheName: null,
    reuseName: null,
    idempotency: null,
    duplicateName: null,
    joinsTwins: false,
    duplicates: [],
    lastRound: false,
    twinMs: 0,
    connection: null,
    callerRetry: 0,
    priority: 'interactive',
    startWithinMs: null,
    needsId: false,
    filesLastMs: null,
    lookedAt: null,
    hook: null,
    trace: null,
    rate: { max: 1000, windowSeconds: 60 },
    maxInFlight: 100,
    maxQueued: 1000,
    weight: 1,
    budgets: [{ owner: tenant, limit: 1_000_000_000, per: 'month' }, { owner: '*', limit: 2_000_000_000, per: 'month' }],
    token: null,
    ...given
  }
}

/** A success at the reserved price. */
export function successOf (given: Partial<Extract<Ending, { kind: 'succeeded' }>> = {}): Ending {
  return { kind: 'succeeded', output: '{"images":[{"url":"https://files.example/1.png"}],"seed":42}', seed: '42', learnedName: null, cost: price, ...given }
}

/** A refusal by the model, by default billed. */
export function failureOf (cost: number | null = price): Ending {
  return { kind: 'failed', failure: refusal, cost }
}

export function tokenOf (given: Partial<Token> = {}): Token {
  return {
    id: 'tok1',
    tenant: 'studio',
    subject: 'visitor',
    secretSha256: 'ab'.repeat(32),
    origins: ['https://studio.example'],
    terms: '',
    expiresAtMs: never,
    revoked: false,
    picturesLeft: 3,
    moneyLeft: 1_000_000,
    ...given
  }
}

export function ticketOf (given: Partial<Ticket> = {}): Ticket {
  return { sha256: 'digest', tenant: 'studio', subject: 'visitor', generation: 'picture', terms: 'terms', expiresAtMs: never, ...given }
}
