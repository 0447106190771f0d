// fal's catalogue and pricing API, played on this machine: what they answer is what a test says.

import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { listenFor } from './listen.ts'

/** What is answered for an endpoint: a document's text, or a whole answer. */
export type Played = string | { readonly status: number, readonly body?: string, readonly headers?: Readonly<Record<string, string>> } | 'silence'

export interface PlayedCatalogue {
  /** What the environment says, so that commands ask here. */
  readonly env: Readonly<Record<string, string>>
  readonly documents: Map<string, Played>
  /** As the pricing API names them. */
  readonly prices: Map<string, { readonly unit_price: number, readonly unit: string, readonly currency?: string }>
  /** What was asked for, each as `<path> <endpoint id> <key or ->`. */
  readonly asked: readonly string[]
}

/** Listens until the test ends. */
export async function playCatalogue (t: Test): Promise<PlayedCatalogue> {
  const documents = new Map<string, Played>()
  const prices: PlayedCatalogue['prices'] = new Map()
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const id = url.searchParams.get('endpoint_id') ?? ''
    asked.push(`${url.pathname} ${id} ${request.headers.authorization ?? '-'}`)
    if (url.pathname === '/v1/models/pricing') {
      const price = prices.get(id)
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ prices: price === undefined ? [] : [{ endpoint_id: id, currency: 'USD', ...price }], next_cursor: null, has_more: false }))
      return
    }
    const played = documents.get(id) ?? { status: 404, body: '{"detail":"Not found"}' }
    if (played === 'silence') return
    const { status, body = '', headers = {} } = typeof played === 'string' ? { status: 200, body: played } : played
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  })
  server.on('connection', socket => { sockets.add(socket) })
  const base = `http://127.0.0.1:${await listenFor(t, server, sockets)}`
  return { env: { FAL_CATALOGUE_URL: `${base}/documents`, FAL_API_URL: `${base}/v1` }, documents, prices, asked }
}
