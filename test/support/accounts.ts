// fal with two accounts: each has a sandbox and a bill of its own, and knows nothing of the other's requests. One address serves both, by the key.

import { createServer, request as send } from 'node:http'
import type { Test } from 'tap'
import { CENTRAL_KEY } from './gateway.ts'
import type { RunningSandbox } from './sandbox.ts'

export const SECOND_KEY = 'second-key-id:second-key-secret'
/** What the second account's key is rotated to. */
export const ROTATED_KEY = 'rotated-key-id:rotated-key-secret'

/** The base of a queue that hands each request to the sandbox that takes its key; it ends with the test. Whoever takes none of them is told so by the first. */
export async function queueOf (t: Test, main: RunningSandbox, second: RunningSandbox): Promise<string> {
  const server = createServer((request, response) => {
    const key = request.headers.authorization?.replace(/^Key /, '') ?? ''
    const target = new URL((key === SECOND_KEY || key === ROTATED_KEY ? second : main).base)
    const forwarded = send({ host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    forwarded.on('error', () => { response.destroy() })
    response.on('close', () => { forwarded.destroy() })
    request.pipe(forwarded)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The queue does not listen.')
  return `http://127.0.0.1:${address.port}/sandbox/queue`
}

/** The lines of a key file. */
export const mainLine = `main ${CENTRAL_KEY}`
export const secondLine = `second ${SECOND_KEY}`
