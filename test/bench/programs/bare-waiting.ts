// What a waiting caller costs at least: Fastify with the schema of the route, whose answers never come. node bare-waiting.js <port>

import Fastify from 'fastify'
import { validatorCompiler } from '../../../src/http/validation.ts'
import { imagen4Ultra } from '../../../src/models/imagen4-ultra.ts'

const app = Fastify()
app.setValidatorCompiler(validatorCompiler)
/** Held, as whatever answers them would. */
const waiting = new Set<(answer: object) => void>()
app.post('/generate', { schema: { body: imagen4Ultra.input } }, async () => await new Promise<object>(resolve => { waiting.add(resolve) }))
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
