// The spans of what is asked of fal for a generation: each submit, each look for a result, and the time in which fal has it.

import type { ProblemCode } from '../errors.ts'
import type { Result, StatusReader, Submitted } from '../generation/upstream.ts'
import { spanFactsOf, type Whose } from '../generation/whose.ts'
import { noTracing, type Span, type SpanFacts, type Tracing } from '../tracing.ts'
import type { Answer, ExchangeRequest, NoAnswer } from './exchange.ts'

/** A call that is under way. */
export interface CallSpan {
  readonly around: Span['around']
  readonly end: (answer: Answer | NoAnswer, came: Submitted | Result) => void
}

export function beginCall (tracing: Tracing, name: 'falgate.submit' | 'falgate.result', { method, server }: { readonly method: ExchangeRequest['method'], readonly server: URL }, whose: Whose | undefined): CallSpan {
  const span = whose === undefined ? noTracing.beginCall(name, null, {}) : tracing.beginCall(name, whose.trace, { ...spanFactsOf(whose), 'http.request.method': method, ...serverFactsOf(server) })
  return {
    around: span.around,
    end: (answer, came) => {
      if (answer.kind === 'answer') span.add({ 'http.response.status_code': answer.status })
      if (came.kind === 'accepted') span.add({ 'falgate.fal_request_id': came.requestId })
      span.add({ 'falgate.outcome': came.kind })
      span.end(codeOf(came))
    }
  }
}

/** Where fal is. The rest of its address may be anything that an operator wrote there. */
function serverFactsOf ({ hostname, port, protocol }: URL): SpanFacts {
  return { 'server.address': hostname, 'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) }
}

/** Why it failed, as callers would be told. */
function codeOf (came: Submitted | Result): ProblemCode | null {
  switch (came.kind) {
    case 'accepted':
    case 'succeeded':
    case 'cancelled':
    case 'pending': return null
    case 'unsent':
    case 'refused':
    case 'failed': return came.failure.code
    case 'lost': return 'outcome-unknown'
    case 'unavailable': return 'upstream-unavailable'
    case 'no-output': return 'upstream-failed'
    case 'expired': return 'result-expired'
  }
}

/** The same reader with a span from its first question until fal is done, or until it is closed. What fal shows at work again is another one. */
export function spanned (reader: StatusReader, tracing: Tracing, whose: Whose): StatusReader {
  let span: Span | null = null

  function end (outcome: 'completed' | 'missing' | 'left'): void {
    span?.add({ 'falgate.outcome': outcome })
    span?.end()
    span = null
  }

  return {
    next: async signal => {
      span ??= tracing.begin('falgate.run', whose.trace, spanFactsOf(whose))
      const seen = await span.around(async () => await reader.next(signal))
      if (seen.kind === 'completed' || seen.kind === 'missing') end(seen.kind)
      return seen
    },
    close: () => {
      reader.close()
      end('left')
    }
  }
}
