// How long phases took, as far as it was seen.

import t from 'tap'
import { createPhaseClock } from '../../src/generation/run/phase-clock.ts'

t.test('a phase whose beginning was seen lasted from then on, however often it is heard of', t => {
  const clock = createPhaseClock('submitting', 100)
  clock.at('submitting', 150)
  t.equal(clock.lasted('submitting', 200), 100)
  clock.at('running', 200)
  clock.at('running', 250)
  t.equal(clock.lasted('running', 300), 100)
  t.end()
})

t.test('a phase that began elsewhere, or is not the one that was known, lasted nobody knows how long', t => {
  const clock = createPhaseClock('accepted', null)
  clock.at('accepted', 100)
  t.equal(clock.lasted('accepted', 200), null)
  clock.at('running', 200)
  t.equal(clock.lasted('accepted', 300), null)
  t.equal(clock.lasted('running', 300), 100, 'the next one is known')
  t.end()
})
