// What an operator loads with `node --import`: an SDK that records spans. Each one that ends is a line of the file of SPANS_FILE, written before anything else happens, so
// that it outlives a process that is killed.

import { appendFileSync } from 'node:fs'
import { NodeTracerProvider, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-node'

const file = process.env['SPANS_FILE'] ?? ''

function msOf ([seconds, nanos]: ReadableSpan['startTime']): number {
  return seconds * 1000 + nanos / 1_000_000
}

function lineOf (span: ReadableSpan): string {
  const { name, kind, attributes, status, links, parentSpanContext } = span
  const { traceId, spanId } = span.spanContext()
  return JSON.stringify({
    name,
    kind,
    traceId,
    spanId,
    parent: parentSpanContext?.spanId ?? null,
    attributes,
    status,
    links: links.map(({ context }) => ({ traceId: context.traceId, spanId: context.spanId })),
    startMs: msOf(span.startTime),
    endMs: msOf(span.endTime),
    pid: process.pid
  })
}

const processor: SpanProcessor = {
  onStart: () => {},
  onEnd: span => { if (span.spanContext().traceFlags === 1) appendFileSync(file, lineOf(span) + '\n') },
  forceFlush: async () => {},
  shutdown: async () => {}
}

new NodeTracerProvider({ spanProcessors: [processor] }).register()
