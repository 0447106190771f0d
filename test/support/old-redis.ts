// A Redis that tells that it is older than it is.

import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { listenFor, tie } from './listen.ts'

/** A door to the server on this port through which its INFO shows version 6 of Redis. Gives the door's URL. */
export async function startOldRedis (t: Test, targetPort: number): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const target = connect(targetPort, '127.0.0.1')
    tie(sockets, client, target)
    client.pipe(target)
    // One digit for another: the answer's length, which stands before it, stays right.
    target.on('data', chunk => { client.write(Buffer.from(chunk.toString('latin1').replace(/redis_version:\d/, 'redis_version:6'), 'latin1')) })
  })
  return `redis://127.0.0.1:${await listenFor(t, server, sockets)}`
}
