// The spans that processes under test recorded (see `record-spans.ts`).

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Type, type Static } from '@sinclair/typebox'
import type { Test } from 'tap'
import { guardOf } from '../../src/schema.ts'

const Place = Type.Object({ traceId: Type.String(), spanId: Type.String() })

const Recorded = Type.Object({
  ...Place.properties,
  name: Type.String(),
  /** 0: internal, 1: of a server, 2: of a client. */
  kind: Type.Integer(),
  parent: Type.Union([Type.String(), Type.Null()]),
  attributes: Type.Record(Type.String(), Type.Unknown()),
  /** 2: an error. */
  status: Type.Object({ code: Type.Integer(), message: Type.Optional(Type.String()) }),
  links: Type.Array(Place),
  startMs: Type.Number(),
  endMs: Type.Number(),
  pid: Type.Integer()
})

export type RecordedSpan = Static<typeof Recorded>

const isRecorded = guardOf(Recorded)

export interface SpanFile {
  /** Options of Node that have a process record its spans. */
  readonly node: readonly string[]
  /** What its environment needs for that. */
  readonly env: { readonly SPANS_FILE: string }
  /** What has been recorded so far, as text. */
  readonly text: () => string
  readonly spans: () => readonly RecordedSpan[]
}

export function spanFile (t: Test): SpanFile {
  // Beside the one folder that tap gives a test, which may be in use.
  const folder = mkdtempSync(join(tmpdir(), 'falgate-spans-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const file = join(folder, 'spans.jsonl')
  writeFileSync(file, '')
  const text = (): string => readFileSync(file, 'utf8')
  return {
    node: ['--import', fileURLToPath(new URL('./record-spans.js', import.meta.url))],
    env: { SPANS_FILE: file },
    text,
    spans: () => text().split('\n').slice(0, -1).map(line => {
      const span: unknown = JSON.parse(line)
      if (!isRecorded(span)) throw new Error('a span has another form')
      return span
    })
  }
}
