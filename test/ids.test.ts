// Ids that any number of processes make without asking each other.

import t from 'tap'
import { validate, version } from 'uuid'
import { newId } from '../src/ids.ts'

t.test('ids are UUIDs of version 7 that begin with their time, and none comes twice', async t => {
  const beganMs = Date.now()
  const ids = Array.from({ length: 1000 }, newId)
  t.ok(ids.every(id => validate(id) && version(id) === 7))
  t.equal(new Set(ids).size, ids.length)
  t.equal(new Set(ids.map(id => id.slice(19))).size, ids.length, 'in their random part')
  const timesMs = ids.map(id => parseInt(id.replace('-', '').slice(0, 12), 16))
  t.ok(timesMs.every(ms => ms >= beganMs && ms <= Date.now()))
})
