// The end of a listener.

import type { Server } from 'node:http'
import { setTimeout } from 'node:timers/promises'

/** How long answers that are being written may take at the end. */
const LAST_ANSWERS_MS = 500

/** Closes a listener; connections that have never sent a request would keep it open until they time out. */
export async function closeServer (server: { readonly server: Pick<Server, 'closeAllConnections'>, readonly close: () => PromiseLike<unknown> }): Promise<void> {
  const impatience = new AbortController()
  setTimeout(LAST_ANSWERS_MS, undefined, { signal: impatience.signal }).then(() => { server.server.closeAllConnections() }, () => {})
  await server.close()
  impatience.abort()
}
