// `GET /usage`: what the caller's tenant has spent, reserved, saved, and what it may.

import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Balance } from '../generation/accounts.ts'
import type { Ledger } from '../generation/ledger.ts'
import { leftOf, monthOf } from '../generation/request/budgets.ts'
import { savers, type Metrics } from '../metrics.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { formatUsd, type MicroUsd } from '../money.ts'
import { dearestOf, mayUse, type Limit, type Tenant, type TenantBook } from '../tenants/book.ts'
import { problemResponses } from './problem-schema.ts'
import { tenantOf } from './request-facts.ts'

const Usd = (description: string) => Type.Number({ minimum: 0, description })
const Period = Type.String({ description: 'The current UTC day (`2026-11-22`) or month (`2026-11`).' })
const LimitSchema = (description: string) => Type.Object({ max: Type.Integer(), window_seconds: Type.Integer() }, { description })
const spentAndReserved = {
  period: Period,
  spent_usd: Usd('Spent by generations that were admitted in this period.'),
  reserved_usd: Usd('Held, at the highest price, for generations admitted in this period that have not ended, or whose outcome is unknown.')
}

export const UsageSchema = Type.Object({
  tenant: Type.String(),
  month: Type.Object(spentAndReserved, { description: 'With or without a budget.' }),
  budget: Type.Unsafe<unknown>({
    anyOf: [
      Type.Object({
        usd: Usd('For each period.'),
        per: Type.Unsafe<'day' | 'month'>({ type: 'string', enum: ['day', 'month'] }),
        ...spentAndReserved,
        left_usd: Usd('What can still be reserved. 0 when more is spent than a lowered budget allows. A budget of the whole company may end sooner.')
      }),
      { type: 'null' }
    ]
  }),
  saved: Type.Object({
    since: Type.String({ format: 'date-time', description: 'The start of the process that answers.' }),
    ...Object.fromEntries(savers.map(saver => [`${saver}_usd`, Usd(`By answers that were ${saver === 'hit' ? 'stored (a hit)' : saver}.`)]))
  }, { description: 'What repeats did not cost. Each process counts its own answers since its start, because a hit asks the ledger nothing: the sum over all processes is `falgate_saved_usd_total`.' }),
  rate_limit: LimitSchema('Purchases, on all replicas together.'),
  call_limit: LimitSchema('Calls of every kind, for each process.'),
  max_in_flight: Type.Integer({ description: 'Generations at the upstream at once.' }),
  max_queued: Type.Integer({ description: 'Generations that may wait here beside them.' }),
  models: Type.Array(Type.Object({ id: Type.String(), price_usd: Type.Unsafe<number | null>({ anyOf: [{ type: 'number', minimum: 0 }, { type: 'null' }], description: 'The highest price of one call; no call reserves more. `null`: it grows with the input, without a bound.' }) }), { description: 'What this tenant may ask for.' })
}, { title: 'Usage' })

export interface UsageDeps {
  readonly models: () => ModelBook
  readonly ledger: Ledger
  readonly metrics: Metrics
  readonly tenants: () => TenantBook
}

export function usageRoute (scope: FastifyInstance, { models, ledger, metrics, tenants }: UsageDeps): void {
  const since = new Date().toISOString()

  scope.get('/usage', {
    schema: {
      operationId: 'get_usage',
      summary: 'What this key\'s tenant has spent, saved and may still spend',
      tags: ['money'],
      security: [{ key: [] }],
      response: {
        200: Type.Unsafe<unknown>({ description: 'The current period.', content: { 'application/json': { schema: Type.Ref('Usage') } } }),
        ...problemResponses('reading', 'not-allowed')
      }
    }
  }, async (request, reply) => {
    const { tenant } = tenantOf(request)
    const [month, budgeted] = await ledger.balances([monthOf(tenant), ...(tenant.budget === null ? [] : [{ owner: tenant.id, per: tenant.budget.per }])])
    const book = tenants()
    const usage = objectJson({
      tenant: JSON.stringify(tenant.id),
      month: objectJson(moneyOf(month)),
      budget: tenant.budget === null
        ? 'null'
        : objectJson({
          usd: formatUsd(tenant.budget.limit),
          per: JSON.stringify(tenant.budget.per),
          ...moneyOf(budgeted),
          left_usd: formatUsd(leftOf(tenant.budget.limit, presentIn(budgeted)))
        }),
      saved: objectJson({
        since: JSON.stringify(since),
        ...Object.fromEntries(savers.map(saver => [`${saver}_usd`, formatUsd(metrics.savedBy(tenant.id, saver))]))
      }),
      rate_limit: limitJson(tenant.rateLimit),
      call_limit: limitJson(tenant.callLimit),
      max_in_flight: String(tenant.maxInFlight),
      max_queued: String(tenant.maxQueued),
      models: `[${offersOf(tenant, models()).map(model => objectJson({ id: JSON.stringify(model.endpointId), price_usd: priceJson(dearestOf(model, book.ruleOf(model))) })).join(',')}]`
    })
    return reply.type('application/json').send(usage)
  })
}

function moneyOf (balance: Balance | undefined): Readonly<Record<string, string>> {
  const { period, spent, held } = presentIn(balance)
  return { period: JSON.stringify(period), spent_usd: formatUsd(spent), reserved_usd: formatUsd(held) }
}

function presentIn (balance: Balance | undefined): Balance {
  if (balance === undefined) throw new Error('the ledger gave fewer balances than it was asked for')
  return balance
}

function offersOf (tenant: Tenant, models: ModelBook): readonly Model[] {
  return models.all.filter(({ endpointId, isOpen }) => isOpen && mayUse(tenant, endpointId))
}

function priceJson (price: MicroUsd | null): string {
  return price === null ? 'null' : formatUsd(price)
}

function limitJson ({ max, windowSeconds }: Limit): string {
  return JSON.stringify({ max, window_seconds: windowSeconds })
}

/** An object whose values are JSON texts already: dollars are written from micro-dollars, digit by digit. */
function objectJson (fields: Readonly<Record<string, string>>): string {
  return `{${Object.entries(fields).map(([name, json]) => `"${name}":${json}`).join(',')}}`
}
