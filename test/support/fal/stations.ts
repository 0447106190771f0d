// Where fal's clients can be pointed to in place of fal: the gateway, and the sandbox itself. One suite proves both.

import { readFileSync } from 'node:fs'
import fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { builtInModels } from '../../../src/models/built-in.ts'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../../src/sandbox/plugin.ts'
import { CENTRAL_KEY, startGateway, STUDIO_KEY, tenant } from '../gateway.ts'
import type { Certificate } from './certificate.ts'

/** Something that speaks fal's protocol. */
export interface Station {
  readonly name: 'the gateway' | 'the sandbox'
  /** In place of `https://fal.run` and `https://queue.fal.run`. */
  readonly runBase: string
  readonly queueBase: string
  /** What takes the place of a fal key. */
  readonly key: string
  /** Where a proxy is, if there is one. */
  readonly proxy: string | null
  /** What makes the pictures in the end. */
  readonly sandbox: Sandbox
  /** Where its switches are. */
  readonly sandboxBase: string
}

export interface StationOptions {
  readonly certificate?: Certificate
  /** Origins of pages that may use the key. */
  readonly origins?: readonly string[]
}

/** Jobs that can be seen in each of their states, and still end soon. */
const visible: SandboxOptions = { queueMs: 150, runMs: 300 }

/** The gateway, in front of a sandbox. */
export async function gatewayStation (t: Test, { certificate, origins = [] }: StationOptions = {}): Promise<Station> {
  const env: Record<string, string> = certificate === undefined ? {} : { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile }
  const gateway = await startGateway(t, { env, sandbox: visible, tenants: { tenants: [tenant('studio', { origins, rateLimit: { max: 1000, windowSeconds: 60 } })] } })
  const base = `${gateway.url}/fal`
  return { name: 'the gateway', runBase: base, queueBase: `${base}/queue`, key: STUDIO_KEY, proxy: `${gateway.url}/api/fal/proxy`, sandbox: gateway.sandbox, sandboxBase: gateway.sandbox.base }
}

/** The sandbox alone. */
export async function sandboxStation (t: Test, { certificate }: StationOptions = {}): Promise<Station> {
  const sandbox = createSandbox(() => builtInModels, { ...visible, keys: [CENTRAL_KEY] })
  const app = serverWith(certificate)
  await app.register(sandbox.plugin)
  const base = await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    const closed = app.close()
    app.server.closeAllConnections()
    await closed
  })
  return { name: 'the sandbox', runBase: `${base}/run`, queueBase: `${base}/queue`, key: CENTRAL_KEY, proxy: null, sandbox, sandboxBase: base }
}

function serverWith (certificate: Certificate | undefined): FastifyInstance {
  return certificate === undefined ? fastify() : fastify({ https: { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) } })
}
