// fal's own proxy for a web server, in front of the gateway, and a page's client at it: two pictures, and one line of JSON about them.

import { once } from 'node:events'
import { createFalClient } from '@fal-ai/client'
import { createHandler, route } from '@fal-ai/server-proxy/express'
import express from 'express'

const gateway = new URL(process.env.FALGATE_URL)
const app = express()
app.all(route, express.json(), createHandler({
  allowedUrlPatterns: [`${gateway.host}/fal/**`],
  allowUnauthorizedRequests: true,
  resolveFalAuth: async () => `Key ${process.env.FAL_KEY}`
}))
const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const proxyUrl = `http://127.0.0.1:${server.address().port}${route}`

const fal = createFalClient({
  // In a page nothing but this: the address of the gateway in the place of fal's, and the page's own server as what leads there.
  requestMiddleware: async request => {
    const target = request.url.replace('https://queue.fal.run', `${gateway.origin}/fal/queue`).replace('https://fal.run', `${gateway.origin}/fal`)
    return { ...request, url: proxyUrl, headers: { ...request.headers, 'x-fal-target-url': target } }
  }
})
const urls = []
const seeds = []
const asked = [['run', {}], ['subscribe', { mode: 'polling', pollInterval: 50 }]]
for (const [n, [how, options]] of asked.entries()) {
  const { data } = await fal[how](process.env.MODEL, { ...options, input: { prompt: `picture ${n + 1}` } })
  urls.push(data.images[0].url)
  seeds.push(data.seed)
}
console.log(JSON.stringify({ urls, seeds: seeds.map(String) }))
server.close()
server.closeAllConnections()
