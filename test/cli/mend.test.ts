// `falgate ledger mend`: a damaged journal stops the start, what mending would lose is shown, and only `--write` does it.

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { lostInputs } from '../../src/store/disk/inputs.ts'
import { realFiles, type FilePort } from '../../src/store/disk/log/port.ts'
import { times } from '../support/admission.ts'
import { authorization, generate, serve } from '../support/folder-gateway.ts'
import { parseObject } from '../support/gateway.ts'
import { runHere } from '../support/cli.ts'
import { cliFile } from '../support/paths.ts'
import { start } from '../support/processes.ts'
import { until } from '../support/until.ts'

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

t.test('an input that the disk lost before it was sent stops the start; the command names its generation, and with --write it fails unbought while everything else goes on', async t => {
  const above = t.testdir()
  const [first, env] = [{ DATA_DIR: join(above, 'first') }, { DATA_DIR: join(above, 'data') }]
  const { running, url } = await serve(t, { ...first, FAL_CONCURRENCY: '1' })
  const ask = async (prompt: string): Promise<string> => {
    const { status, json } = await generate(url, { prompt }, { prefer: 'respond-async' })
    t.equal(status, 202)
    return String(parseObject(JSON.stringify(json))['id'])
  }
  t.equal((await generate(url, { prompt: 'a lighthouse', seed: 1 })).status, 200)
  await ask('at the upstream')
  const waiting = await ask(PROMPT)
  running.child.kill('SIGKILL')
  await running.ended
  // An import lays inputs into a file of their own, as a checkpoint does.
  const file = join(above, 'moved.jsonl')
  t.match(await runHere(['export', '--move', file], first), { code: 0 })
  t.match(await runHere(['import', file], env), { code: 0 })
  const texts = (await readdir(env.DATA_DIR)).find(name => name.endsWith('.texts')) ?? ''
  const bytes = await readFile(join(env.DATA_DIR, texts))
  const at = bytes.indexOf(PROMPT)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(join(env.DATA_DIR, texts), bytes)

  const refused = await start(t, [cliFile, 'serve'], { ...env, PORT: '0' }).ended
  t.match(refused, { code: 1, stderr: new RegExp(`^falgate: A text of the ledger is damaged: \\d+ bytes at byte \\d+ of \\S+\\.texts\\. It is the input of generation ${waiting}, which has not ended\\. Keep a copy of the folder\\. \`falgate ledger mend\` shows what would be lost`) })
  // What cannot be read this time only is not given up.
  const failing: FilePort = {
    ...realFiles,
    open: async (...given) => {
      const file = await realFiles.open(...given)
      if (!given[0].endsWith('.texts')) return file
      const read = file.read.bind(file)
      return Object.assign(file, {
        read: async (buffer: Uint8Array, offset: number, length: number, position: number) => {
          if (position > 0) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
          return await read(buffer, offset, length, position)
        }
      })
    }
  }
  await t.rejects(lostInputs({ folder: env.DATA_DIR, times, files: failing, onDamage: () => {} }), { code: 'EIO' })
  t.match(await runHere(['ledger', 'mend'], env), { code: 1, stdout: new RegExp(`^The journal in \\S+ is sound\\. Damaged is the input of a generation that has not ended: ${waiting}\nNothing is changed\\. falgate ledger mend --write goes on without`) })
  t.match(await runHere(['ledger', 'mend', '--write'], env), { code: 0, stdout: /\nThe ledger goes on without: start the gateway\.\n$/ })
  t.match(await runHere(['ledger', 'mend'], env), { code: 0, stdout: /there is nothing to mend/ })
  const again = await serve(t, env)
  await until(async () => {
    const found = await fetch(`${again.url}/generations/${waiting}`, { headers: { authorization } })
    const { status, error } = parseObject(await found.text())
    return status === 'failed' && parseObject(JSON.stringify(error))['code'] === 'generation-lost'
  })
  t.match(await generate(again.url, { prompt: 'a lighthouse', seed: 1 }, { 'falgate-cache': 'only' }), { status: 200 }, 'what was bought is there')
})
