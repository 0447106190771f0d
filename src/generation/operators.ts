// What operators ask the ledger: the journal for finance, the open unknowns, a word on one of them, or on what something cost,
// and whether the counters are right. Texts for people and lines for programs.

import { formatUsd, type MicroUsd } from '../money.ts'
import type { JournalEntry, OpenUnknown } from './accounts.ts'
import { hooksJson, hooksTable, MAX_SHOWN_HOOKS, sentAgainText } from './hook-texts.ts'
import { ledgerConstants } from './ledger-constants.ts'
import type { Ledger } from './ledger.ts'
import type { Difference, Recounting } from './recount.ts'

/** What the commands about stored files ask of the ledger. */
export interface FileOperations extends Pick<Ledger, 'takeOrphans' | 'filesGone' | 'withdrawFiles' | 'keptFiles' | 'meetFiles'> {
  /** The names of a generation's stored files; `null`: there is no such generation. */
  readonly filesOf: (id: string) => Promise<readonly string[] | null>
}

export interface Operators {
  /**
   * The journal's lines from `fromMs` on (by default since the start of the UTC month) and before `toMs` (by default now), with a head for CSV.
   * Read page by page, so that memory stays bounded however long it is.
   */
  readonly usage: (asked: { readonly format: 'csv' | 'jsonl', readonly fromMs: number | null, readonly toMs: number | null }) => AsyncIterable<string>
  /** The open unknowns as a table that says what to do next, or as JSON lines. */
  readonly unknown: (format: 'table' | 'jsonl') => AsyncIterable<string>
  /** An operator's word; `done`: it was taken. `text` says what happened, or why not. */
  readonly settle: (id: string, billed: boolean) => Promise<{ readonly done: boolean, readonly text: string }>
  /**
   * An operator's word on what a generation that has ended cost (`null`: what was booked is right), or with a model's endpoint id in place of the
   * generation's that its price is right. Either opens the model when its price was unsure.
   */
  readonly correct: (about: string, cost: MicroUsd | null) => Promise<{ readonly done: boolean, readonly text: string }>
  /** Webhooks that are not told yet or were given up, of one tenant or (`null`) all; `isStuck`: only those that were tried in vain. */
  readonly webhooks: (asked: WebhooksAsked) => AsyncIterable<string>
  /** Has all webhooks of a generation sent again, also those that were delivered. `id`: as its reader knows it. */
  readonly sendWebhooks: (id: string) => Promise<{ readonly done: boolean, readonly text: string }>
  /** Counts again from the rows, and with `isMending` mends what differs: a line for each difference, and one that sums up. `done`: nothing is left to mend. */
  readonly recount: (isMending: boolean) => Promise<{ readonly done: boolean, readonly text: string }>
  readonly files: FileOperations
  readonly close: () => Promise<void>
}

export interface WebhooksAsked { readonly format: 'table' | 'json', readonly isStuck: boolean, readonly tenant: string | null }

const PAGE = 1000

/** More open unknowns than that are another kind of trouble. */
const MAX_UNKNOWNS = 10_000

const MINUTE_MS = 60_000

