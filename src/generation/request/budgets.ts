// Which accounts a generation counts against: the tenant's budget and the company's, and always what both spend in a month, so that a budget
// that is set within it knows what was spent before.

import type { BudgetLimit, Tenant } from '../../tenants/book.ts'
import type { Budget } from '../admission.ts'

/** No spending reaches it, and sums below it are exact. */
const UNLIMITED = Number.MAX_SAFE_INTEGER

const COMPANY = '*'

/** The account that every tenant has, with or without a budget: money that nobody limits is counted all the same. */
export function monthOf (tenant: Tenant): Budget {
  return tenant.budget?.per === 'month' ? { owner: tenant.id, ...tenant.budget } : { owner: tenant.id, limit: UNLIMITED, per: 'month' }
}

/** What one of the tenant's purchases is admitted against. */
export function budgetsOf (tenant: Tenant, company: BudgetLimit | null): readonly Budget[] {
  return [
    monthOf(tenant),
    ...(tenant.budget?.per === 'day' ? [{ owner: tenant.id, ...tenant.budget }] : []),
    company?.per === 'month' ? { owner: COMPANY, ...company } : { owner: COMPANY, limit: UNLIMITED, per: 'month' },
    ...(company?.per === 'day' ? [{ owner: COMPANY, ...company }] : [])
  ]
}

/** What is left of a budget. One that was lowered below what is spent, or was overrun, has nothing left: never less than that. */
export function leftOf (limit: number, { held, spent }: { readonly held: number, readonly spent: number }): number {
  return Math.max(0, limit - held - spent)
}
