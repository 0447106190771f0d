// `falgate ledger mend`: a damaged journal stops the start, what mending would lose is shown, and only `--write` does it.

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { generate, serve } from '../support/folder-gateway.ts'
import { runHere } from '../support/cli.ts'
import { cliFile } from '../support/paths.ts'
import { start } from '../support/processes.ts'

t.setTimeout(300_000)

const PROMPT = 'a very private wish'

/** A folder in which a gateway that was killed has bought two pictures, and what it had written when it had bought one. */
async function twoPictures (t: Test): Promise<{ readonly env: { readonly DATA_DIR: string }, readonly journal: string, readonly bytesOfOne: number }> {
  const env = { DATA_DIR: join(t.testdir(), 'data') }
  const journal = join(env.DATA_DIR, '000001.log')
  const { running, url } = await serve(t, env)
  t.equal((await generate(url, { prompt: PROMPT, seed: 1 })).status, 200)
  const bytesOfOne = (await readFile(journal)).length
  t.equal((await generate(url, { prompt: PROMPT, seed: 2 })).status, 200)
  running.child.kill('SIGKILL')
  await running.ended
  return { env, journal, bytesOfOne }
}

t.test('damage before the last write stops the start with the place and the command; the command shows what would be lost, does it with --write, and the gateway starts', async t => {
  const { env, journal, bytesOfOne } = await twoPictures(t)
  const sound = await readFile(journal)
  t.same(await runHere(['ledger', 'mend'], env), { code: 0, stdout: `the journal in ${env.DATA_DIR} is sound: there is nothing to mend\n`, stderr: '' })
  // The first write of the second picture.
  const damaged = Buffer.from(sound)
  const at = bytesOfOne + (sound.length - bytesOfOne) / 4 | 0
  damaged[at] = (damaged[at] ?? 0) ^ 1
  await writeFile(journal, damaged)

  const refused = await start(t, [cliFile, 'serve'], { ...env, PORT: '0' }).ended
  t.equal(refused.code, 1)
  const [, offset = ''] = /^falgate: \S+000001\.log is damaged at byte (\d+): batch \d+ cannot be read, .*`falgate ledger mend` shows what would be lost, and puts it right when told to\.\n$/.exec(refused.stderr) ?? []
  t.ok(Number(offset) > 0 && Number(offset) <= at, refused.stderr)

  const shown = await runHere(['ledger', 'mend'], env)
  t.match(shown, { code: 1, stderr: '' })
  for (const line of [
    new RegExp(`^\\S+000001\\.log is damaged at byte ${offset}: batch \\d+ cannot be read`),
    new RegExp(`^To be cut off: 000001\\.log from byte ${offset} on, ${sound.length - Number(offset)} bytes; \\d+ batch(es)? of it can be read, with \\d+ records$`, 'm'),
    /^The ledger would be as it was at 20\d\d-\S+Z; the last that can be read behind the damage is of 20\d\d-\S+Z$/m,
    /^Lost, as far as it can be read: all of [01] generations?, the latest of [01] others?, 1 line of the journal of money \(\$0\.06\), \d+ other entries$/m,
    /^What was bought since then would not be known any more: hold falgate usage against fal's bill afterwards$/m,
    /^Nothing is changed\. falgate ledger mend --write cuts it off/m
  ]) t.match(shown.stdout, line)
  t.notMatch(shown.stdout, PROMPT)
  t.same(await readFile(journal), damaged, 'to look changes nothing')

  const mended = await runHere(['ledger', 'mend', '--write'], env)
  t.match(mended, { code: 0, stdout: /^Cut off\. As they were, the files are kept in \S+: 000001\.log\.damaged\nThe journal is sound now: start the gateway\.$/m, stderr: '' })
  t.same(await readFile(`${journal}.damaged`), damaged)
  t.same(await readFile(journal), sound.subarray(0, Number(offset)))
  t.match(await runHere(['ledger', 'mend'], env), { code: 0, stdout: /nothing to mend/ })

  const { url } = await serve(t, env)
  const hit = await generate(url, { prompt: PROMPT, seed: 1 })
  t.equal(hit.status, 200)
  t.match((await runHere(['usage', '--csv'], env)).stdout.trimEnd().split('\n').length, 2, 'the head, and the picture that is not lost')
})

t.test('a ledger that was moved away stays so when the place that says it is cut off', async t => {
  const { env, bytesOfOne } = await twoPictures(t)
  t.match(await runHere(['export', '--move', join(env.DATA_DIR, '..', 'moved.ndjson')], env), { code: 0 })
  const files = (await readdir(env.DATA_DIR)).filter(name => name.endsWith('.log')).toSorted()
  const first = join(env.DATA_DIR, files[0] ?? '')
  const damaged = await readFile(first)
  // The first write of the second picture.
  damaged[bytesOfOne + 100] = (damaged[bytesOfOne + 100] ?? 0) ^ 1
  await writeFile(first, damaged)
  t.match(await runHere(['ledger', 'mend', '--write'], env), { code: 0, stdout: /^The journal is sound now\. \S+: the ledger there was moved away with falgate export --move, so nothing is bought;/m, stderr: '' })
  const refused = await start(t, [cliFile, 'serve'], { ...env, PORT: '0' }).ended
  t.match(refused, { code: 1, stderr: /the ledger there was moved away with falgate export --move/ })
})

t.test('beside a gateway that has the folder nothing is looked at or cut off, and without a folder none is made', async t => {
  const dir = t.testdir()
  const env = { DATA_DIR: join(dir, 'data') }
  const { url } = await serve(t, env)
  for (const args of [['ledger', 'mend'], ['ledger', 'mend', '--write']]) {
    t.match(await runHere(args, env), { code: 1, stdout: '', stderr: /^falgate: The folder \S+ is in use by process \d+ on .*stop that one/ })
  }
  t.equal((await generate(url, { prompt: 'still here' })).status, 200)
  t.match(await runHere(['ledger', 'mend'], { DATA_DIR: join(dir, 'other') }), { code: 1, stdout: '', stderr: /^falgate: DATA_DIR: there is no ledger in / })
  t.same(await readdir(dir), ['data'])
  t.match(await runHere(['ledger', 'mend'], { REDIS_URL: 'redis://127.0.0.1:1' }), { code: 1, stdout: '', stderr: /^falgate: DATA_DIR: not set; what mend puts right is a ledger in a folder/ })
})
