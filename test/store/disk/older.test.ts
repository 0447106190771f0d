// A folder of an older version is read. Until format 1 a snapshot had the texts of its rows in records of their own, until format 2 each field of a row had its name.

import { crc32 } from 'node:zlib'
import t from 'tap'
import { listOf, recordOf } from '../../../src/generation/fields.ts'
import { openDiskLedger, type DiskStore } from '../../../src/store/disk/ledger.ts'
import { placeIn } from '../../../src/store/memory/texts.ts'
import { admissionOf, failureOf, freshId, longTrace, never, successOf, times } from '../../support/admission.ts'
import { owner, startMs } from '../contract/world.ts'
import { createFakeDisk, FOLDER, type FakeDisk } from './fake-disk.ts'

const HEAD_BYTES = 36

async function open (files: FakeDisk): Promise<DiskStore> {
  const stop = (what: unknown): never => { throw new Error(String(what)) }
  return await openDiskLedger({ folder: FOLDER, files, times, accounts: () => [owner], wallNow: () => startMs, onDamage: stop, onState: stop, onCheckpointFailure: stop })
}

/** The same frames of version 1, with other records: `recordsOf` gives what stood there for one. */
function older (file: Buffer, recordsOf: (record: unknown) => unknown[]): Buffer {
  const frames: Buffer[] = []
  let more = 0
  for (let at = 0; at < file.length;) {
    const recordsBytes = file.readUInt32LE(at + 28)
    const end = at + HEAD_BYTES + recordsBytes + file.readUInt32LE(at + 32)
    const before = file.toString('utf8', at + HEAD_BYTES, at + HEAD_BYTES + recordsBytes).split('\n')
    const records = before.flatMap(record => told(JSON.parse(record), more, recordsOf)).map(record => JSON.stringify(record))
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

/** The end of a snapshot says how many records it has. */
function told (record: unknown, more: number, recordsOf: (record: unknown) => unknown[]): unknown[] {
  if (Array.isArray(record)) return recordsOf(record)
  const end = recordOf(record)
  return [end['slices'] === undefined ? end : { ...end, records: Number(end['records']) + more }]
}

/** As format 1 had them. */
function withTextsApart (record: unknown): unknown[] {
  const [table, id, image] = listOf(record)
  if (table !== 'rows') return [record]
  const { input, output, ...rest } = recordOf(image)
  const texts = [['i', input], ['o', output]].flatMap(([kind, text]) => typeof text === 'string' ? [['@', `${kind} ${id}`, placeIn(text)]] : [])
  return [[table, id, rest], ...texts]
}

/** As format 2 had them. */
function withNames (): (record: unknown) => unknown[] {
  const forms = new Map<unknown, { readonly own: readonly unknown[], readonly shared: unknown }>()
  return record => {
    const [kind, id, form, leads, ...texts] = listOf(record)
    if (kind === '~') {
      forms.set(id, { own: listOf(form), shared: leads })
      return []
    }
    const { own = [], shared = {} } = forms.get(form) ?? {}
    if (kind !== '=') return [record]
    const { input, output, ...image } = Object.fromEntries(own.map((name, place) => [String(name), texts[place]]))
    return [['rows', id, { ...image, ...recordOf(shared), ...(input === undefined ? {} : { hasInput: '1' }), ...(output === undefined ? {} : { hasOutput: '1' }), leads, input, output }]]
  }
}

/** The only snapshot on the disk, changed. */
function changeSnapshot (disk: FakeDisk, change: (file: Buffer) => Buffer): Buffer {
  const name = disk.names().find(one => one.endsWith('.snapshot')) ?? ''
  const file = change(disk.contents(name))
  disk.put(name, file)
  return file
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
  const file = changeSnapshot(kept, before => older(before, withTextsApart))
  t.match(file.toString(), /"@","o /, 'texts are told of by themselves')
  const again = await open(kept)
  t.same(new Map([...again.images()].map(([table, key, image]) => [`${table} ${key}`, image])), new Map([...images()].map(([table, key, image]) => [`${table} ${key}`, image])))
  t.same(await again.ledger.getMany(ids), await ledger.getMany(ids))
  t.match(await again.ledger.getMany([ended]), [{ input: '{"prompt":"ended"}', output: '{"images":["a"]}' }])
  t.match(await again.ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 10 }), { outcome: 'go', row: { input: '{"prompt":"waiting"}' } })
  t.same(again.ledger.audit(), [])
})

