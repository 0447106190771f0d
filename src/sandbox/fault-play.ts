// Plays one fault around the work of one call.

import type { ServerResponse } from 'node:http'
import { TLSSocket } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { falHeaders } from '../fal-wire/headers.ts'
import { errorAnswers, oddAnswers, type Answer, type Outcome } from './answers.ts'
import type { TakenFault } from './faults.ts'

/** What to answer, or `null` when there is none: the connection is gone, broken by the fault or left by the caller. */
export async function playFault ({ fault, released }: TakenFault, raw: ServerResponse, closing: AbortSignal, work: () => Outcome | Promise<Outcome>): Promise<Outcome | null> {
  const gone = untilGone(raw, closing)
  if (fault.delayMs !== undefined) await waitMs(fault.delayMs, gone.signal)
  if (gone.signal.aborted) return null

  const acceptsFirst = 'accepted' in fault && fault.accepted === true
  const early = acceptsFirst ? await work() : null

  switch (fault.kind) {
    case 'reset':
      reset(raw)
      return null
    case 'hang':
      await Promise.race([released, gone.promise])
      if (gone.signal.aborted) return null
      return early ?? await work()
    case 'answer': {
      const named: Answer = errorAnswers[fault.error]
      const headers = { ...named.headers }
      if (fault.retryAfterSeconds !== undefined) headers['retry-after'] = String(fault.retryAfterSeconds)
      // A request that was accepted has an id, and an error behind it tells it.
      const id = early !== null && 'headers' in early ? early.headers[falHeaders.requestId] : undefined
      if (id !== undefined && named.fromIngress !== true) headers[falHeaders.requestId] = id
      return { ...named, headers }
    }
    case 'odd':
      return oddAnswers[fault.answer]
    default:
      return await work()
  }
}

/** Notices that the caller's connection closed or that the server shuts down, which then closes the connection. */
function untilGone (raw: ServerResponse, closing: AbortSignal): { readonly signal: AbortSignal, readonly promise: Promise<void> } {
  const gone = new AbortController()
  const promise = new Promise<void>(resolve => {
    function leave (): void {
      closing.removeEventListener('abort', breakOff)
      gone.abort()
      resolve()
    }
    function breakOff (): void {
      raw.destroy()
      leave()
    }
    raw.once('close', leave)
    closing.addEventListener('abort', breakOff, { once: true })
  })
  return { signal: gone.signal, promise }
}

async function waitMs (ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch {
    // The caller left during the delay: `signal` tells.
  }
}

function reset (raw: ServerResponse): void {
  const { socket } = raw
  // A TLS socket cannot send RST by itself; its end without a closing message is broken enough.
  if (socket === null || socket instanceof TLSSocket) raw.destroy()
  else socket.resetAndDestroy()
}
