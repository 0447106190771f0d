// What operators see of webhooks that are not told, and what they do about it: on Redis, and beside a gateway with a folder.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listOf, recordOf } from '../../src/generation/fields.ts'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, freshId, never, successOf, times } from '../support/admission.ts'
import { runHere } from '../support/cli.ts'
import { serve } from '../support/folder-gateway.ts'
import { parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'

t.setTimeout(300_000)

t.test('on Redis: those that are due are shown before those that were given up, of one tenant or all, and a generation\'s are sent again', async t => {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  const ledger = createRedisLedger({ url, namespace, times })
  t.teardown(ledger.close)
  await ledger.connect()
  const env = { REDIS_URL: url, REDIS_NAMESPACE: namespace }
  t.same(await runHere(['webhooks'], env), { code: 0, stdout: 'no webhook is stuck or waits\n', stderr: '' })

  const ended = async (tenant: string, host: string): Promise<string> => {
    const admission = admissionOf({ tenant, hook: { id: `hook_${host}`, url: `https://${host}/done?secret=of-mine`, form: 'native', base: 'https://gateway.example' } })
    await ledger.admit(admission)
    await ledger.claim({ claimId: freshId(), deadlineMs: never, replica: 'r1', slots: 1000 })
    await ledger.recordAccepted(admission.id, 1, `request-${host}`)
    await ledger.finish(admission.id, 1, `request-${host}`, successOf())
    return admission.id
  }
  const [down, gone] = [await ended('studio', 'down.example'), await ended('press', 'gone.example')]
  for (const due of await ledger.takeHooks(10, [])) await ledger.hookTried(due, due.tenant === 'studio' ? { kind: 'again', pauseMs: 120_000, error: 'http-503' } : { kind: 'given-up', error: 'http-410' })
  const waits = await ended('studio', 'new.example')

  const { stdout } = await runHere(['webhooks'], env)
  t.match(stdout, /^generation +tenant +host +state +since +failed tries +last error +next try\n/)
  t.match(stdout, new RegExp(`\n${down} +studio +down.example +due +\\d+ s +1 +http-503 +in (?:11\\d s|2 min)\n`))
  t.match(stdout, new RegExp(`\n${waits} +studio +new.example +due +\\d+ s +0 +- +now\n`))
  t.match(stdout, new RegExp(`\n${gone} +press +gone.example +given-up +\\d+ s +1 +http-410 +-\n\n`))
  t.notMatch(stdout, /secret/)
  t.notMatch((await runHere(['webhooks', '--stuck'], env)).stdout, waits)
  t.notMatch((await runHere(['webhooks', '--tenant', 'press'], env)).stdout, /studio/)
  const { webhooks, more } = parseObject((await runHere(['webhooks', '--json', '--stuck'], env)).stdout)
  t.equal(more, false)
  t.match(listOf(webhooks).map(recordOf), [{ generation: down, host: 'down.example', state: 'due', failed_tries: 1, last_error: 'http-503' }, { generation: gone, state: 'given-up', next_try: null }])

  t.same(await runHere(['webhooks', 'send', gone], env), { code: 0, stdout: `the webhook of ${gone} is sent by a gateway within seconds\n`, stderr: '' })
  t.same((await ledger.takeHooks(10, [])).map(({ generation }) => generation).toSorted(), [waits, gone].toSorted())
  t.match(await runHere(['webhooks', 'send', freshId()], env), { code: 1, stderr: /^falgate: there is no generation \S+ \(any more\), or it has no webhook\n$/ })
  t.match(await runHere(['webhooks', 'send'], env), { code: 2 })
})

t.test('beside its gateway with a folder: one that waits for its next try is sent at once, as the same message', async t => {
  const folder = t.testdir({ secrets: `whsec_${Buffer.alloc(32, 'studio').toString('base64')}` })
  const receiver = await startReceiver(t, (response, ordinal) => { response.writeHead(ordinal === 1 ? 503 : 204, ordinal === 1 ? { 'retry-after': '300' } : {}).end() })
  const env = { DATA_DIR: join(folder, 'data'), TENANTS_FILE: join(folder, 'tenants.json') }
  writeFileSync(env.TENANTS_FILE, JSON.stringify({ tenants: [tenant('studio', { webhooks: [receiver.host], webhookSecretFile: join(folder, 'secrets') })] }))
  const { url } = await serve(t, env)
  const made = await fetch(`${url}/generations`, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json', 'falgate-webhook': receiver.url }, body: '{"prompt":"a fox","seed":1}' })
  const id = String(parseObject(await made.text())['id'])
  await receiver.until(1)
  await until(async () => /\b1 +http-503 +in [45] min\n/.test((await runHere(['webhooks', '--stuck'], env)).stdout))
  t.match(await runHere(['webhooks', 'send', id], env), { code: 0, stdout: `the webhook of ${id} is sent by a gateway within seconds\n` })
  const [first, second] = await receiver.until(2)
  t.equal(second?.headers['webhook-id'], first?.headers['webhook-id'])
  await until(async () => (await runHere(['webhooks'], env)).stdout === 'no webhook is stuck or waits\n')
})
