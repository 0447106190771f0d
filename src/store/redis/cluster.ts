// Where things are in a cluster: the slot of a key, the server of a slot, and every server that needs the scripts.

import { Cluster, type Redis } from 'ioredis'
import type { RedisClient } from './clients.ts'

/** The server that has this key: in a cluster the primary of its slot. */
export function serverOf (client: RedisClient, key: string): Redis {
  if (!(client instanceof Cluster)) return client
  const primaries = client.nodes('master')
  const address = client.slots[slotOf(key)]?.[0]
  const [server] = [...primaries.filter(({ options: { host, port } }) => `${host}:${port}` === address), ...primaries]
  if (server === undefined) throw new Error('No primary of the cluster is known.')
  return server
}

/** CRC16 (XMODEM) of the hash tag, as Redis Cluster has it. */
export function slotOf (key: string): number {
  const tag = /\{([^}]+)\}/.exec(key)?.[1] ?? key
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 & 0xffff : (crc << 1 ^ 0x1021) & 0xffff
  }
  return crc % 16_384
}

/**
 * Loads a library of functions wherever it may be needed: FUNCTION LOAD knows no key, so in a cluster every primary gets it. A failure shows when a
 * function is called; that it is there already is none.
 */
export async function loadLibrary (client: RedisClient, library: string): Promise<void> {
  const servers = client instanceof Cluster ? client.nodes('master') : [client]
  await Promise.allSettled(servers.map(async server => await server.function('LOAD', library)))
}
