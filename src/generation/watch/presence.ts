// Which callers of this process are still there: reattaching asks before it takes a generation from a connection.

import type { Connection } from '../generation.ts'

export interface Presence {
  /** Registers a caller; `close` forgets it again. */
  arrive: (isOpen: () => boolean) => { readonly connection: Connection, readonly close: () => void }
  isOpen: (connection: string) => boolean
}

export function createPresence (replica: string): Presence {
  const open = new Map<string, () => boolean>()
  let count = 0
  return {
    arrive: isOpen => {
      const connection = String(++count)
      open.set(connection, isOpen)
      return { connection: { replica, connection }, close: () => { open.delete(connection) } }
    },
    isOpen: connection => open.get(connection)?.() ?? false
  }
}
