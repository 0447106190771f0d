// Which keys a ledger has: asked by SCAN, piece by piece, while gateways go on.

import { Problem } from '../../errors.ts'
import { serverOf } from './cluster.ts'
import type { Connection } from './connection.ts'

/** How many are looked at in one call. */
const KEYS = 500

/** The names of keys that begin so, without what all keys begin with: `prefix`, then `beginning`. A key may come twice. */
export async function * keysOf ({ connection, prefix }: { readonly connection: Connection, readonly prefix: string }, beginning: string): AsyncGenerator<readonly string[]> {
  let first: string | undefined
  for (let cursor = '0'; ;) {
    const [next, keys] = await connection.run(async client => {
      const server = serverOf(client, prefix)
      const address = `${server.options.host}:${server.options.port}`
      // What was found on another node says nothing of this one.
      if (address !== (first ??= address)) throw new Problem('store-unavailable', { cause: new Error('The slot of the ledger has moved meanwhile.') })
      return await server.scan(cursor, 'MATCH', `${prefix}${beginning}*`, 'COUNT', KEYS)
    })
    yield keys.map(key => key.slice(prefix.length + beginning.length))
    if (next === '0') return
    cursor = next
  }
}
