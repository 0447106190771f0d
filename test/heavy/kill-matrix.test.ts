// The kill matrix on Redis: a gateway dies before and after every write, and while every call to fal is under way; another one goes on.

import t from 'tap'
import { deaths, inPlaces, titleOf, withoutPoints } from '../support/kill-points.ts'
import { openRedisPlace } from '../support/kill-place-redis.ts'
import { ALL_DEATHS_MS, die } from '../support/kill-scene.ts'

/** Deployments in which deaths happen one after the other; processes have to start, and leases to run out, so several are played at once. */
const PLACES = 4

t.jobs = PLACES
t.setTimeout(ALL_DEATHS_MS)

for (const [number, here] of inPlaces(deaths, PLACES).entries()) {
  t.test(`place ${number + 1}`, { buffered: true }, async t => {
    t.jobs = 1
    const place = await openRedisPlace(t, here.map(({ point }) => point))
    for (const death of here) await t.test(titleOf(death), async t => { await die(t, place, death) })
  })
}

t.test('every operation of the ledger and of fal that the gateway uses has its points in the table', async t => {
  t.same(withoutPoints(), [])
})
