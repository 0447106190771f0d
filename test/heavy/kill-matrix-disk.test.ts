// The kill matrix on a folder: the gateway dies before and after every write, and while every call to fal is under way; started again, it goes on.

import t from 'tap'
import { openDiskPlace } from '../support/kill-place-disk.ts'
import { deaths, inPlaces, titleOf, unplayed } from '../support/kill-points.ts'
import { ALL_DEATHS_MS, die } from '../support/kill-scene.ts'

/** Folders in which deaths happen one after the other. */
const PLACES = 3

t.jobs = PLACES
t.setTimeout(ALL_DEATHS_MS)

const here = deaths.filter(({ point }) => point.onlyOn === undefined)
const asked = new Set<string>()

for (const [number, some] of inPlaces(here, PLACES).entries()) {
  t.test(`folder ${number + 1}`, { buffered: true }, async t => {
    t.jobs = 1
    const place = await openDiskPlace(t, some.map(({ point }) => point))
    for (const death of some) await t.test(titleOf(death), async t => { await die(t, place, death) })
    await place.end(t)
    for (const operation of place.asked()) asked.add(operation)
  })
}

t.test('every operation that was asked of the ledger has its points in the table', { jobs: 1 }, async t => {
  t.ok(asked.size > 10, 'the gateways have asked')
  t.same(unplayed([...asked], here.map(({ point }) => point)), [])
})
