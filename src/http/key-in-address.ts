// Keys and tokens in an address are refused: proxies, browsers and traces write addresses down, so that who reads their logs could spend.

import { Problem } from '../errors.ts'
import { looksLikeKey } from '../tenants/keys.ts'
import { looksLikeToken } from '../tenants/tokens.ts'

/** What other APIs call a key in an address. */
const names = new Set(['access_token', 'api_key', 'api-key', 'apikey', 'auth', 'authorization', 'fal_jwt_token', 'fal_key', 'key', 'token'])

/** Throws `key-in-address` when the query holds a key or token of the gateway, whatever it is called, and whether or not the header holds one, too. */
export function refuseKeyInAddress (url: string): void {
  const query = queryOf(url)
  if (query === null) return
  for (const value of query.values()) {
    if (looksLikeKey(value) || looksLikeToken(value)) throw new Problem('key-in-address', { detail: 'Proxies and logs write addresses down: send `Authorization: Bearer <key>`, and put another key in the place of this one, which may have been read. `EventSource` takes a ticket: `POST /generations/{id}/ticket`.' })
  }
}

/** Does the query seem to hold a key, by what it is called? */
export function namesKey (url: string): boolean {
  for (const name of queryOf(url)?.keys() ?? []) if (names.has(name.toLowerCase())) return true
  return false
}

function queryOf (url: string): URLSearchParams | null {
  const start = url.indexOf('?')
  return start < 0 ? null : new URLSearchParams(url.slice(start + 1))
}
