// The real gateway on a free port, in front of a sandbox of its own on another: what most tests talk to.

import { hash } from 'node:crypto'
import type { Test } from 'tap'
import { startApp, type RunningApp } from '../../src/app.ts'
import { parseConfig, type Config } from '../../src/config.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import type { ModelBook } from '../../src/models/models.ts'
import type { SandboxOptions } from '../../src/sandbox/plugin.ts'
import { demoTenants, parseTenants, type TenantBook } from '../../src/tenants/book.ts'
import { startSandbox, type RunningSandbox } from './sandbox.ts'

/** The central key of every test; must never show up anywhere. */
export const CENTRAL_KEY = 'central-key-id:central-key-secret'

/** The key of tenant `studio`; `key(id)` gives those of others. */
export const STUDIO_KEY = key('studio')

/** A tenant's only key: its id is the tenant's, its secret is made of it. */
export function key (tenantId: string): string {
  return `fg_${tenantId}_secret-of-${tenantId}`
}

/** A tenant for the file, with that key. */
export function tenant (id: string, options: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { id, keys: [{ id, sha256: hash('sha256', `secret-of-${id}`) }], ...options }
}

export function bookOf (file: Readonly<Record<string, unknown>>, models = builtInModels): TenantBook {
  const read = parseTenants(JSON.stringify(file), { models })
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.book
}

export function configOf (env: Readonly<Record<string, string>> = {}): Config {
  const read = parseConfig({ PORT: '0', LOG_LEVEL: 'silent', ...env })
  if (!read.ok) throw new Error(read.faults.join('\n'))
  return read.config
}

export interface Gateway extends RunningApp {
  readonly sandbox: RunningSandbox
  /** `POST /generate` with studio's key unless told otherwise. A string body is sent as it is. */
  readonly generate: (body: unknown, options?: CallOptions) => Promise<Reply>
  readonly get: (path: string, options?: CallOptions) => Promise<Reply>
  readonly post: (path: string, options?: CallOptions) => Promise<Reply>
}

export interface CallOptions {
  readonly path?: string
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** An answer, read to its end. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; fails when it is none. */
  readonly json: () => Record<string, unknown>
}

export interface GatewayOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly config?: Partial<Config>
  /** Those on offer, in the gateway as in its sandbox; the built-in ones by default. */
  readonly models?: ModelBook
  readonly tenants?: Readonly<Record<string, unknown>>
  readonly sandbox?: SandboxOptions
  /** The Redis that it shares, and the sandbox, with one that is there already; by default it has its own ledger. */
  readonly shared?: { readonly redisUrl: string, readonly sandbox?: RunningSandbox }
  /** Short by default, so that nobody waits for minutes. */
  readonly lookAgainMs?: readonly number[]
  /** The same, between tries of a webhook. */
  readonly webhookPausesMs?: readonly number[]
}

/** Starts both; they end with the test. */
export async function startGateway (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  const { models = builtInModels, shared } = options
  const sandbox = shared?.sandbox ?? await startSandbox(t, { models, keys: [CENTRAL_KEY], ...options.sandbox })
  const config = configOf(options.env)
  const app = await startApp({
    config: { ...config, falQueueUrl: `${sandbox.base}/queue`, uploads: config.uploads === null ? null : { restUrl: sandbox.base }, ...options.config },
    models,
    tenants: bookOf(options.tenants ?? { tenants: [tenant('studio'), tenant('press')] }, models),
    falKeys: [{ name: 'main', key: CENTRAL_KEY, slots: null }],
    redisUrl: shared?.redisUrl ?? null,
    version: '0.0.0-test',
    lookAgainMs: options.lookAgainMs ?? [10, 10, 10, 10, 10, 10],
    webhookPausesMs: options.webhookPausesMs ?? Array.from({ length: 9 }, () => 10)
  })
  t.teardown(async () => { await app.close() })

  async function call (method: string, path: string, { key = STUDIO_KEY, headers = {}, signal }: CallOptions, body?: string): Promise<Reply> {
    const response = await fetch(app.url + path, {
      method,
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
  }

  return {
    ...app,
    sandbox,
    generate: async (body, callOptions = {}) => await call('POST', callOptions.path ?? '/generate', callOptions, typeof body === 'string' ? body : JSON.stringify(body)),
    get: async (path, callOptions = {}) => await call('GET', path, callOptions),
    post: async (path, callOptions = {}) => await call('POST', path, callOptions)
  }
}

/** What a gateway that draws by itself is made of. */
export interface OwnSandboxOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly models?: ModelBook
  /** By default everybody has the published key. */
  readonly tenants?: Readonly<Record<string, unknown>>
}

/** A gateway with the sandbox inside, as it starts without a key; it ends with the test. */
export async function startWithOwnSandbox (t: Test, { env, models = builtInModels, tenants }: OwnSandboxOptions = {}): Promise<RunningApp> {
  const app = await startApp({
    // With a file the published key is not taken.
    config: configOf({ ...(tenants === undefined ? {} : { TENANTS_FILE: 'tenants.json' }), ...env }),
    models,
    tenants: tenants === undefined ? demoTenants(models) : bookOf(tenants, models),
    falKeys: null,
    redisUrl: null,
    version: '0.0.0-test'
  })
  t.teardown(async () => { await app.close() })
  return app
}

/** JSON text that has to be an object. */
export function parseObject (text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error(`not an object: ${text.slice(0, 200)}`)
  return { ...value }
}
