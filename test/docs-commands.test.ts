// The commands of the documents, as they stand there, against a gateway that was just started; those for fal's own clients are run by `heavy/fal-examples.test.ts`.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { describePrompt } from '../src/logger.ts'
import { codeBlocksOf, pageAt, pages } from './support/pages.ts'
import { cliFile } from './support/paths.ts'
import { answering, freePort, start } from './support/processes.ts'

const run = promisify(execFile)

/** All commands of a page, in one shell, because a later one may need what an earlier one learned; it stops at the first that fails. */
function scriptOf (text: string): string {
  return codeBlocksOf(text).filter(({ language }) => language === 'sh').map(({ code }) => code).join('\n')
}

const scripts = pages.map(({ path, text }) => ({ path, script: scriptOf(text) })).filter(({ script }) => script.includes('http://127.0.0.1:8080/'))

t.test('pages with commands are found', async t => {
  t.same(scripts.map(({ path }) => path), ['docs/api.md', 'docs/sandbox.md'])
})

for (const { path, script } of scripts) {
  t.test(`the commands of ${path} work, one after another`, async t => {
    const port = String(await freePort())
    const running = start(t, [cliFile, 'serve'], { PORT: port })
    await answering(running, `http://127.0.0.1:${port}/readyz`)
    const { stdout } = await run('sh', ['-euc', script.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)], { env: { PATH: process.env['PATH'] ?? '' }, timeout: 60_000 })
    if (path === 'docs/api.md') t.match(stdout, /"images":.*\nevent: generation\n.*"status":"succeeded".*"spent_usd":0\.12/s)
    else t.match(stdout, /"error":"internal_error".*"hits":0.*\{"faults":\[\]\}.*"billedUnits":0/s)
  })
}

t.test('a prompt is found in the log by the hash that the documents tell to make', async t => {
  const script = scriptOf(pageAt('docs/debugging.md'))
  const [, prompt = ''] = /'(.*)'/.exec(script) ?? []
  const { stdout } = await run('sh', ['-euc', script])
  t.equal(stdout.split(' ')[0], describePrompt(prompt, 'hash').prompt_sha256)
})
