// Looks whether a file is still where an address says, by its head alone. Nothing of it is fetched, and nobody is sent elsewhere.

import { Agent, type buildConnector } from 'undici'
import type { AddressRule, WayToFile } from './address-rule.ts'

export interface FileLookDeps {
  readonly allowed: AddressRule
  /** What makes connections, by the way that the rule names. */
  readonly connect: Readonly<Record<WayToFile, buildConnector.connector>>
}

export interface FileLook {
  /** Does the server say that it has this file no more (404, 410)? Everything else says nothing: another answer, none before the signal fires, an address that is not asked. Never rejects. */
  readonly isGone: (address: string, signal: AbortSignal) => Promise<boolean>
  /** Ends its connections. */
  readonly close: () => Promise<void>
}

/** Connections to one server; what finds none free waits for one, or until its time is over. */
const CONNECTIONS = 32

export function createFileLook ({ allowed, connect }: FileLookDeps): FileLook {
  const dispatchers = { public: new Agent({ connect: connect.public, connections: CONNECTIONS }), ours: new Agent({ connect: connect.ours, connections: CONNECTIONS }) }

  async function isGone (text: string, signal: AbortSignal): Promise<boolean> {
    const address = URL.parse(text)
    const way = address === null ? null : allowed(address)
    if (address === null || way === null) return false
    try {
      const { statusCode, body } = await dispatchers[way].request({ origin: address.origin, path: address.pathname + address.search, method: 'HEAD', signal })
      body.on('error', () => {}).resume()
      return statusCode === 404 || statusCode === 410
    } catch {
      return false
    }
  }

  return { isGone, close: async () => { await Promise.all([dispatchers.public.destroy(), dispatchers.ours.destroy()]) } }
}
