// What operators are told of webhooks: a table for people, an object for programs.

import type { SeenHook, SentAgain } from './hooks.ts'

/** As many are shown as an operator can look at; where there are more, another kind of trouble is told by the metrics. */
export const MAX_SHOWN_HOOKS = 1000

function timeOf (atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString()
}

/** One object: `webhooks`, and whether there may be `more`. */
export function hooksJson (hooks: readonly SeenHook[]): string {
  const webhooks = hooks.map(({ id, generation, tenant, host, form, state, event, tries, error, askedAtMs, sinceMs, nextAtMs }) => ({
    id, generation, tenant, host, form, state, event, failed_tries: tries, last_error: error, asked: timeOf(askedAtMs), since: timeOf(sinceMs), next_try: timeOf(nextAtMs)
  }))
  return JSON.stringify({ webhooks, more: hooks.length >= MAX_SHOWN_HOOKS }) + '\n'
}

const advice = `
A webhook that is due is tried again by itself, for about two hours after its first try.
  falgate webhooks send <generation>    sends it again at once, also one that was given up
`

export function hooksTable (hooks: readonly SeenHook[], nowMs: number): string {
  if (hooks.length === 0) return 'no webhook is stuck or waits\n'
  const head = ['generation', 'tenant', 'host', 'state', 'since', 'failed tries', 'last error', 'next try']
  const rows = hooks.map(({ generation, tenant, host, state, sinceMs, tries, error, nextAtMs }) => [
    generation, tenant, host, state, sinceMs === null ? '-' : ageText(nowMs - sinceMs), String(tries), error ?? '-', nextAtMs === null ? '-' : nextAtMs <= nowMs ? 'now' : `in ${ageText(nextAtMs - nowMs)}`
  ])
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map(cells => cells[column]?.length ?? 0)))
  return [head, ...rows].map(cells => cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd() + '\n').join('') + advice
}

function ageText (ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`
}

/** What became of an operator's wish to have a generation's webhooks sent again. */
export function sentAgainText (id: string, sent: SentAgain): { readonly done: boolean, readonly text: string } {
  switch (sent.outcome) {
    case 'due': return { done: true, text: `${sent.hooks === 1 ? 'the webhook' : `${sent.hooks} webhooks`} of ${id} ${sent.hooks === 1 ? 'is' : 'are'} sent by a gateway within seconds` }
    case 'not-ended': return { done: false, text: `${id} has not ended, so there is nothing to tell yet` }
    case 'no-such-hook': return { done: false, text: `there is no generation ${id} (any more), or it has no webhook` }
  }
}
