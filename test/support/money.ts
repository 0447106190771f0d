// The sum: journal, ledger, `GET /usage`, metrics and the sandbox's bill, read together and held against each other to the micro-dollar.

import type { Test } from 'tap'
import type { Balance, JournalEntry } from '../../src/generation/accounts.ts'
import type { Ledger } from '../../src/generation/ledger.ts'
import { formatUsd, parseUsd, type MicroUsd } from '../../src/money.ts'
import { key as keyOf, parseObject } from './gateway.ts'
import type { Deployment, Replica } from './replicas.ts'

/** Where the money stands, all tenants together. */
export interface Money {
  /** Settled: the journal without open unknowns. */
  readonly spent: MicroUsd
  /** Reserved for what has not ended, unknowns included. */
  readonly held: MicroUsd
  /** The part of `held` whose outcome is unknown. */
  readonly unknown: MicroUsd
  /** Units that the sandbox billed, at the price of the model. */
  readonly billed: MicroUsd
  readonly journal: readonly JournalEntry[]
}

export interface SumOptions {
  /** Those whose `GET /usage` is read; their keys are those of `tenant()`. */
  readonly tenants?: readonly string[]
  readonly price?: MicroUsd
  /**
   * `exact`: the given replicas are all that ever ran, so their counters explain every micro-dollar.
   * `at-most`: some died (or an operator settled), and what they had counted is gone with them.
   */
  readonly counters?: 'exact' | 'at-most'
}

/**
 * Reads everything that knows about money and asserts that it agrees: call it when nothing is under way any more.
 * The bill may be higher than what is spent only by what the open unknowns hold. Everything has to lie within one UTC month.
 */
export async function moneyOf (t: Test, { ledger, sandbox }: { readonly ledger: Ledger, readonly sandbox: Deployment['sandbox'] }, replicas: readonly Replica[], options: SumOptions = {}): Promise<Money> {
  const { tenants = ['studio'], price = 60_000, counters = 'exact' } = options
  const [journal, unknowns, balances] = await Promise.all([
    wholeJournal(ledger), ledger.unknowns(10_000), ledger.balances(tenants.map(owner => ({ owner, per: 'month' as const })))
  ])
  const unknown = sum(unknowns, row => row.price)
  const spent = sum(journal, line => line.amount) - unknown
  const held = sum(balances, balance => balance.held)
  const billed = sandbox.bill.billedUnits * price

  t.equal(sum(balances, balance => balance.spent), spent, 'the books hold what the journal explains')
  t.ok(held >= unknown, 'what is unknown is held')
  if (unknown === 0) t.equal(spent, billed, 'the ledger has what the sandbox billed')
  else t.ok(spent <= billed && billed <= spent + unknown, `billed ${billed}, spent ${spent}, unknown ${unknown}`)

  const metrics = await Promise.all(replicas.map(async replica => (await replica.get('/metrics')).text))
  for (const text of metrics) t.equal(sumOf(text, 'falgate_unknown_open'), unknowns.length, 'every replica counts the open unknowns')
  const counted = sum(metrics, text => microOf(sumOf(text, 'falgate_spend_usd_total')))
  if (counters === 'exact') t.equal(counted, spent, 'the counters of all replicas add up to what is spent')
  else t.ok(counted <= spent, `the counters (${counted}) tell no more than what is spent (${spent})`)

  for (const replica of replicas) {
    for (const [index, tenant] of tenants.entries()) assertUsage(t, await usageOf(replica, tenant), balances[index])
  }
  return { spent, held, unknown, billed, journal }
}

function assertUsage (t: Test, usage: Record<string, unknown>, balance: Balance | undefined): void {
  t.match(usage['month'], { spent_usd: Number(formatUsd(balance?.spent ?? NaN)), reserved_usd: Number(formatUsd(balance?.held ?? NaN)) }, 'every replica answers with the books')
}

/** The body of `GET /usage` for this tenant. */
export async function usageOf (replica: Pick<Replica, 'get'>, tenant: string): Promise<Record<string, unknown>> {
  return parseObject((await replica.get('/usage', keyOf(tenant))).text)
}

/** The journal from its first line to its last, page by page. */
export async function wholeJournal (ledger: Pick<Ledger, 'journal' | 'now'>, pageSize = 1000): Promise<readonly JournalEntry[]> {
  const endMs = ledger.now() + 86_400_000
  const lines = [...await ledger.journal(0, endMs, pageSize)]
  for (let page = lines; page.length === pageSize;) {
    page = [...await ledger.journal(0, endMs, pageSize, page.at(-1)?.cursor)]
    lines.push(...page)
  }
  return lines
}

/** The sum of a metric over all its labels (or those that contain `labels`); 0 when it does not appear. */
export function sumOf (metrics: string, name: string, labels = ''): number {
  const lines = metrics.split('\n').filter(line => (line.startsWith(`${name}{`) && line.includes(labels)) || (labels === '' && line.startsWith(`${name} `)))
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Dollars as a metric shows them, without what adding floating numbers left behind. */
export function microOf (usd: number): MicroUsd {
  return parseUsd(usd.toFixed(6)) ?? NaN
}

function sum<Item> (items: readonly Item[], amountOf: (item: Item) => number): number {
  return items.reduce((total, item) => total + amountOf(item), 0)
}