export function createOperators (ledger: Ledger & Recounting): Operators {
  async function * usage ({ format, fromMs, toMs }: Parameters<Operators['usage']>[0]): AsyncGenerator<string> {
    const endMs = toMs ?? ledger.now() + 1
    const startMs = fromMs ?? monthStartMs(ledger.now())
    if (format === 'csv') yield columns.join(',') + '\n'
    let after: string | undefined
    for (;;) {
      const page = await ledger.journal(startMs, endMs, PAGE, after)
      for (const entry of page) yield lineOf(entry, format)
      if (page.length < PAGE) return
      after = page.at(-1)?.cursor
    }
  }

  async function * unknown (format: 'table' | 'jsonl'): AsyncGenerator<string> {
    const open = await ledger.unknowns(MAX_UNKNOWNS)
    if (format === 'table') yield tableOf(open, ledger.now())
    else for (const each of open) yield JSON.stringify(factsOf(each, ledger.now())) + '\n'
  }

  async function settle (id: string, billed: boolean): Promise<{ done: boolean, text: string }> {
    const settled = await ledger.settle(id, billed)
    switch (settled.outcome) {
      case 'settled': {
        const price = formatUsd(settled.row.price)
        return { done: true, text: billed ? `${id} is settled as billed: $${price} of ${settled.row.tenant} is spent` : `${id} is settled as not billed: $${price} of ${settled.row.tenant} is free again` }
      }
      case 'too-young':
        return { done: false, text: `${id} is unknown for less than ${ledgerConstants.settleAfterMs / MINUTE_MS} minutes: what became of it may still be learned, so try again later` }
      case 'not-unknown':
        return { done: false, text: `${id} is not unknown (any more): there is nothing to settle` }
      case 'no-such-generation':
        return { done: false, text: `there is no generation ${id}` }
    }
  }

  async function correct (about: string, cost: MicroUsd | null): Promise<{ done: boolean, text: string }> {
    // No generation's id has a slash, and every model's has one.
    if (about.includes('/')) return await trust(about)
    const corrected = await ledger.correct(about, cost)
    switch (corrected.outcome) {
      case 'corrected': {
        const { row, booked, reopened } = corrected
        const spent = `$${formatUsd(row.cost ?? 0)} of ${row.tenant} is spent`
        const done = booked === 0 ? `${about} is confirmed: ${spent}` : `${about} is corrected: ${spent} instead of $${formatUsd((row.cost ?? 0) - booked)}`
        return { done: true, text: done + (reopened ? `; ${row.model} is bought again` : '') }
      }
      case 'not-ended':
        return { done: false, text: `${about} has not ended, so there is nothing to correct (of an unknown one, say with falgate settle whether it was billed)` }
      case 'no-such-generation':
        return { done: false, text: `there is no generation ${about} (any more)` }
    }
  }

  /** For when the generation in question is forgotten already. */
  async function trust (model: string): Promise<{ done: boolean, text: string }> {
    const isUnsure = (await ledger.breakers()).some(({ scope, state }) => scope === model && state === 'price-unsure')
    if (!isUnsure) return { done: false, text: `the price of ${model} is not unsure: there is nothing to confirm` }
    await ledger.breaker(model, { state: 'ok', retryAfterMs: 0, only: 'price-unsure' })
    return { done: true, text: `the price of ${model} is confirmed; it is bought again` }
  }

  async function * webhooks ({ format, isStuck, tenant }: WebhooksAsked): AsyncGenerator<string> {
    const found = await ledger.hooks({ tenant, stuck: isStuck, limit: MAX_SHOWN_HOOKS })
    yield format === 'json' ? hooksJson(found) : hooksTable(found, ledger.now())
  }

  async function recount (isMending: boolean): Promise<{ done: boolean, text: string }> {
    const { rows, differences, isJournalTrimmed } = await ledger.recount({ isMending })
    const left = differences.filter(({ isMended }) => !isMended)
    const counted = `${differences.length} difference${differences.length === 1 ? '' : 's'} in ${rows} generations`
    const sums = [
      differences.length === 0 ? `${rows} generations are counted: every counter and index is right` : isMending ? `${counted}, ${differences.length - left.length} mended` : `${counted}; nothing is changed, falgate ledger recount --write mends them`,
      ...left.some(({ what }) => what === 'spent') ? ['what was spent is never changed: hold falgate usage against fal\'s bill, and say what a generation cost with falgate correct'] : [],
      ...isJournalTrimmed ? ['the journal does not go back to the beginning any more, so what was spent is not held against it'] : []
    ]
    return { done: left.length === 0, text: [...differences.map(sentenceOf), ...sums].join('\n') }
  }

  const files: FileOperations = {
    takeOrphans: ledger.takeOrphans,
    filesGone: ledger.filesGone,
    withdrawFiles: ledger.withdrawFiles,
    keptFiles: ledger.keptFiles,
    meetFiles: ledger.meetFiles,
    filesOf: async id => {
      const [row] = await ledger.getMany([id])
      return row === undefined ? null : [...new Set((row.media ?? []).flatMap(({ file }) => file ?? []))]
    }
  }

  return { usage, unknown, settle, correct, webhooks, sendWebhooks: async id => sentAgainText(id, await ledger.sendHooksAgain(id)), recount, files, close: ledger.close }
}

