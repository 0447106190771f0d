// The key that stands in the documentation is everybody's: with a real fal key it opens nothing.

import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runHere } from '../support/cli.ts'
import { cliFile, projectDir } from '../support/paths.ts'
import { answering, freePort, runCli, start } from '../support/processes.ts'
import { until } from '../support/until.ts'

const demo = join(projectDir, 'docker/tenants.json')

t.test('a real fal key with the published demo key is a fault at start and in check, also beside others; the sandbox takes it', async t => {
  const key = join(t.testdir({ key: 'a:b' }), 'key')
  const fault = /falgate: TENANTS_FILE: \/tenants\/0\/keys\/0\/sha256: this secret is published with falgate.*make one of your own with falgate key/
  const refused = await Promise.all([
    runHere(['check'], { TENANTS_FILE: demo, FAL_KEY_FILE: key }),
    runCli(t, ['serve'], { TENANTS_FILE: demo, FAL_KEY: 'a:b' }),
    runCli(t, ['serve'], { TENANTS_FILE: demo, FAL_KEY: 'a:b', PORT: 'x' })
  ])
  for (const ended of refused) t.match(ended, { code: 1, stdout: '', stderr: fault })
  t.match(await runHere(['check'], { TENANTS_FILE: demo, FAL_KEY: 'sandbox' }), { code: 0, stderr: '' })
})

t.test('a file with the published demo key is refused on SIGHUP when the fal key is real, and the old keys stay', async t => {
  const dir = t.testdir({ 'tenants.json': '{"tenants":[{"id":"studio","keys":[]}]}' })
  const [env, file] = [{ PORT: String(await freePort()) }, join(dir, 'tenants.json')]
  const running = start(t, [cliFile], { ...env, FAL_KEY: 'a:b', TENANTS_FILE: file })
  let logged = ''
  running.child.stdout?.on('data', (text: string) => { logged += text })
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  copyFileSync(demo, file)
  running.child.kill('SIGHUP')
  await until(() => /"msg":"tenants file refused, the old one stays in force"/.test(logged))
  t.match(logged, /this secret is published with falgate/)
  const reply = await fetch(`http://127.0.0.1:${env.PORT}/usage`, { headers: { authorization: 'Bearer fg_demo_sandbox' } })
  t.match([reply.status, await reply.json()], [401, { code: 'key-unknown' }])
})
