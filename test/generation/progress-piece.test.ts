// What is seen in a row becomes one piece until that is tried.

import t from 'tap'
import { createProgressPiece } from '../../src/generation/run/progress-piece.ts'

const line = (message: string): { message: string, timestamp: null, level: null } => ({ message, timestamp: null, level: null })

t.test('what is seen before the first try is in the piece, the latest state with all lines; after it the piece stays as it is', t => {
  const piece = createProgressPiece({ kind: 'queued', position: 1, log: { from: 0, lines: [line('a')] } })
  t.ok(piece.add({ kind: 'running', log: { from: 1, lines: [line('b')] } }))
  const tried = { kind: 'running', log: { from: 0, lines: [line('a'), line('b')] } }
  t.same(piece.take(), tried)
  t.notOk(piece.add({ kind: 'running', log: { from: 2, lines: [line('c')] } }))
  t.same(piece.take(), tried)
  t.end()
})
