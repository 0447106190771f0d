// `falgate doctor` and `check` of a ledger in a folder: how it stands, and what is wrong and what to do.

import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { checks } from '../../src/app/doctor/finding.ts'
import { runHere } from '../support/cli.ts'
import { generate, serve } from '../support/folder-gateway.ts'
import { parseObject } from '../support/gateway.ts'
import { isObject } from '../../src/schema.ts'

t.setTimeout(300_000)

const ofFolder = checks.filter(check => check.startsWith('folder'))

/** Exit code, and the findings about the folder. */
async function ask (env: Readonly<Record<string, string>>): Promise<{ readonly code: number, readonly findings: readonly unknown[] }> {
  const { code, stdout } = await runHere(['doctor', '--json'], env)
  const { findings } = parseObject(stdout)
  if (!Array.isArray(findings)) throw new Error(stdout)
  return { code, findings: findings.filter((finding: unknown) => isObject(finding) && String(finding['check']).startsWith('folder')) }
}

t.test('a folder is told thing by thing: before its first start, beside its gateway and without one; nothing is made there', async t => {
  const dir = t.testdir()
  const env = { DATA_DIR: join(dir, 'data') }
  const before = await ask(env)
  t.match(before, { code: 0, findings: ofFolder.map(check => ({ check, verdict: 'ok' })) })
  t.match(before.findings[0], { sentence: /data is not there yet: the first start makes it/ })
  t.match(await runHere(['check'], env), { code: 0, stdout: /the configuration is sound\n$/ })
  t.same(await readdir(dir), [])

  const { running, url } = await serve(t, env)
  t.equal((await generate(url, { prompt: 'a fox' })).status, 200)
  t.match((await ask(env)).findings, [
    { check: 'folder', verdict: 'ok', sentence: /may be written, and no other machine uses its file system/ },
    { check: 'folder-owner', verdict: 'ok', sentence: new RegExp(`^process ${running.child.pid} on \\S+ has it, since 20`) },
    { check: 'folder-room', verdict: 'ok', measured: { free_bytes: Number, used_bytes: Number } },
    { check: 'folder-reserve', verdict: 'ok', sentence: /^8\.0 MiB are held back/ },
    { check: 'folder-snapshot', verdict: 'ok', sentence: /^there is none yet: a start reads [\d.]+ KiB of journal/, measured: { journal_bytes: Number } }
  ])
  running.child.kill('SIGSTOP')
  t.match(await ask(env), { code: 0, findings: [{}, { check: 'folder-owner', verdict: 'warning', sentence: /^a process has it and does not answer: look whether it stands still/ }] })
  running.child.kill('SIGKILL')
  await running.ended
  t.match((await ask(env)).findings[1], { check: 'folder-owner', sentence: 'nobody has it: a gateway may start' })
  await rm(join(env.DATA_DIR, 'reserve'))
  t.match(await ask(env), { code: 0, findings: [{}, {}, {}, { verdict: 'warning', sentence: /so its disk was full: make room/ }] })
  t.match(await runHere(['check'], env), { code: 0, stdout: /warning: the 8\.0 MiB that are held back/ })
})

t.test('a folder that cannot be used is a fault of both', async t => {
  const dir = t.testdir({ file: '' })
  const env = { DATA_DIR: join(dir, 'file') }
  t.match(await ask(env), { code: 1, findings: [{ check: 'folder', verdict: 'fault', sentence: /^DATA_DIR: The folder \S+file cannot be used for the ledger: a part of its path is a file\. Choose another one/ }] })
  t.match(await runHere(['check'], env), { code: 1, stdout: '', stderr: /^falgate: DATA_DIR: The folder \S+file cannot be used/ })
})
