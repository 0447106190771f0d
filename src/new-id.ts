// Ids: UUIDv7 (RFC 9562). Every request has one, so chance is fetched for many of them at once.

import { randomFillSync } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'

const BYTES_PER_ID = 16
const pool = Buffer.alloc(256 * BYTES_PER_ID)
let used = pool.length

/** A fresh id. Never used for order or access. */
export function newId (): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used += BYTES_PER_ID)
  return uuidv7({ random })
}
