// What operators do about kept files, beside a running gateway and without one: look, remove what nothing refers to, take one out.

import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { listOf, recordOf, textOf } from '../../src/generation/fields.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { authorization, generate, serve } from '../support/folder-gateway.ts'
import { projectDir, cliFile } from '../support/paths.ts'
import { start } from '../support/processes.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

const day = 86_400_000

async function filesIn (folder: string): Promise<readonly string[]> {
  return (await readdir(folder, { recursive: true })).flatMap(path => /^[0-9a-f]{2}\//.test(path) ? [path.slice(3)] : []).toSorted()
}

/** Lays a file there as one that was stored so long ago. */
async function lay (folder: string, name: string, ageMs: number): Promise<void> {
  const path = join(folder, name.slice(0, 2), name)
  await mkdir(join(folder, name.slice(0, 2)), { recursive: true })
  await writeFile(path, 'abc')
  await utimes(path, (Date.now() - ageMs) / 1000, (Date.now() - ageMs) / 1000)
}

/** Buys a picture. Gives its generation, its link and the name of its file. */
async function bought (url: string, prompt: string): Promise<{ readonly id: string, readonly link: string, readonly name: string }> {
  const response = await fetch(`${url}/generate`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify({ prompt, seed: 1 }) })
  const link = textOf(recordOf(listOf(recordOf(await response.json())['images'])[0])['url'])
  return { id: textOf(response.headers.get('falgate-generation')), link, name: /[0-9a-f]{64}\.\w+/.exec(link)?.[0] ?? '' }
}

t.test('beside its gateway: what is kept is shown; what the ledger does not know is told, and removed with a word; what is missing is told; what is taken out is gone for good', async t => {
  const folder = t.testdir({})
  const env = { DATA_DIR: join(folder, 'data'), MEDIA_DIR: join(folder, 'media'), MEDIA_LINK_SECONDS: '60', MEDIA_DAYS: '0' }
  const { url } = await serve(t, env)
  const [fox, hare] = [await bought(url, 'a fox'), await bought(url, 'a hare')]
  const bytes = (await stat(join(env.MEDIA_DIR, fox.name.slice(0, 2), fox.name))).size

  const shown = await runHere(['media', 'ls'], env)
  t.match(shown.stdout, new RegExp(`^file +size +known for +references\n(.*\n)*${fox.name} +\\S+ (bytes|KiB) +0 min +1\n`))
  t.match(shown.stdout, /\n2 files, .* in all; 0 of them nothing refers to \(0 bytes\)\n$/)
  const listed = (await runHere(['media', 'ls', '--json'], env)).stdout.trim().split('\n').map(line => recordOf(JSON.parse(line)))
  t.match(listed.find(({ name }) => name === fox.name), { bytes, references: 1, orphan_since: null, withdrawn: false })

  const [old, young] = [`${'a'.repeat(64)}.png`, `${'b'.repeat(64)}.png`]
  await lay(env.MEDIA_DIR, old, 2 * day)
  await lay(env.MEDIA_DIR, young, day / 2)
  const told = `1 files (3 bytes) are stored that the ledger knows nothing of; falgate media gc --strays removes them:\n  ${old}\n`
  t.same(await runHere(['media', 'gc', '--dry-run'], env), { code: 0, stdout: `${told}0 files that nothing refers to would be removed (0 bytes)\n`, stderr: '' })
  t.same(await runHere(['media', 'gc'], env), { code: 0, stdout: `${told}0 files that nothing refers to are removed (0 bytes)\n`, stderr: '' })
  t.same(await filesIn(env.MEDIA_DIR), [fox.name, hare.name, old, young].toSorted())
  t.match(await runHere(['media', 'gc', '--strays', '--dry-run'], env), { code: 0, stdout: /^1 files .* knows nothing of:\n/ })
  t.match(await runHere(['media', 'gc', '--strays'], env), { code: 0, stdout: /\n1 files that nothing refers to are removed \(3 bytes\)\n$/ })
  t.same(await filesIn(env.MEDIA_DIR), [fox.name, hare.name, young].toSorted())

  t.equal((await fetch(fox.link)).status, 200)
  t.same(await runHere(['media', 'rm', fox.id], env), { code: 0, stdout: `${fox.name} is removed: its links lead nowhere, and it is not kept again\n`, stderr: '' })
  t.equal((await fetch(fox.link)).status, 404)
  t.match((await generate(url, { prompt: 'a fox', seed: 1 }, { 'falgate-cache': 'refresh' })).json, { images: [{ url: /^(?!.*\/media\/)/ }] }, 'the same bytes keep the address that they have at fal')
  t.notOk((await filesIn(env.MEDIA_DIR)).includes(fox.name))
  t.match((await runHere(['media', 'ls'], env)).stdout, new RegExp(`${fox.name} .* 1, taken out\n`))

  await rm(join(env.MEDIA_DIR, hare.name.slice(0, 2), hare.name))
  t.match(await runHere(['media', 'gc'], env), { code: 0, stdout: `1 files are not there that generations refer to: their links lead nowhere:\n  ${hare.name}\n0 files that nothing refers to are removed (0 bytes)\n` })
})