/** A ledger whose rows were packed when its snapshot was written, and one of each kind of row that there is. */
async function packedLedger (): Promise<{ readonly disk: FakeDisk, readonly images: ReadonlyMap<string, unknown>, readonly rows: readonly unknown[], readonly ids: readonly string[] }> {
  const disk = createFakeDisk()
  const first = await open(disk)
  const ids: string[] = []
  const kinds = ['succeeded', 'without a seed', 'of a token', 'with "quotation marks"', 'mit Umlauten wie ü', 'failed', 'cancelled', 'delivered', 'unknown', 'waiting'] as const
  for (const kind of kinds) {
    const seed = kind === 'without a seed' ? null : '42'
    const admitted = await first.ledger.admit(admissionOf({ input: JSON.stringify({ prompt: kind }), seed, subject: kind === 'of a token' ? 'somebody' : '', cacheName: `cache of ${kind}`, duplicateName: kind === 'succeeded' ? 'an input' : null, trace: kind === 'delivered' ? longTrace : null, idempotency: { name: `key of ${kind}`, fingerprint: 'f' } }), kind === 'waiting' ? undefined : { claimId: freshId(), replica: 'r1', slots: 1000 })
    if (admitted.outcome !== 'bought') throw new Error(admitted.outcome)
    const { id, attempt } = admitted.row
    ids.push(id)
    if (kind === 'waiting') continue
    if (kind === 'unknown') await first.ledger.recordUnknown(id, attempt, null, { code: 'outcome-unknown', detail: 'Nothing came back.' })
    else if (kind === 'failed') await first.ledger.finish(id, attempt, `request of ${kind}`, failureOf())
    else if (kind === 'cancelled') await first.ledger.finish(id, attempt, `request of ${kind}`, { kind: 'cancelled', cost: null })
    else await first.ledger.finish(id, attempt, `request of ${kind}`, successOf({ output: JSON.stringify({ images: [kind] }) }))
    if (kind === 'delivered') await first.ledger.seen(id, null)
  }
  await first.ledger.close()
  const second = await open(disk)
  await second.checkpoint()
  await second.ledger.close()
  const { ledger, checkpoint, images } = await open(disk)
  await checkpoint()
  const rows = await ledger.getMany(ids)
  const all = imagesOf(images)
  await ledger.close()
  return { disk, images: all, rows, ids }
}

function imagesOf (images: DiskStore['images']): Map<string, unknown> {
  return new Map([...images()].map(([table, key, image]) => [`${table} ${key}`, image]))
}

for (const [what, change] of [
  ['of today', file => file],
  ['of format 2', file => older(file, withNames())],
  ['whose fields stand in another order, with one that is not known', file => older(file, reordered)]
] as const satisfies readonly (readonly [string, (file: Buffer) => Buffer])[]) {
  t.test(`of a snapshot ${what} each row comes back with all that leads to it`, async t => {
    const { disk, images, rows, ids } = await packedLedger()
    t.match(changeSnapshot(disk, file => file).toString(), /\["=","/, 'rows were written without names')
    const file = changeSnapshot(disk, change)
    if (what === 'of format 2') t.notMatch(file.toString(), /\["[=~]",/)
    const again = await open(disk)
    t.same(imagesOf(again.images), images)
    t.same(await again.ledger.getMany(ids), rows)
    t.same(again.ledger.audit(), [])
    t.match(await again.ledger.admit(admissionOf({ input: '{"prompt":"succeeded"}', cacheName: 'cache of succeeded' })), { outcome: 'hit', row: { id: ids[0] } })
    t.match(await again.ledger.admit(admissionOf({ input: '{"prompt":"delivered"}', idempotency: { name: 'key of delivered', fingerprint: 'f' } })), { outcome: 'replayed', row: { id: ids[7] } })
    const other = await again.ledger.admit(admissionOf(), { claimId: freshId(), replica: 'r1', slots: 1000 })
    if (other.outcome !== 'bought') throw new Error(other.outcome)
    await again.ledger.recordAccepted(other.row.id, other.row.attempt, 'request of succeeded')
    t.match(await again.ledger.getMany([other.row.id]), [{ phase: 'unknown', requestId: null }], 'a request id is still that of its row')
    await again.ledger.close()
  })
}

/** As a version would write them that declares its fields in another order, and more of them. */
function reordered (record: unknown): unknown[] {
  const [kind, number, form, leads, ...texts] = listOf(record)
  if (kind === '~') return [[kind, number, ['laterField', ...listOf(form).toReversed()], { ...recordOf(leads), laterFlag: '1' }]]
  return [kind === '=' ? [kind, number, form, leads, 'later', ...texts.toReversed()] : record]
}

t.test('a row that has fewer texts than its fields stops the start, with the place', async t => {
  const { disk } = await packedLedger()
  changeSnapshot(disk, file => older(file, record => Array.isArray(record) && record[0] === '=' ? [record.slice(0, -1)] : [record]))
  await t.rejects(open(disk), { message: /^A record of \/ledger\/\d+\.snapshot at byte \d+ cannot be read: A row has not as many texts as fields\.$/ })
})
