// What operators are told of answers that callers are told nothing of.

import { readErrorBody } from '../fal-wire/error-body.ts'
import type { Answer, NoAnswer } from './exchange.ts'

/** The part of a pino logger that is used here. */
export type UpstreamLog = Readonly<Record<'debug' | 'warn' | 'error', (facts: Readonly<Record<string, unknown>>, message: string) => void>>

/** What an exchange was for. `account`: the operator's name for whose key it had. */
export interface Asked {
  readonly operation: string
  readonly account: string | undefined
  /** What else a line says: of which generation it was. */
  readonly facts: object
}

/** How long the same trouble is not logged again. */
const QUIET_MS = 60_000

/**
 * Makes what tells why no answer came, such as the code of a TLS failure, and fal's known words about our account. Never a text as it came: a firewall's page may repeat
 * the request, and with it a prompt.
 */
export function createTroubleTeller (log: UpstreamLog | undefined): (asked: Asked, answer: Answer | NoAnswer) => void {
  /** When each trouble was logged last. Their names are made of operations, statuses and fal's few words, so there are not many. */
  const loggedAtMs = new Map<string, number>()

  /** Was this not logged within the last minute? What all generations meet at once is one line. */
  function isNew (what: string): boolean {
    const nowMs = performance.now()
    if (nowMs - (loggedAtMs.get(what) ?? -Infinity) < QUIET_MS) return false
    loggedAtMs.set(what, nowMs)
    return true
  }

  return ({ operation, account, facts }, answer) => {
    if (answer.kind === 'no-answer') {
      if (answer.why !== 'aborted') log?.warn({ operation, error: answer.code, ...facts }, 'no answer from fal')
    } else if (answer.status === 401 || answer.status === 403) {
      const text = readErrorBody(answer.text ?? '', null)?.text ?? ''
      const fal = /User is locked|No user found|Cannot access application/.exec(text)?.[0]
      if (isNew(`${operation} ${answer.status} ${fal} ${account}`)) log?.warn({ operation, status: answer.status, fal, account }, 'fal does not accept our account')
    } else if (answer.status === 429 && isNew(`${operation} 429 ${account}`)) {
      log?.warn({ operation, status: answer.status, account }, 'fal takes no more at the moment')
    }
  }
}
