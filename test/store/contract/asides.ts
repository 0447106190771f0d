// Outputs that are too long for a row lie aside for an hour, within a bound.

import type { Test } from 'tap'
import { admissionOf, noTerms, successOf } from '../../support/admission.ts'
import { createWorld, type MakeStore } from './world.ts'

const studio = { tenant: 'studio', subject: '' }
const hour = 3_600_000
const mebibyte = 1_048_576
/** The longest that is taken from fal. */
const longest = 64 * mebibyte

/** An output of this many bytes, not all of them one character each. */
function outputOf (bytes: number): string {
  const output = JSON.stringify({ images: [{ url: 'data:;ü🚲,' }], seed: 42 })
  return output.replace(',"', ',' + ' '.repeat(bytes - Buffer.byteLength(output)) + '"')
}

export async function asides (t: Test, make: MakeStore): Promise<void> {
  t.test('an output above 256 KiB is read by the id of its purchase for an hour, no matter which replica finished it', async t => {
    const { ledger, accepted, advance } = await createWorld(t, make)
    const { id } = await accepted('large')
    const output = outputOf(262_145)
    const finished = await ledger.finish(id, 1, 'large', successOf({ output }))
    t.match(finished, { phase: 'succeeded', output, large: { bytes: 262_145 } }, 'the process that finished it has it')
    t.match(await ledger.read(id, studio), { phase: 'succeeded', output: null, large: { bytes: 262_145, sha256: /^[\da-f]{64}$/ } })
    t.equal(await ledger.aside(id), output)
    t.equal((await ledger.gauges()).asideBytes, 262_145)
    await advance(hour - 1)
    t.equal(await ledger.aside(id), output)
    await advance(1)
    t.equal(await ledger.aside(id), null)
    await ledger.sweep('r1', 10)
    t.equal((await ledger.gauges()).asideBytes, 0)
    t.match(await ledger.read(id, studio), { phase: 'succeeded', output: null }, 'the row is there as long as any other')
  })

  t.test('an output of 256 KiB lies in its row, and nothing lies aside', async t => {
    const { ledger, ended } = await createWorld(t, make)
    const output = outputOf(262_144)
    const row = await ended(successOf({ output }))
    t.match(row, { output, large: null })
    t.equal(await ledger.aside(row.id), null)
    t.equal((await ledger.gauges()).asideBytes, 0)
    t.equal(await ledger.aside('nobody'), null)
  })

  t.test('an output of some megabytes is the same byte for byte, also where a piece ends within a character', async t => {
    const { ledger, ended } = await createWorld(t, make)
    for (const shift of ['', 'x']) {
      const output = JSON.stringify({ images: [{ url: 'data:' + shift + '🚲'.repeat(400_000) }] })
      const { id } = await ended(successOf({ output }))
      t.ok(await ledger.aside(id) === output)
    }
  })

  t.test('no cache name leads to it, and a key does', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const given = { cacheName: 'name', seed: '42', idempotency: { name: 'key', fingerprint: 'f' } }
    const { id } = await accepted('large', given)
    t.match(await ledger.admit(admissionOf({ ...given, idempotency: null })), { outcome: 'joined', row: { id } }, 'as long as it is under way')
    t.match(await ledger.finish(id, 1, 'large', successOf({ output: outputOf(mebibyte), learnedName: 'learned' })), { stored: false })
    t.equal(await ledger.lookup('name'), null)
    t.equal(await ledger.lookup('learned'), null)
    t.match(await ledger.admit(admissionOf(given)), { outcome: 'replayed', row: { id, large: { bytes: mebibyte } } })
    t.match(await ledger.admit(admissionOf({ ...given, idempotency: null })), { outcome: 'bought' })
  })

  t.test('what makes more is refused while there is no room for the longest, and nothing else is', async t => {
    const { ledger, ended, advance } = await createWorld(t, make, { largeResultBytes: longest + mebibyte })
    await ended(successOf({ output: outputOf(mebibyte) }))
    const waiting = admissionOf({ makesLarge: true })
    t.match(await ledger.admit(waiting), { outcome: 'bought' }, 'there is just room for it')
    await ledger.cancel(waiting.id, studio)
    await ended(successOf({ output: outputOf(262_145) }))
    t.match(await ledger.admit(admissionOf({ makesLarge: true })), { outcome: 'refused', why: 'large' })
    t.match(await ledger.admitAll([admissionOf(), admissionOf({ makesLarge: true })]), { outcome: 'refused', why: 'large' })
    t.match(await ledger.admit(admissionOf()), { outcome: 'bought' })
    await advance(hour)
    await ledger.sweep('r1', 10)
    t.match(await ledger.admit(admissionOf({ makesLarge: true })), { outcome: 'bought' })
  })

  t.test('what finds no room is there only for the process that finished it, and ends as the success that it is', async t => {
    const { ledger, accepted } = await createWorld(t, make, { largeResultBytes: mebibyte })
    const first = await accepted('first')
    await ledger.finish(first.id, 1, 'first', successOf({ output: outputOf(mebibyte) }))
    const { id } = await accepted('second')
    const output = outputOf(262_145)
    t.match(await ledger.finish(id, 1, 'second', successOf({ output })), { phase: 'succeeded', output })
    t.match(await ledger.read(id, studio), { phase: 'succeeded', output: null, large: { bytes: 262_145 }, cost: Number })
    t.equal(await ledger.aside(id), null)
    t.equal(await ledger.aside(first.id) === null, false, 'what was there before stays')
    t.equal((await ledger.gauges()).asideBytes, mebibyte)
  })

  t.test('what nobody can get is no duplicate: the same request buys a picture of its own', async t => {
    const { ledger, ended, admit } = await createWorld(t, make, { largeResultBytes: mebibyte })
    const kept = await ended(successOf({ output: outputOf(mebibyte) }), { duplicateName: 'kept' })
    const dropped = await ended(successOf({ output: outputOf(262_145) }), { duplicateName: 'dropped' })
    t.match(await admit({ duplicateName: 'kept' }), { outcome: 'adopted', row: { id: kept.id } })
    t.match(await ledger.read(dropped.id, studio), { delivered: false, output: null })
    t.match(await admit({ duplicateName: 'dropped' }), { outcome: 'bought' })
  })

  t.test('told twice, it lies aside once', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('large')
    const output = outputOf(mebibyte)
    for (let times = 0; times < 2; times += 1) t.match(await ledger.finish(id, 1, 'large', successOf({ output })), { phase: 'succeeded', output })
    t.equal((await ledger.gauges()).asideBytes, mebibyte)
  })

  t.test('a row that is put back with its output has it aside again', async t => {
    const { ledger, accepted } = await createWorld(t, make)
    const { id } = await accepted('large')
    const output = outputOf(mebibyte)
    const finished = await ledger.finish(id, 1, 'large', successOf({ output }))
    if (finished === null) throw new Error('it is not there')
    const { from, ...row } = finished
    const other = { ...row, id: id.replace(/.$/, 'x'), purchase: id.replace(/.$/, 'x'), requestId: 'other' }
    await ledger.restore('r1', [{ row: other, terms: noTerms, holds: false }])
    t.match(await ledger.getMany([other.id]), [{ phase: 'succeeded', output: null, large: { bytes: mebibyte } }])
    t.equal(await ledger.aside(other.id), output)
  })
}
