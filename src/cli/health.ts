// Asks a running gateway whether it lives.

import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Config } from '../config.ts'

const TIMEOUT_MS = 2000

/** Does `/healthz` of the gateway with this configuration answer 200? `null`, or why not. */
export async function healthFault (config: Config): Promise<string | null> {
  const port = config.opsPort ?? config.port
  if (port === 0) return 'the port is chosen at the start and not known here'
  // The operators' port is plain; the public one may be https, with a certificate for its public name.
  const isTls = config.opsPort === null && config.tls !== null
  const request = isTls ? requestHttps : requestHttp
  const options = { host: reachable(config.host), port, path: '/healthz', agent: false, signal: AbortSignal.timeout(TIMEOUT_MS), rejectUnauthorized: false }

  return await new Promise(resolve => {
    request(options, response => {
      response.resume()
      resolve(response.statusCode === 200 ? null : `/healthz answered ${response.statusCode}`)
    }).on('error', error => {
      resolve(error.name === 'AbortError' || error.name === 'TimeoutError' ? `no answer within ${TIMEOUT_MS / 1000} seconds` : `no answer (${'code' in error ? String(error.code) : error.name})`)
    }).end()
  })
}

/** A gateway that listens everywhere is asked on the loopback address. */
function reachable (host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
