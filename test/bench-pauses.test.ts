// The benchmark blames a pause of an event loop on who had the core.

import { pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import { mainCpu, watchPauses, type Cause } from './bench/pauses.ts'
import { until } from './support/until.ts'

/** Long enough to be told, and short enough that a busy machine leaves some of them alone. */
const PAUSE_MS = 8

const rest = (): void => { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS) }

const work = (): void => {
  const endMs = performance.now() + PAUSE_MS
  while (performance.now() < endMs);
}

/** Milliseconds of work in a thread of libuv's. */
const workElsewhere = async (): Promise<unknown> => await promisify(pbkdf2)('password', 'salt', 100_000, 64, 'sha512')

t.test('a late turn is the main thread\'s work, other threads\' of the process, or nobody\'s', async t => {
  const pauses = watchPauses()
  // A machine that is busy with other things takes the core away from some of them.
  const told = async (cause: Cause, pause: () => void | Promise<void>): Promise<void> => {
    await until(async () => {
      await pause()
      return pauses().some(one => one.cause === cause && one.ms >= PAUSE_MS / 2)
    }, { what: `a pause of "${cause}" is told` })
    t.pass(cause)
  }
  await told('work', work)
  await told('not running', rest)
  await told(mainCpu() === null ? 'work' : 'helper threads', async () => {
    const elsewhere = workElsewhere()
    rest()
    await elsewhere
  })
})
