// Ids: UUIDv7, for looking up and never for order or access.

import { randomFillSync } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'

/** What one id takes, and how many are provided for at once: asking the system for each costs more than all the rest of an id. */
const ID_BYTES = 16
const IDS_AT_ONCE = 256

const random = Buffer.alloc(ID_BYTES * IDS_AT_ONCE)
let used = random.length

/** A fresh UUIDv7. */
export function newId (): string {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  const bytes = random.subarray(used, used + ID_BYTES)
  used += ID_BYTES
  return uuidv7({ random: bytes })
}
