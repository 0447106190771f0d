// A gateway and its Redis that are started together: nobody is refused because one of them was faster.

import t, { type Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { bookOf, configOf, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { freshNamespace } from '../support/redis-store.ts'
import { redisUrl } from '../support/redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

async function begin (t: Test, url: string, awaitStoreMs: number): Promise<RunningApp> {
  const app = await startApp({
    config: configOf({ REDIS_URL: url, REDIS_NAMESPACE: freshNamespace() }),
    models: builtInModels,
    tenants: bookOf({ tenants: [tenant('studio')] }),
    falKeys: null,
    redisUrl: url,
    version: '0.0.0-test',
    awaitStoreMs
  })
  t.teardown(app.close)
  return app
}

async function firstAnswer ({ url }: RunningApp): Promise<number> {
  const headers = { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }
  const response = await fetch(`${url}/generate`, { method: 'POST', headers, body: '{"prompt":"the first","seed":1}' })
  await response.text()
  return response.status
}

t.test('a gateway that is started before its Redis listens when it has reached it, so its first caller is served', async t => {
  const proxy = await startTcpProxy(t, Number(new URL(await redisUrl()).port))
  proxy.setOpen(false)
  const starting = begin(t, `redis://127.0.0.1:${proxy.port}`, 60_000)
  await until(() => proxy.connections() > 1, { what: 'the gateway met its Redis away, and tried again' })
  proxy.setOpen(true)
  t.equal(await firstAnswer(await starting), 200)
})

t.test('one whose Redis stays away listens all the same, refuses what has to be bought, and tells Prometheus', async t => {
  const proxy = await startTcpProxy(t, Number(new URL(await redisUrl()).port))
  proxy.setOpen(false)
  const app = await begin(t, `redis://127.0.0.1:${proxy.port}`, 100)
  t.equal(await firstAnswer(app), 503)
  t.match(await (await fetch(`${app.url}/metrics`)).text(), /^falgate_redis_up 0$/m)
})
