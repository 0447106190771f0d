// A contestant: what one would put together first. Fastify and the schema, @fastify/rate-limit on Redis, one GET of the stored result; no logs.
// node composition.js <port> <Redis' port>

import { hash } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { validatorCompiler } from '../../../src/http/validation.ts'
import { imagen4Ultra } from '../../../src/models/imagen4-ultra.ts'
import { hitOutput } from '../requests.ts'

const redis = new Redis(Number(process.argv[3]), '127.0.0.1')
const nameOf = (body: unknown): string => 'result:' + hash('sha256', JSON.stringify(body))
const app = Fastify()
app.setValidatorCompiler(validatorCompiler)
await app.register(rateLimit, { max: 1_000_000, timeWindow: 1000, redis, nameSpace: 'composition:', keyGenerator: request => request.headers.authorization ?? '' })
app.post('/generate', { schema: { body: imagen4Ultra.input } }, async (request, reply) => {
  const name = nameOf(request.body)
  const stored = await redis.get(name)
  if (stored === null) await redis.set(name, hitOutput, 'EX', 3600)
  return reply.type('application/json').send(stored ?? hitOutput)
})
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
