// A contestant: fal's own server proxy on Express, as its documentation mounts it. node express-proxy.js <port> <folder with its packages>

import { createRequire } from 'node:module'
import { join } from 'node:path'

// Not among this project's dependencies: fetched by the benchmark, so nothing is known of their types.
const load = createRequire(join(String(process.argv[3]), 'package.json'))
const express = load('express')
const { createHandler } = load('@fal-ai/server-proxy/express')

const app = express()
app.use(express.json())
app.all('/api/fal/proxy', createHandler({
  // By default it forwards to fal's hosts only.
  allowedUrlPatterns: ['127.0.0.1:*/**'],
  isAuthenticated: async () => true,
  resolveFalAuth: async () => 'Key central-key-id:central-key-secret',
  allowUnauthorizedRequests: false
}))
app.listen(Number(process.argv[2]), '127.0.0.1')
