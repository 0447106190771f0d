// A reverse proxy that has the gateway below a path of its own, which it takes away.

import { createServer, request as ask } from 'node:http'
import type { Test } from 'tap'
import { listenFor } from './listen.ts'

export interface StrippingProxy {
  readonly origin: string
  /** Paths that were asked for outside of its own; they are answered 404. */
  readonly outside: readonly string[]
  /** Hands requests on to the server at this address from now on. */
  readonly leadTo: (url: string) => void
}

/** Listens until the test ends. `base`: its path, without a slash at the end; `added`: headers that it adds to each request. */
export async function startStrippingProxy (t: Test, base: string, added: Readonly<Record<string, string>> = {}): Promise<StrippingProxy> {
  const outside: string[] = []
  let target = ''
  const proxy = createServer((request, response) => {
    const { url = '/', method, headers } = request
    if (!url.startsWith(`${base}/`)) {
      outside.push(url)
      response.writeHead(404, { connection: 'close' }).end()
      return
    }
    const passed = ask(target + url.slice(base.length), { method, headers: { ...headers, ...added }, agent: false }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => { response.destroy() })
    response.on('close', () => { passed.destroy() })
    request.pipe(passed)
  })
  t.teardown(() => { proxy.closeAllConnections() })
  const origin = `http://127.0.0.1:${await listenFor(t, proxy, new Set())}`
  return { origin, outside, leadTo: url => { target = url } }
}
