// Server-sent events arrive whole, however the bytes were cut.

import t from 'tap'
import { readEvents } from '../../src/upstream/server-sent-events.ts'

async function * chunksOf (bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function eventsIn (text: string, size: number, maxCharacters = 1_000): Promise<string[]> {
  const events: string[] = []
  for await (const event of readEvents(chunksOf(Buffer.from(text), size), maxCharacters)) events.push(event)
  return events
}

t.test('every cut of the bytes gives the same events: inside characters, between CR and LF, with comments and other fields', async t => {
  const text = '\uFEFFdata: {"a":"ü🚲"}\n\n: ping\n\n: ping\r\n\r\ndata:{"b":1}\r\n\r\nevent: x\nid: 7\ndata: one\ndata: two\n\ndata:  kept space\r\rdata: cut off'
  const whole = JSON.stringify(['{"a":"ü🚲"}', '{"b":1}', 'one\ntwo', ' kept space'])
  const differing: number[] = []
  for (let size = 1; size <= Buffer.byteLength(text); size++) {
    if (JSON.stringify(await eventsIn(text, size)) !== whole) differing.push(size)
  }
  t.same(differing, [])
})

t.test('a line, or an event, without end is not kept in memory for ever', async t => {
  await t.rejects(eventsIn('data: ' + 'x'.repeat(5_000), 100), /too long/)
  await t.rejects(eventsIn('data: xxxxxxxxx\n'.repeat(500), 100), /too long/)
  t.same(await eventsIn('data: xxxxxxxxx\n\n'.repeat(500), 100), Array(500).fill('xxxxxxxxx'))
})
