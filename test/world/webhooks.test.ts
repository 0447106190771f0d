// The receiver of docs/api.md for Python, as it stands there, with the library of Standard Webhooks from PyPI. Needs Python 3 with venv, and the way to PyPI.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { startGateway, tenant } from '../support/gateway.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'
import { freePort } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

const SECRET = `whsec_${Buffer.alloc(32, 'studio').toString('base64')}`

t.setTimeout(600_000)

t.test('the documented receiver for Python prints the picture, and refuses what is not signed with its secret', async t => {
  const folder = workFolder(t)
  await run('python3', ['-m', 'venv', folder])
  const python = join(folder, 'bin', 'python')
  await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'standardwebhooks'])
  const [, version = ''] = /^Version: (.*)$/m.exec(await run(python, ['-m', 'pip', 'show', 'standardwebhooks'])) ?? []

  const port = String(await freePort())
  const code = codeBlocksOf(pageAt('docs/api.md')).map(({ code }) => code).find(code => code.startsWith('import os')) ?? ''
  writeFileSync(join(folder, 'receiver.py'), code.replace('9000', port))
  writeFileSync(join(folder, 'secrets'), SECRET)
  const child = spawn(python, [join(folder, 'receiver.py')], { env: { WEBHOOK_SECRET: SECRET, PATH: process.env['PATH'] ?? '' }, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  child.stdout.on('data', (text: Buffer) => { printed += text.toString() })
  child.stderr.resume()
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  })
  await until(async () => await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' }).then(({ status }) => status === 401, () => false), { what: 'the receiver listens' })

  const { generate } = await startGateway(t, { tenants: { tenants: [tenant('studio', { webhooks: [`127.0.0.1:${port}`], webhookSecretFile: join(folder, 'secrets') })] } })
  const reply = await generate({ prompt: 'x' }, { headers: { 'falgate-webhook': `http://127.0.0.1:${port}/pictures` } })
  const { images: [picture] }: { readonly images: readonly { readonly url: string }[] } = JSON.parse(reply.text)
  await until(() => printed.includes('\n'))
  t.equal(printed, `generation.succeeded ${reply.headers.get('falgate-generation')} ${picture?.url}\n`)
  writeLastRun('webhooks', [['standardwebhooks (PyPI), the receiver of docs/api.md', version, 'verified the gateway\'s webhook']])
})
