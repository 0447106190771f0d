// What a status poll is measured against: Fastify and its own log line, and an answer of the same size that is at hand. node bare-status.js <port>

import Fastify from 'fastify'

const app = Fastify({ logger: true })
app.get<{ Params: { readonly id: string } }>('/fal/queue/fal-ai/imagen4/requests/:id/status', async (request, reply) => {
  const address = `http://${request.host}/fal/queue/fal-ai/imagen4/requests/${request.params.id}`
  return reply.code(202).send({ status: 'IN_PROGRESS', request_id: request.params.id, response_url: address, status_url: address + '/status', cancel_url: address + '/cancel', logs: null, metrics: {} })
})
app.get('/metrics', async () => {
  const { user, system } = process.cpuUsage()
  return `process_cpu_seconds_total ${(user + system) / 1e6}\n`
})
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
