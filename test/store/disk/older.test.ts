// A folder of an older version is read: until format 1 a snapshot had the texts of its rows in records of their own.

import { isDeepStrictEqual } from 'node:util'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { recordOf } from '../../../src/generation/fields.ts'
import { openDiskLedger, type DiskStore } from '../../../src/store/disk/ledger.ts'
import { placeIn } from '../../../src/store/memory/texts.ts'
import { admissionOf, freshId, never, successOf, times } from '../../support/admission.ts'
import { owner, startMs } from '../contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'

const HEAD_BYTES = 36

async function open (files: FakeDisk): Promise<DiskStore> {
  const stop = (what: unknown): never => { throw new Error(String(what)) }
  return await openDiskLedger({ folder: FOLDER, files, times, accounts: () => [owner], wallNow: () => startMs, onDamage: stop, onState: stop, onCheckpointFailure: stop })
}

/** The same frames, with records as that version wrote them. */
function older (file: Buffer): Buffer {
  const frames: Buffer[] = []
  let more = 0
  for (let at = 0; at < file.length;) {
    const recordsBytes = file.readUInt32LE(at + 28)
    const end = at + HEAD_BYTES + recordsBytes + file.readUInt32LE(at + 32)
    const before = file.toString('utf8', at + HEAD_BYTES, at + HEAD_BYTES + recordsBytes).split('\n')
    const records = before.flatMap(record => recordsOf(JSON.parse(record), more)).map(record => JSON.stringify(record))
    more += records.length - before.length
    const lines = Buffer.from(records.join('\n'))
    const frame = Buffer.concat([file.subarray(at, at + HEAD_BYTES), lines, file.subarray(at + HEAD_BYTES + recordsBytes, end)])
    frame.writeUInt16LE(1, 16)
    frame.writeUInt32LE(lines.length, 28)
    frame.writeUInt32LE(crc32(frame.subarray(16)), 12)
    frames.push(frame)
    at = end
  }
  return Buffer.concat(frames)
}

function recordsOf (record: unknown, more: number): unknown[] {
  if (!Array.isArray(record)) {
    const end = recordOf(record)
    return [end['slices'] === undefined ? end : { ...end, records: Number(end['records']) + more }]
  }
  const [table, id, image]: unknown[] = record
  if (table !== 'rows') return [record]
  const { input, output, ...rest } = recordOf(image)
  const texts = [['i', input], ['o', output]].flatMap(([kind, text]) => typeof text === 'string' ? [['@', `${kind} ${id}`, placeIn(text)]] : [])
  return [[table, id, rest], ...texts]
}

t.test('a snapshot of format 1 is read as it was', async t => {
  const disk = createFakeDisk()
  const { ledger, flush, checkpoint, images } = await open(disk)
  const ids: string[] = []
  for (const prompt of ['ended', 'under way', 'waiting']) {
    const input = JSON.stringify({ prompt })
    const claim = prompt === 'waiting' ? undefined : { claimId: freshId(), replica: 'r1', slots: 1000 }
    const admitted = await ledger.admit(admissionOf({ input, cacheName: `cache ${prompt}`, idempotency: { name: `key ${prompt}`, fingerprint: 'f' } }), claim)
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    const { id, attempt } = admitted.row
    ids.push(id)
    if (prompt === 'ended') await ledger.finish(id, attempt, 'request', successOf({ output: '{"images":["a"]}' }))
  }
  const [ended = ''] = ids
  await flush()
  await checkpoint()
  const kept = disk.copy()
  const name = kept.names().find(one => one.endsWith('.snapshot')) ?? ''
  const file = older(kept.contents(name))
  t.match(file.toString(), /"@","o /, 'texts are told of by themselves')
  t.notOk(isDeepStrictEqual(file, kept.contents(name)))
  kept.put(name, file)
  const again = await open(kept)
  t.same(new Map([...again.images()].map(([table, key, image]) => [`${table} ${key}`, image])), new Map([...images()].map(([table, key, image]) => [`${table} ${key}`, image])))
  t.same(await again.ledger.getMany(ids), await ledger.getMany(ids))
  t.match(await again.ledger.getMany([ended]), [{ input: '{"prompt":"ended"}', output: '{"images":["a"]}' }])
  t.match(await again.ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 }), { outcome: 'go', row: { input: '{"prompt":"waiting"}' } })
  t.same(again.ledger.audit(), [])
})
