// The receiver of docs/api.md for Node, as it stands there: it takes what the gateway sends, and nothing that others do.

import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { key, startGateway, tenant } from '../support/gateway.ts'
import { freePort, start } from '../support/processes.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'
import { until } from '../support/until.ts'

const SECRET = `whsec_${Buffer.alloc(32, 'studio').toString('base64')}`

t.test('the documented receiver for Node prints the picture, and refuses what is not signed with its secret', async t => {
  const port = String(await freePort())
  const code = codeBlocksOf(pageAt('docs/api.md')).map(({ code }) => code).find(code => code.startsWith('import { createServer }')) ?? ''
  const folder = t.testdir({ own: SECRET, other: `whsec_${Buffer.alloc(32, 'press').toString('base64')}` })
  writeFileSync(join(folder, 'receiver.mjs'), code.replace('9000', port))
  const receiver = start(t, [join(folder, 'receiver.mjs')], { WEBHOOK_SECRET: SECRET })
  let printed = ''
  receiver.child.stdout?.on('data', (text: Buffer) => { printed += text.toString() })
  await until(async () => await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' }).then(({ status }) => status === 401, () => false), { what: 'the receiver listens' })
  const webhooks = (secrets: string) => ({ webhooks: [`127.0.0.1:${port}`], webhookSecretFile: join(folder, secrets) })
  const { generate, get } = await startGateway(t, { tenants: { tenants: [tenant('studio', webhooks('own')), tenant('press', webhooks('other'))] } })
  const headers = { 'falgate-webhook': `http://127.0.0.1:${port}/pictures` }
  await generate({ prompt: 'x' }, { key: key('press'), headers })
  const reply = await generate({ prompt: 'x' }, { headers })
  const { images: [picture] }: { readonly images: readonly { readonly url: string }[] } = JSON.parse(reply.text)
  await until(() => printed.includes('\n'))
  t.equal(printed, `generation.succeeded ${reply.headers.get('falgate-generation')} ${picture?.url}\n`)
  await until(async () => /falgate_webhook_tries_total\{outcome="given-up"\} 1/.test((await get('/metrics')).text))
  t.equal(printed.split('\n').length, 2, 'what another secret signed was not printed')
})
