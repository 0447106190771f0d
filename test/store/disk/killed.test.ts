// A process that is killed in the middle of appends and checkpoints, again and again, loses nothing that it said was there.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { start } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { newFolder } from './log-scene.ts'
import { openNumbers } from './numbers.ts'

const KILLS = 25

t.test('what was acknowledged before a kill is there, with its texts, and nothing else but the write that was under way', async t => {
  const folder = await newFolder(t)
  let before = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const { child, ended } = start(t, [fileURLToPath(new URL('./append-numbers.js', import.meta.url)), folder])
    let said = ''
    child.stdout?.on('data', (text: string) => { said += text })
    // Each time at another point of the appends and checkpoints, which go on by themselves.
    await until(() => said.split('\n').length > 1 + kill * 3, { what: 'some numbers are acknowledged' })
    child.kill('SIGKILL')
    const { stdout, stderr } = await ended
    const acknowledged = Number(stdout.trimEnd().split('\n').at(-1))
    const numbers = await openNumbers(folder)
    if (stderr !== '' || numbers.last() < acknowledged || numbers.last() > acknowledged + 1) t.fail(`kill ${kill}: ${acknowledged} was acknowledged, ${numbers.last()} is there`, { stderr })
    await numbers.check()
    await numbers.log.close()
    t.ok(acknowledged > before)
    before = numbers.last()
  }
})
