// fal's own JavaScript client, as published, in Node.

import { createFalClient, type RequestMiddleware } from '@fal-ai/client'
import t from 'tap'
import { javascriptSuite } from '../support/fal/javascript-suite.ts'
import { gatewayStation, sandboxStation, type Station } from '../support/fal/stations.ts'

/** The only way to another host that the client has by itself, beside a proxy. */
function redirectTo ({ runBase, queueBase }: Station): RequestMiddleware {
  return async request => ({ ...request, url: request.url.replace(/^https:\/\/queue\.fal\.run/, queueBase).replace(/^https:\/\/fal\.run/, runBase) })
}

t.setTimeout(240_000)

t.test('through requestMiddleware to the gateway', async t => {
  const station = await gatewayStation(t)
  const requestMiddleware = redirectTo(station)
  await javascriptSuite(t, { station, client: createFalClient({ credentials: station.key, requestMiddleware }), stranger: createFalClient({ credentials: 'not:a-key', requestMiddleware }) })
})

t.test('through proxyUrl as an object to the gateway', async t => {
  const station = await gatewayStation(t)
  const proxyUrl = { url: String(station.proxy), when: 'always' } as const
  await javascriptSuite(t, { station, client: createFalClient({ credentials: station.key, proxyUrl }), stranger: createFalClient({ credentials: 'not:a-key', proxyUrl }) })
})

t.test('straight at the sandbox', async t => {
  const station = await sandboxStation(t)
  const requestMiddleware = redirectTo(station)
  await javascriptSuite(t, { station, client: createFalClient({ credentials: station.key, requestMiddleware }), stranger: createFalClient({ credentials: 'not:a-key', requestMiddleware }) })
})
