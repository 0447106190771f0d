// Callers of this process that wait for an answer: the core's side of their connections, and which of them are still there. Reattaching asks before it takes a
// generation from a connection.

import type { Connection } from '../generation.ts'

/** Told once, when a request is over; `isDelivered`: the whole answer was handed to an open socket. */
export type OverListener = (isDelivered: boolean) => void

/** The connection of a caller, as far as the core knows it. Functions and no `AbortSignal`: a caller may wait for minutes, and a signal with one listener takes 600 bytes. */
export interface CallerLink {
  /** Can an answer still be written? */
  readonly isOpen: () => boolean
  /** Calls `listener` once, when the request is over; never, when it is over already. */
  readonly onceOver: (listener: OverListener) => void
  /** `listener` is not called any more. Harmless when it is not known. */
  readonly forget: (listener: OverListener) => void
}

export interface Presence {
  /** Registers a caller until its request is over. Gives the name that it is asked about by. */
  arrive: (link: CallerLink) => Connection
  isOpen: (connection: string) => boolean
}

export function createPresence (replica: string): Presence {
  const open = new Map<string, CallerLink>()
  let count = 0
  return {
    arrive: link => {
      const connection = String(++count)
      if (link.isOpen()) {
        open.set(connection, link)
        link.onceOver(() => { open.delete(connection) })
      }
      return { replica, connection }
    },
    isOpen: connection => open.get(connection)?.isOpen() ?? false
  }
}

/** Resolves after so long, or as soon as the caller has gone. */
export async function pauseWithCaller (ms: number, link: CallerLink): Promise<void> {
  if (!link.isOpen()) return
  await new Promise<void>(resolve => {
    const end = (): void => {
      clearTimeout(timer)
      link.forget(end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    link.onceOver(end)
  })
}
