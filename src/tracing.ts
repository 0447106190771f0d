// Spans, by OpenTelemetry's API. What records them is the operator's, loaded before this process' own code (`node --import …`). Where there is none, a span is one
// constant that does nothing.
//
// A span's parent is said each time, as the row or the request has it: a generation outlives the request that it was bought for, and the process that began it.

import { channel } from 'node:diagnostics_channel'
import type { IncomingHttpHeaders } from 'node:http'
import { context, createContextKey, createTraceState, isSpanContextValid, ProxyTracerProvider, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, type Attributes, type Context, type Span as ApiSpan, type SpanContext, type Tracer } from '@opentelemetry/api'
import { stateIn, traceIn, type TraceContext } from './trace-context.ts'

/** All that there are. Names of spans group them, so nothing of a call stands in one. */
export type SpanName = 'falgate.admission' | 'falgate.line' | 'falgate.submit' | 'falgate.run' | 'falgate.result' | 'falgate.settlement'

/** What a span says. Never a text of a caller or of fal: no input, no output, no address of a picture, no key. */
export interface SpanFacts {
  readonly 'falgate.generation_id'?: string | undefined
  readonly 'falgate.fal_request_id'?: string | undefined
  readonly 'falgate.tenant'?: string
  readonly 'falgate.attempt'?: number
  /** How many times another replica took it over before. */
  readonly 'falgate.takeovers'?: number
  readonly 'falgate.source'?: string
  readonly 'falgate.outcome'?: string
  readonly 'falgate.cost_usd'?: number | undefined
  readonly 'falgate.cost_assumed'?: boolean | undefined
  /** The endpoint id, and what follows: by the names that OpenTelemetry gives such things. */
  readonly 'gen_ai.request.model'?: string
  readonly 'http.request.method'?: string
  readonly 'http.response.status_code'?: number
  readonly 'server.address'?: string
  readonly 'server.port'?: number
}

/** What goes on, until it is ended. */
export interface Span {
  /** What belongs below it names this as its parent. Null where nothing is recorded: then that is the span's own parent. */
  readonly trace: TraceContext | null
  readonly add: (facts: SpanFacts) => void
  /** Names another trace that it has to do with. */
  readonly link: (other: TraceContext | null) => void
  /** Does some work, so that what an instrumentation records of it belongs below this span. */
  readonly around: <T>(work: () => T) => T
  /** `code`: why it failed. Twice is harmless. */
  readonly end: (code?: string | null) => void
}

export interface Tracing {
  /** The trace of a request that has just come: where an instrumentation of the server has its span, otherwise what the caller names. */
  readonly ofRequest: (headers: IncomingHttpHeaders) => TraceContext | null
  /** A span below `parent`; without one it begins a trace. */
  readonly begin: (name: SpanName, parent: TraceContext | null, facts: SpanFacts) => Span
  /** The same around a call to fal. It is a client's span; where an instrumentation of undici makes one for each request, that one stands below it, and is the client's. */
  readonly beginCall: (name: SpanName, parent: TraceContext | null, facts: SpanFacts) => Span
  /** A span that is over: it lasted so long, and ended so long ago. */
  readonly tell: (name: SpanName, parent: TraceContext | null, facts: SpanFacts, time: { readonly lastedMs: number, readonly agoMs?: number, readonly code?: string | null }) => void
  /** Does some work, so that what an instrumentation records of it belongs to this trace. */
  readonly below: <T>(parent: TraceContext | null, work: () => T) => T
}

const NO_SPAN: Span = { trace: null, add: () => {}, link: () => {}, around: work => work(), end: () => {} }

/** Where nothing records spans. */
export const noTracing: Tracing = { ofRequest: traceIn, begin: () => NO_SPAN, beginCall: () => NO_SPAN, tell: () => {}, below: (_parent, work) => work() }

/** Does some work apart from the trace of the call that happened to begin it. */
export function apart<T> (work: () => T): T {
  return context.with(ROOT_CONTEXT, work)
}

/** By this name SDKs know that nothing is to be recorded. */
const UNRECORDED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING')

/** Does some work that no instrumentation records: for what it would write down of that is nothing for traces. */
export function unrecorded<T> (work: () => T): T {
  return context.with(context.active().setValue(UNRECORDED, true), work)
}

/** What records spans in this process, looked for once: an SDK that is registered later is not heard. */
export function openTracing (version: string): Tracing {
  const provider = trace.getTracerProvider()
  const isRecording = !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer('falgate') !== undefined
  return isRecording ? tracingWith(trace.getTracer('falgate', version)) : noTracing
}

/** What undici, and what takes its place, tells an instrumentation of its requests. */
const requestsOfUndici = channel('undici:request:create')

function tracingWith (tracer: Tracer): Tracing {
  function begin (name: SpanName, parent: TraceContext | null, facts: SpanFacts, kind = SpanKind.INTERNAL): Span {
    const above = contextOf(parent)
    return spanOf(tracer.startSpan(name, { kind, attributes: attributesOf(facts) }, above), above)
  }

  return {
    ofRequest: headers => {
      const active = trace.getActiveSpan()?.spanContext()
      return active !== undefined && isSpanContextValid(active) ? traceOf(active) : traceIn(headers)
    },
    begin,
    beginCall: (name, parent, facts) => begin(name, parent, facts, requestsOfUndici.hasSubscribers ? SpanKind.INTERNAL : SpanKind.CLIENT),
    tell: (name, parent, facts, { lastedMs, agoMs = 0, code }) => {
      const endMs = Date.now() - agoMs
      // As dates: a number from before this process began would be taken for one of its own clock.
      const span = tracer.startSpan(name, { attributes: attributesOf(facts), startTime: new Date(endMs - lastedMs) }, contextOf(parent))
      fail(span, code)
      span.end(new Date(endMs))
    },
    below: (parent, work) => context.with(contextOf(parent), work)
  }
}

function spanOf (span: ApiSpan, above: Context): Span {
  return {
    trace: traceOf(span.spanContext()),
    add: facts => { span.setAttributes(attributesOf(facts)) },
    link: other => { if (other !== null) span.addLink({ context: spanContextOf(other) }) },
    around: work => context.with(trace.setSpan(above, span), work),
    end: code => {
      if (!span.isRecording()) return
      fail(span, code)
      span.end()
    }
  }
}

function fail (span: ApiSpan, code: string | null | undefined): void {
  if (code === undefined || code === null) return
  span.setAttribute('error.type', code).setStatus({ code: SpanStatusCode.ERROR, message: code })
}

function attributesOf (facts: SpanFacts): Attributes {
  return { ...facts }
}

function contextOf (parent: TraceContext | null): Context {
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContextOf(parent))
}

function spanContextOf ({ traceId, spanId, isSampled, state }: TraceContext): SpanContext {
  const kept = { traceId, spanId, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE, isRemote: true }
  return state === '' ? kept : { ...kept, traceState: createTraceState(state) }
}

function traceOf ({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceContext {
  return { traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0, state: stateIn(traceState?.serialize()) }
}