t.test('without a gateway: the files of generations that were forgotten go when the last link is over', async t => {
  const folder = t.testdir({})
  const env = { DATA_DIR: join(folder, 'data'), MEDIA_DIR: join(folder, 'media'), MEDIA_LINK_SECONDS: '60', MEDIA_DAYS: '1', RESULT_TTL_SECONDS: '1' }
  const { url, running } = await serve(t, env)
  const { name } = await bought(url, 'a fox')
  await until(async () => recordOf(JSON.parse((await runHere(['media', 'ls', '--json'], env)).stdout))['references'] === 0)
  running.child.kill('SIGTERM')
  await running.ended

  const later = async (ms: number): Promise<unknown> => await start(t, ['--import', join(projectDir, 'build/test/support/shift-clock.js'), cliFile, 'media', 'gc'], { ...env, CLOCK_SHIFT_MS: String(ms) }).ended
  t.match(await later(day), { code: 0, stdout: '0 files that nothing refers to are removed (0 bytes)\n' })
  t.same(await filesIn(env.MEDIA_DIR), [name])
  t.match(await later(day + 2 * 3_600_000), { code: 0, stdout: /^1 files that nothing refers to are removed \(.*\)\n$/ })
  t.same(await filesIn(env.MEDIA_DIR), [])
  t.same(await runHere(['media', 'ls'], env), { code: 0, stdout: 'no files are kept\n', stderr: '' })
})

t.test('on Redis the same; what cannot be done is said in a sentence', async t => {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const ledger = createRedisLedger({ url, namespace, times, account: { kind: 'fal', name: 'main' } })
  t.teardown(ledger.close)
  await ledger.connect()
  const folder = join(t.testdir({}), 'media')
  const env = { REDIS_URL: url, REDIS_NAMESPACE: namespace, MEDIA_DIR: folder }
  t.match(await runHere(['media', 'gc'], env), { code: 1, stderr: /^falgate: MEDIA_DIR: files cannot be kept in .* \(ENOENT\)/ })
  t.match(await runHere(['media', 'gc'], { REDIS_URL: url, REDIS_NAMESPACE: namespace }), { code: 1, stderr: /^falgate: MEDIA_DIR, MEDIA_URL: neither is set/ })

  const names = Array.from({ length: 230 }, (_, nth) => `${String(nth).padStart(64, '0')}.png`)
  for (const name of names) {
    await lay(folder, name, 2 * day)
    if (name !== names[0]) await ledger.expectFile(name, 3, null)
  }
  t.match((await runHere(['media', 'ls'], env)).stdout, /\nthe 50 largest of 229 files, 687 bytes in all; 229 of them nothing refers to \(687 bytes\)\n$/)
  t.equal((await runHere(['media', 'ls', '--json'], env)).stdout.trim().split('\n').length, 229)
  t.match(await runHere(['media', 'gc', '--strays'], env), { code: 0, stdout: /1 files that nothing refers to are removed \(3 bytes\)\n$/ })
  t.same(await filesIn(folder), names.slice(1))
  t.match(await runHere(['media', 'rm', names[1] ?? ''], env), { code: 0 })
  t.same(await filesIn(folder), names.slice(2))
  t.match(await runHere(['media', 'rm', 'nobody'], env), { code: 1, stderr: 'falgate: there is no generation nobody (any more), and it is no name of a file\n' })
})
