// Waiting for a state instead of for time.

import { setTimeout as pause } from 'node:timers/promises'
import type { CallOptions, Gateway } from './gateway.ts'

/** What comes at once is seen at once; what takes longer is asked about less often, so that the processor is left to those that are waited for. */
const POLL_MS = 2
const MAX_POLL_MS = 30

/** Shorter than tap's own limit, so that a test that waits in vain says for what. It decides nothing but that: what is waited for comes sooner on any machine. */
const PATIENCE_MS = 110_000

export interface UntilOptions {
  /** What is waited for, as the end of a sentence that begins with "waited until". By default the text of the condition. */
  readonly what?: string
  /** For what may take longer than two minutes on a slow machine. */
  readonly patienceMs?: number
}

/** Asks until the answer is neither `false` nor absent, and gives it. Rejects with a sentence when that does not come. */
export async function until<Answer> (ask: () => Answer | Promise<Answer>, { what, patienceMs = PATIENCE_MS }: UntilOptions = {}): Promise<Exclude<Answer, false | null | undefined>> {
  const over = new AbortController()
  const inVain = pause(patienceMs, undefined, { signal: over.signal }).then(() => {
    over.abort()
    throw new Error(`waited for ${patienceMs / 1000} s until ${what ?? conditionOf(ask)}, in vain`)
  })
  inVain.catch(() => {}) // nobody hears of it when the answer came
  try {
    return await Promise.race([answer(ask, over.signal), inVain])
  } finally {
    over.abort()
  }
}

async function answer<Answer> (ask: () => Answer | Promise<Answer>, over: AbortSignal): Promise<Exclude<Answer, false | null | undefined>> {
  for (let pauseMs = POLL_MS; ; pauseMs = Math.min(pauseMs * 1.5, MAX_POLL_MS)) {
    const found = await ask()
    if (isThere(found)) return found
    over.throwIfAborted()
    await pause(pauseMs)
  }
}

function isThere<Answer> (found: Answer): found is Exclude<Answer, false | null | undefined> {
  return found !== false && found !== null && found !== undefined
}

/** `() => bill.cancels > 0` without its arrow: the condition says best what was wanted, and never lags behind. */
function conditionOf (ask: () => unknown): string {
  const text = ask.toString().replace(/^(async )?\(\) => /, '').replaceAll(/\s+/g, ' ')
  return text.length <= 500 ? text : text.slice(0, 500) + '…'
}

/** Reads the generation until it has this status. */
export async function untilStatus (gateway: Gateway, id: string, status: string, options: CallOptions = {}): Promise<Record<string, unknown>> {
  let last = 'unread'
  return await until(async () => {
    const generation = (await gateway.get(`/generations/${id}`, options)).json()
    last = String(generation['status'])
    return last === status && generation
  }, { get what () { return `generation ${id} is ${status}; it is ${last}` } })
}

/** The ids of the tenant's generations, newest first. */
export async function generationIds (gateway: Gateway, options: CallOptions = {}): Promise<string[]> {
  const { generations } = (await gateway.get('/generations?limit=100', options)).json()
  return [generations].flat().map(generation => String(Object(generation)['id']))
}
