// A listening sandbox that ends with its test, and a caller that speaks to it as fal's clients do.

import fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import type { ModelBook } from '../../src/models/models.ts'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/plugin.ts'

export interface RunningSandbox extends Sandbox {
  readonly app: FastifyInstance
  /** Address of the mounted sandbox. */
  readonly base: string
  /** Calls `path` below the base, or a whole address, with a key. */
  call (path: string, init?: { readonly method?: string, readonly body?: string, readonly headers?: Readonly<Record<string, string>>, readonly signal?: AbortSignal }): Promise<Reply>
  /** Submits to the first of its models. */
  submit (input: object | string, headers?: Readonly<Record<string, string>>): Promise<Reply>
  /** Submits and gives the id of what was accepted. */
  submitted (input: object | string, headers?: Readonly<Record<string, string>>): Promise<string>
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; fields are looked at with `t.match`. */
  readonly body: unknown
}

/** Without delays unless `options` says otherwise, mounted at `/sandbox` unless `prefix` does. */
export async function startSandbox (t: Test, { models = builtInModels, ...options }: SandboxOptions & { readonly models?: ModelBook } = {}, prefix = '/sandbox'): Promise<RunningSandbox> {
  const sandbox = createSandbox(() => models, { queueMs: 0, runMs: 0, ...options })
  const app = fastify()
  await app.register(sandbox.plugin, { prefix })
  const base = await app.listen({ port: 0, host: '127.0.0.1' }) + prefix
  t.teardown(async () => {
    const closed = app.close()
    // After an aborted call fetch opens a connection in advance, which no server takes for idle.
    app.server.closeAllConnections()
    await closed
  })

  const call: RunningSandbox['call'] = async (path, { method = 'GET', body, headers, signal } = {}) => {
    const response = await fetch(path.startsWith('http') ? path : base + path, {
      method,
      headers: { authorization: 'Key id:secret', 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: parsed(text) }
  }

  const submit: RunningSandbox['submit'] = (input, headers = {}) => {
    return call(`/queue/${models.default.endpointId}`, { method: 'POST', headers, body: typeof input === 'string' ? input : JSON.stringify(input) })
  }

  return {
    ...sandbox,
    app,
    base,
    call,
    submit,
    async submitted (input, headers) {
      const { status, body, text } = await submit(input, headers)
      if (status !== 200) throw new Error(`Not accepted: ${status} ${text}`)
      return fieldOf(body, 'request_id')
    }
  }
}

/** A text field of an answer; throws when there is none. */
export function fieldOf (body: unknown, name: string): string {
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined
  if (typeof value !== 'string') throw new Error(`No text ${name} in ${JSON.stringify(body)}`)
  return value
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
