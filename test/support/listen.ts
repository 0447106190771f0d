// Servers of a test's own, on free ports of this machine.

import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import type { Test } from 'tap'

/** Listens on a free port of loopback, which it gives. The server, and the sockets that are in the set by then, end with the test. */
export async function listenFor (t: Test, server: Server, sockets: ReadonlySet<Socket>): Promise<number> {
  const port = await listen(server)
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return port
}

/** Both sides of a door: when one closes, so does the other. They are in the set as long as they are open. */
export function tie (sockets: Set<Socket>, client: Socket, target: Socket): void {
  for (const [socket, other] of [[client, target], [target, client]] as const) {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroy()
    })
  }
}

/** Listens on a free port of loopback, which it gives. */
export async function listen (server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  return address.port
}
