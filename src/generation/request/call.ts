// One call in two records: what its caller asked for (`CallOptions`), and what the ledger is told of that (`Admission`).

import type { ExactNumbers } from '../../fal-wire/exact-numbers.ts'
import type { Model, ModelInput } from '../../models/model.ts'
import type { BudgetLimit, Tenant } from '../../tenants/book.ts'
import type { TraceContext } from '../../trace-context.ts'
import type { Admission } from '../admission.ts'
import type { Connection, Mode, Priority } from '../generation.ts'
import type { WantedHook } from '../hook.ts'
import { canonicalJson, duplicateName, fingerprint, idempotencyName, inputSha256, reuseName } from '../key.ts'
import { makesLarge } from '../large.ts'
import { newHookId } from '../../ids.ts'
import { budgetsOf } from './budgets.ts'
import type { PriceRules } from './price-rules.ts'

/**
 * What a caller asked for, and how it wants to be served: authenticated, validated and parsed at the edge, by whichever door it came. It lives as long as the
 * call; what outlives that is in the {@link Admission} that is made of it.
 */
export interface CallOptions {
  readonly tenant: Tenant
  /** The browser token's id, or `''` for the tenant's own keys. */
  readonly subject: string
  readonly model: Model
  /** The input as it was sent. */
  readonly body: ModelInput
  /** What is sent: the same with the defaults that are sent. */
  readonly sent: ModelInput
  /** That as canonical JSON. */
  readonly input: string
  /** What is bought in its place where it names files by what they hold: the same with their addresses at fal. */
  readonly inputAtFal: string | null
  /** The seed's digits. */
  readonly seed: string | null
  /** The digits of other numbers that JavaScript would change. */
  readonly numbers: ExactNumbers | null
  /** What a stored result is looked for under: its input with the seed, or without one where any seed will do. Nothing where nothing stored is wanted. */
  readonly cacheName: string | null
  /** `only` answers from what is stored or not at all; `reuse` takes any stored picture of the input, which names no seed, or buys one. */
  readonly mode: Mode | 'reuse' | 'only'
  /** The caller's `Idempotency-Key`. */
  readonly idempotencyKey: string | null
  /** Which repetition of a call this is, as the caller's client counts them; 0: the first time, or nothing is counted. */
  readonly callerRetry: number
  /** How long the caller waits for the end; 0: not at all. */
  readonly waitMs: number
  /** The caller asked not to be kept waiting: time up is a 202, not a failure. */
  readonly async: boolean
  /** What of `Prefer` was honoured, for `Preference-Applied`. */
  readonly preferenceApplied: string | null
  readonly priority: Priority
  /** How long the caller lets it wait in the queue; `null`: as long as the gateway does. */
  readonly startWithinMs: number | null
  /** The caller has to be given an id that it may read, also for what is stored. */
  readonly needsId: boolean
  /** Which of a list that is asked for together it is; 0 is the first. `null`: it is asked for alone. */
  readonly place: { readonly index: number, readonly of: number } | null
  /** Whom to tell when it has ended. */
  readonly hook: Omit<WantedHook, 'id'> | null
  /** The trace that the caller's request belongs to. */
  readonly trace: TraceContext | null
}

/** What a call costs at most, and one of its units; `how` says in a few words how that was reckoned. */
export interface Prices extends Pick<Admission, 'price' | 'unitPrice'> { readonly how: string }

/** What an admission is made of beside the call. */
export interface AdmissionContext {
  /** A fresh UUIDv7. */
  readonly newId: () => string
  readonly companyBudget: () => BudgetLimit | null
  /** What a call of this input costs at most, and one of its units. Throws what forbids to buy it: no bound is known, or nobody has confirmed the price. */
  readonly pricesOf: (model: Model, sent: ModelInput) => Prices
  readonly priceRules: Pick<PriceRules, 'of'>
  /** How long after its end a picture is that of equal requests, too, where a tenant wants that. */
  readonly twinMs: number
}

/** The name under which the call's result is found by requests for which any seed will do; `null` where nothing is to be stored. */
export function reuseNameOf ({ tenant, model, sent, numbers, cacheName, mode }: CallOptions): string | null {
  if (mode === 'reuse') return cacheName
  return mode === 'bypass' ? null : reuseName(tenant.cacheGroup, model, sent, numbers)
}

/** What every round of asking the ledger says of a call. `connection` waits for the answer. */
export function admissionOf (options: CallOptions, connection: Connection | null, { newId, companyBudget, pricesOf, priceRules, twinMs }: AdmissionContext): Omit<Admission, 'deadlineMs' | 'duplicates' | 'lastRound' | 'filesLastMs' | 'lookedAt'> {
  const { tenant, subject, model, body, sent, input, inputAtFal, seed, numbers, cacheName, mode, idempotencyKey, callerRetry, priority, startWithinMs, needsId, place, hook, trace } = options
  const index = place?.index ?? 0
  const named = idempotencyKey === null && seed === null && mode === 'normal' ? duplicateName(tenant.id, subject, model, input, index) : null
  const { price, unitPrice } = pricesOf(model, sent)
  const bought = inputAtFal ?? input
  return {
    id: newId(),
    tenant: tenant.id,
    subject,
    model: model.endpointId,
    input: bought,
    inputSha256: inputSha256(bought),
    makesLarge: makesLarge(bought),
    seed,
    price,
    unitPrice,
    ...priceRules.of(model),
    files: model.filesOf(sent),
    mode: mode === 'only' || mode === 'reuse' ? 'normal' : mode,
    cacheGroup: mode === 'bypass' ? null : tenant.cacheGroup,
    cacheName,
    reuseName: reuseNameOf(options),
    idempotency: idempotencyKey === null
      ? null
      : { name: idempotencyName(tenant.id, subject, idempotencyKey, index), fingerprint: fingerprint(model, canonicalJson(body, seed, numbers), place?.of) },
    duplicateName: named,
    joinsTwins: named !== null && tenant.twins === 'join',
    twinMs,
    // A caller that asked for the id only waits for that one: until it went out, a duplicate's caller has to buy its own.
    connection,
    callerRetry,
    priority,
    startWithinMs,
    needsId,
    hook: hook === null ? null : { id: newHookId(), ...hook },
    trace,
    rate: tenant.rateLimit,
    maxInFlight: tenant.maxInFlight,
    maxQueued: tenant.maxQueued,
    weight: tenant.weight,
    budgets: budgetsOf(tenant, companyBudget()),
    token: subject === '' ? null : subject
  }
}
