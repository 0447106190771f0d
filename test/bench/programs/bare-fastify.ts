// A contestant: nothing but Fastify and the schema of the route, without logs; the answer is at hand. node bare-fastify.js <port>

import Fastify from 'fastify'
import { validatorCompiler } from '../../../src/http/validation.ts'
import { imagen4Ultra } from '../../../src/models/imagen4-ultra.ts'
import { hitOutput } from '../requests.ts'

const app = Fastify()
app.setValidatorCompiler(validatorCompiler)
const body = Buffer.from(hitOutput)
app.post('/generate', { schema: { body: imagen4Ultra.input } }, async (_request, reply) => reply.type('application/json').send(body))
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
