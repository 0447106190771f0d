// The stranger's first minute: what the start prints is what the README shows, and its curl works when pasted.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { bannerText } from '../src/cli/banner.ts'
import { builtInModels } from '../src/models/built-in.ts'
import { configOf } from './support/gateway.ts'
import { cliFile, projectDir } from './support/paths.ts'
import { answering, freePort, start } from './support/processes.ts'

const run = promisify(execFile)
const readme = readFileSync(join(projectDir, 'README.md'), 'utf8')

t.test('the start serves, prints a curl, and the curl makes a picture', async t => {
  const port = String(await freePort())
  const running = start(t, [cliFile, 'serve'], { PORT: port })
  await answering(running, `http://127.0.0.1:${port}/readyz`)
  running.child.kill('SIGTERM')
  const { code, stdout } = await running.ended
  t.equal(code, 0)
  for (const fact of ['0.1.0', `http://127.0.0.1:${port}`, 'not the model\'s', 'FAL_KEY', 'ends with it', 'fg_demo_sandbox', '/docs']) t.ok(stdout.includes(fact), fact)

  const again = start(t, [cliFile, 'serve'], { PORT: port })
  await answering(again, `http://127.0.0.1:${port}/readyz`)
  const curl = stdout.slice(stdout.indexOf('curl -i'), stdout.indexOf('42}\'') + 4)
  const { stdout: answer } = await run('sh', ['-c', curl.replace('curl -i', 'curl -si')])
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  t.match(answer, /"seed":42}$/)
})

t.test('the README shows what a start prints', async t => {
  const text = bannerText({ accounts: [], config: configOf({ PORT: '8080' }), model: builtInModels.default, version: '0.1.0', url: 'http://127.0.0.1:8080', seconds: 0.59 })
  t.ok(readme.includes(text.trim()))
})
