// Whoever moves a ledger is killed on the way.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runHere } from '../support/cli.ts'
import { filled, folderOf, openLedger } from '../support/moving-scene.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { start } from '../support/processes.ts'
import { freshNamespace } from '../support/redis-store.ts'

// Some sixty processes are started one after another, which takes a slow machine its time.
t.setTimeout(600_000)

/** Runs a command that dies before each of its steps, one process after another, until one comes to its end; after each of the dead ones, something is looked at. Gives how many died, and how the last one ended. */
async function dyingAtEachStep (t: Test, args: (step: number) => readonly string[], env: Readonly<Record<string, string>>, look: (step: number) => Promise<void>): Promise<{ readonly deaths: number, readonly code: number | null, readonly stderr: string }> {
  for (let step = 1; ; step += 1) {
    const { child, ended } = start(t, ['--import', join(projectDir, 'build/test/support/die-at-step.js'), cliFile, ...args(step)], { ...env, DIE_BEFORE_STEP: String(step) })
    const { code, stderr } = await ended
    if (child.signalCode === null) return { deaths: step - 1, code, stderr }
    await look(step)
  }
}

for (const [from, to] of [['Redis', 'Redis'], ['Redis', 'DATA_DIR'], ['DATA_DIR', 'Redis'], ['DATA_DIR', 'DATA_DIR']] as const) {
  t.test(`whichever step an export of ${from} or an import into ${to} is killed at, the ledger is whole in one place at most, and the command done again brings all of it`, async t => {
    const { env, ids } = await filled(t, 60)
    const source = from === 'Redis' ? env : { DATA_DIR: join(await folderOf(t), 'data') }
    const folder = await folderOf(t)
    const path = (name: string | number): string => join(folder, `${name}.jsonl`)
    if (from === 'DATA_DIR') {
      t.equal((await runHere(['export', '--move', path('first')], env)).code, 0)
      t.equal((await runHere(['import', path('first')], source)).code, 0)
    }
    let hasLeft = false
    const leaving = await dyingAtEachStep(t, step => ['export', '--move', path(step)], source, async step => {
      const { code, stderr } = await runHere(['export'], source)
      // Once it says that it is being left it says so until it is taken back.
      hasLeft ||= code === 1
      t.equal(code, hasLeft ? 1 : 0, `step ${step}`)
      if (hasLeft) t.match(stderr, /export .*not finished|moved away with falgate export/)
      t.ok(hasLeft || !existsSync(path(step)), 'there is a file only when the ledger has left')
    })
    // The one before may have died when all was done.
    if (leaving.code !== 0) t.match(leaving.stderr, /moved away with falgate export/)
    t.ok(leaving.deaths > 4, `${leaving.deaths} steps of the export`)
    const files = Array.from({ length: leaving.deaths + 1 }, (_, step) => path(step + 1)).filter(file => existsSync(file))

    const target: Readonly<Record<string, string>> = to === 'Redis' ? { ...env, REDIS_NAMESPACE: freshNamespace() } : { DATA_DIR: join(await folderOf(t), 'data') }
    let hasCome = false
    const coming = await dyingAtEachStep(t, () => ['import', files.at(-1) ?? ''], target, async step => {
      const { code, stderr } = await runHere(['export'], target)
      t.notOk(hasCome, `step ${step}`)
      hasCome = code === 0
      if (!hasCome) t.match(stderr, /there is no ledger|the import of a ledger there was not finished/, 'a part of a ledger is none')
    })
    if (coming.code !== 0) t.match(coming.stderr, /there is a ledger already/)
    t.equal(coming.code !== 0, hasCome, 'the import says that the ledger is there when it is')
    t.ok(coming.deaths > 4, `${coming.deaths} steps of the import`)

    const arrived = to === 'Redis' ? target : { ...env, REDIS_NAMESPACE: freshNamespace() }
    if (to === 'DATA_DIR') {
      t.equal((await runHere(['export', '--move', path('back')], target)).code, 0)
      t.equal((await runHere(['import', path('back')], arrived)).code, 0)
    }
    const ledger = await openLedger(t, arrived['REDIS_URL'] ?? '', arrived['REDIS_NAMESPACE'] ?? '')
    t.equal((await ledger.getMany(ids)).length, ids.length, 'all of it is there')
    t.same(await ledger.audit(), [])
  })
}
