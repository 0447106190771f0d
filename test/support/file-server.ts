// A CDN as it may behave: each path answers as its test says, and tells what it was asked.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Test } from 'tap'

export type Answerer = (request: IncomingMessage, response: ServerResponse) => void

export interface FileServer {
  /** Its base, without a slash at its end. */
  readonly url: string
  /** How it answers from now on. */
  readonly answer: (answerer: Answerer) => void
  /** What it was asked so far: method, path, and the range where there is one. */
  readonly asked: readonly string[]
}

export async function startFileServer (t: Test): Promise<FileServer> {
  let answerer: Answerer = (_request, response) => { response.writeHead(404).end() }
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push([request.method, request.url, request.headers.range].filter(part => part !== undefined).join(' '))
    answerer(request, response)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  return { url: `http://127.0.0.1:${address.port}`, answer: next => { answerer = next }, asked }
}