function sentenceOf ({ what, name, found, expected }: Difference): string {
  const usd = (amount: string | null): string => `$${formatUsd(Number(amount ?? 0))}`
  switch (what) {
    case 'slots': return `${name === '' ? '' : `${name}: `}${found} slots are counted as used, ${expected} generations are at fal`
    case 'aside': return `${found} bytes of large results are counted, ${expected} are kept`
    case 'kept': return `${found} bytes of stored files are counted, ${expected} are known`
    case 'running': case 'waiting': return `${name}: ${found} are counted as ${what}, ${expected} generations are`
    case 'held': return `${name}: ${usd(found)} are held, open generations are worth ${usd(expected)}`
    case 'spent': return `${name}: ${usd(found)} are spent or open, the journal explains ${usd(expected)}`
    case 'pictures': return `token ${name}: ${found} pictures are held, open generations may make ${expected}`
    case 'money': return `token ${name}: ${usd(found)} are held, open generations are worth ${usd(expected)}`
    case 'turn': return expected === null ? `${name}: stands in the queue and has nothing to claim` : `${name}: ${found === null ? 'does not stand' : `stands at ${found}`} in the queue, and should at ${expected}`
    case 'row': return `${name}: ${found ?? 'nothing'} in place of ${expected ?? 'nothing'}`
    case 'file': return `file ${name}: ${found} references are counted, ${expected} generations refer to it`
    case 'stray': return `${name}: does not belong there`
  }
}

const columns = ['time', 'kind', 'generation', 'tenant', 'model', 'request_id', 'accounts', 'amount_usd', 'assumed'] as const

function lineOf (entry: JournalEntry, format: 'csv' | 'jsonl'): string {
  const { atMs, kind, id, tenant, model, requestId, accounts, amount, assumed } = entry
  const time = new Date(atMs).toISOString()
  const names = accounts.map(({ owner, period }) => `${owner}:${period}`)
  if (format === 'csv') return [time, kind, id, tenant, model, requestId ?? '', names.join(' '), formatUsd(amount), String(assumed)].map(cell).join(',') + '\n'
  // Dollars are written from micro-dollars, digit by digit.
  const head = JSON.stringify({ time, kind, generation: id, tenant, model, request_id: requestId, accounts: names })
  return `${head.slice(0, -1)},"amount_usd":${formatUsd(amount)},"assumed":${String(assumed)}}\n`
}

/** RFC 4180. */
function cell (text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function factsOf (row: OpenUnknown, nowMs: number) {
  return {
    id: row.id,
    tenant: row.tenant,
    model: row.model,
    request_id: row.requestId,
    admitted: new Date(row.createdAtMs).toISOString(),
    since: new Date(row.sinceMs).toISOString(),
    age_seconds: Math.max(0, Math.floor((nowMs - row.sinceMs) / 1000)),
    price_usd: Number(formatUsd(row.price)),
    settleable: nowMs >= row.sinceMs + ledgerConstants.settleAfterMs
  }
}

const advice = `
Each may or may not have been bought; its price is held until that is known. Look it up
at fal: by its request id, or where there is none by its time, which lies between
"admitted" and "unknown since". Then
  falgate settle <id> --billed      when it was billed: its price is spent
  falgate settle <id> --unbilled    when it was not: its price is free again
That is possible ${ledgerConstants.settleAfterMs / MINUTE_MS} minutes after it became unknown.
`

function tableOf (open: readonly OpenUnknown[], nowMs: number): string {
  if (open.length === 0) return 'nothing is unknown\n'
  const head = ['id', 'tenant', 'model', 'admitted', 'unknown since', 'age', 'price', 'request id']
  const rows = open.map(row => {
    const { id, tenant, model, admitted, since, age_seconds: age, request_id: requestId } = factsOf(row, nowMs)
    return [id, tenant, model, admitted.slice(0, 19) + 'Z', since.slice(0, 19) + 'Z', `${Math.floor(age / 60)} min`, `$${formatUsd(row.price)}`, requestId ?? '-']
  })
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map(cells => cells[column]?.length ?? 0)))
  const text = [head, ...rows].map(cells => cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd() + '\n').join('')
  return text + advice
}

/** The first moment of the UTC month. */
function monthStartMs (nowMs: number): number {
  const now = new Date(nowMs)
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth())
}
