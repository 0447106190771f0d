// A contestant: nothing but Fastify and @fastify/static, without logs, serving a folder. node bare-static.js <port> <folder>

import fastifyStatic from '@fastify/static'
import Fastify from 'fastify'

const app = Fastify()
await app.register(fastifyStatic, { root: String(process.argv[3]), prefix: '/media/' })
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
