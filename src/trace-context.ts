// W3C Trace Context: the trace that a request belongs to, as headers and rows have it.

import type { IncomingHttpHeaders } from 'node:http'

/** A place in a trace: the span that what comes after it belongs below. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  /** Does the one that began the trace record it? */
  readonly isSampled: boolean
  /** What tracing systems say to themselves (`tracestate`), up to 512 characters; `''`: nothing. */
  readonly state: string
}

/** The most of `tracestate` that is kept: what the specification asks everybody to hand on. A row keeps it as long as its picture. */
const MAX_STATE_CHARACTERS = 512

const PARENT = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

const TEXT = /^([0-9a-f]{32})-([0-9a-f]{16})-0([01])(?: (.+))?$/

const VISIBLE = /^[\x20-\x7e\t]+$/

/** The trace that a caller names, or null. What is no `traceparent` counts as none, and without one `tracestate` says nothing. */
export function traceIn ({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | null {
  if (typeof traceparent !== 'string') return null
  const [, version, traceId, spanId, flags, more] = PARENT.exec(traceparent) ?? []
  // A later version may have more to say behind these.
  if (traceId === undefined || spanId === undefined || (version === '00' && more !== undefined)) return null
  return { traceId, spanId, isSampled: (parseInt(flags ?? '', 16) & 1) === 1, state: stateIn(tracestate) }
}

/** What is kept of a `tracestate`. Too long a one is dropped: half of it might be half of an entry. */
export function stateIn (tracestate: string | string[] | undefined): string {
  return typeof tracestate === 'string' && tracestate.length <= MAX_STATE_CHARACTERS && VISIBLE.test(tracestate) ? tracestate.trim() : ''
}

/** As one text of at most 565 characters. */
export function traceText ({ traceId, spanId, isSampled, state }: TraceContext): string {
  return `${traceId}-${spanId}-0${isSampled ? 1 : 0}${state === '' ? '' : ` ${state}`}`
}

/** The way back. What another version wrote in another form is no trace, and no reason to do without the row. */
export function traceOfText (text: string): TraceContext | null {
  const [, traceId, spanId, sampled, state = ''] = TEXT.exec(text) ?? []
  return traceId === undefined || spanId === undefined ? null : { traceId, spanId, isSampled: sampled === '1', state }
}

/** What a log line says of a trace: nothing where there is none, since a member without a value would hide the one that an instrumentation of the log puts there. */
export function traceFacts (trace: TraceContext | null): { readonly trace_id?: string, readonly span_id?: string } {
  return trace === null ? NO_FACTS : { trace_id: trace.traceId, span_id: trace.spanId }
}

const NO_FACTS = {}
