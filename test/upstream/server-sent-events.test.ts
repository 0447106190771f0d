// Server-sent events arrive whole, however the bytes were cut.

import t from 'tap'
import { createEventSplitter } from '../../src/upstream/server-sent-events.ts'

/** Its events, or null when one is too long. */
function eventsIn (text: string, size: number, maxBytes = 1_000): string[] | null {
  const events: string[] = []
  const feed = createEventSplitter(maxBytes, event => { events.push(event) })
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) {
    if (!feed(bytes.subarray(at, at + size))) return null
  }
  return events
}

t.test('every cut of the bytes gives the same events: inside characters, between CR and LF, with comments and other fields', async t => {
  const text = '\uFEFFdata: {"a":"ü🚲"}\n\n: ping\n\n: ping\r\n\r\ndata:{"b":1}\r\n\r\nevent: x\nid: 7\ndata: one\ndata: two\n\ndata:  kept space\r\rdata: cut off'
  const whole = JSON.stringify(['{"a":"ü🚲"}', '{"b":1}', 'one\ntwo', ' kept space'])
  const differing: number[] = []
  for (let size = 1; size <= Buffer.byteLength(text); size++) {
    if (JSON.stringify(eventsIn(text, size)) !== whole) differing.push(size)
  }
  t.same(differing, [])
})

t.test('an event is given as soon as its last line has come, also where that ends with CR', async t => {
  for (const end of ['\n', '\r', '\r\n']) {
    const events: string[] = []
    createEventSplitter(1_000, event => { events.push(event) })(Buffer.from(`data: one${end}${end}`))
    t.same(events, ['one'], JSON.stringify(end))
  }
})

t.test('a line, or an event, without end is not kept in memory for ever, in chunks of any size', async t => {
  for (const size of [1, 7, 10_000]) {
    t.equal(eventsIn('data: ' + 'x'.repeat(5_000), size, 100), null)
    t.equal(eventsIn('data: xxxxxxxxx\n'.repeat(500), size, 100), null)
    t.same(eventsIn('data: xxxxxxxxx\n\n'.repeat(500), size, 100), Array(500).fill('xxxxxxxxx'))
  }
})
