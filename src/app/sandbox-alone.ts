// The sandbox without a gateway: a stand-in for fal that other teams may test against.

import type { RunningApp } from '../app.ts'
import type { Config } from '../config.ts'
import { createLogger, standardOutput } from '../logger.ts'
import type { ModelBook } from '../models/models.ts'
import { listenToSandbox } from '../sandbox/listen.ts'
import { createSandbox } from '../sandbox/plugin.ts'
import { closeServer } from './close-server.ts'

/** Starts the sandbox alone. */
export async function startSandbox ({ config, models }: { readonly config: Pick<Config, 'host' | 'port' | 'publicUrl' | 'logLevel' | 'logFormat'>, readonly models: ModelBook }): Promise<Omit<RunningApp, 'sandboxControl'>> {
  const log = createLogger({ level: config.logLevel, format: config.logFormat, destination: standardOutput() })
  const sandbox = createSandbox(() => models, {
    ...config.publicUrl === null ? {} : { publicUrl: config.publicUrl },
    log: (facts, message) => { log.info(facts, message) }
  })
  const { server, url } = await listenToSandbox(sandbox, log, config)
  return { log, censor: text => text, url, reload: async () => {}, close: async () => { await closeServer(server) } }
}
