// Long work tells how far it is, in the way that fits what standard error is.

import { Writable } from 'node:stream'
import t from 'tap'
import { createProgress } from '../../src/cli/progress.ts'

function stderr (columns?: number): { readonly stream: Writable, readonly text: () => string } {
  let text = ''
  const stream = new Writable({ write: (chunk, _, done) => { text += String(chunk); done() } })
  return { stream: columns === undefined ? stream : Object.assign(stream, { isTTY: true, columns, rows: 24 }), text: () => text }
}

t.test('a log has a line every five seconds, with how much there is', async t => {
  const { stream, text } = stderr()
  let nowMs = 0
  const progress = createProgress(stream, () => nowMs)
  for (const done of [1, 2, 3, 4]) {
    nowMs += 2500
    progress.tell('exported', done, 8)
  }
  nowMs += 5000
  progress.tell('looked through', 5, null)
  nowMs += 5000
  progress.tell('exported', 9, 8)
  progress.end()
  t.equal(text(), 'falgate: 2 of 8 entries are exported (25 %)\nfalgate: 4 of 8 entries are exported (50 %)\nfalgate: 5 entries are looked through\nfalgate: 9 of 9 entries are exported (100 %)\n')
})

t.test('a terminal has one line, which is gone at the end', async t => {
  const { stream, text } = stderr(80)
  let nowMs = 0
  const progress = createProgress(stream, () => nowMs)
  for (const done of [1, 2]) {
    nowMs += 200
    progress.tell('imported', done, 4)
  }
  progress.end()
  t.equal(text(), '\r\x1b[Kfalgate: 1 of 4 entries are imported (25 %)\r\x1b[Kfalgate: 2 of 4 entries are imported (50 %)\r\x1b[K')
})
