// A picture of the built-in sandbox outlives the process that made it: other replicas, and the next start on another port, give addresses that lead to themselves.

import t, { type Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { bookOf, configOf, tenant } from '../support/gateway.ts'
import { callAt } from '../support/host-call.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'

async function start (t: Test, url: string, namespace: string): Promise<RunningApp> {
  const app = await startApp({
    config: configOf({ REDIS_URL: url, REDIS_NAMESPACE: namespace }),
    models: builtInModels,
    tenants: bookOf({ tenants: [tenant('studio')] }),
    falKeys: null,
    redisUrl: url,
    version: '0.0.0-test'
  })
  t.teardown(async () => { await app.close() })
  return app
}

t.test('each replica gives the address of its own pictures for a result that another one bought, also after that one is gone', async t => {
  const [url, namespace] = [await redisUrl(), freshNamespace()]
  // Alone at first: what waits is bought by any replica, and its picture would have another's address from the start.
  const buyer = await start(t, url, namespace)
  const body = { prompt: 'a heron', seed: 42 }
  const bought = await callAt(buyer.url, { path: '/generate', body })
  t.equal(bought.status, 200)
  t.match(bought.text, `"url":"${buyer.url}/sandbox/files/`)
  const other = await start(t, url, namespace)
  await buyer.close()
  const later = await start(t, url, namespace)
  for (const app of [other, later]) {
    const hit = await callAt(app.url, { path: '/generate', body })
    t.match(hit.headers['cache-status'], /^falgate; hit/)
    t.equal(hit.text, bought.text.replace(buyer.url, app.url))
    const [, address = ''] = /"url":"([^"]*)"/.exec(hit.text) ?? []
    t.equal((await fetch(address)).status, 200, 'the picture is there')
    t.ok((await callAt(app.url, { path: '/generations' })).text.includes(hit.text), 'in a list, too')
  }
})
