// The sandbox on a listener of its own.

import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Sandbox } from './plugin.ts'

/** Serves the sandbox, and `/healthz` beside it, until the server is closed. */
export async function listenToSandbox (sandbox: Sandbox, log: FastifyBaseLogger, { host, port }: { readonly host: string, readonly port: number }): Promise<{ readonly server: FastifyInstance, readonly url: string }> {
  const server = Fastify({ loggerInstance: log, logController: new LogController({ disableRequestLogging: true }), forceCloseConnections: 'idle' })
  server.get('/healthz', async () => 'ok')
  await server.register(sandbox.plugin)
  return { server, url: await server.listen({ host, port }) }
}
