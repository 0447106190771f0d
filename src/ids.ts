// Ids: UUIDv7, for looking up and never for order or access. Secrets: for access and nothing else.

import { randomFillSync } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'

const ID_BYTES = 16
const SECRET_BYTES = 32

/** For how many at once bytes are provided: asking the system for each costs more than all the rest of an id. */
const AT_ONCE = 256

const idBytes = randomPool(ID_BYTES)
const secretBytes = randomPool(SECRET_BYTES)

/** A fresh UUIDv7. */
export function newId (): string {
  return uuidv7({ random: idBytes() })
}

/** A fresh id of a webhook. */
export function newHookId (): string {
  return 'hook_' + newId().replaceAll('-', '')
}

/** 256 fresh random bits, as 43 letters, digits, `-` and `_`. */
export function newSecret (): string {
  const bytes = secretBytes()
  const text = bytes.toString('base64url')
  bytes.fill(0)
  return text
}

/** Gives as many random bytes with each call, each of them once. */
function randomPool (size: number): () => Buffer {
  const pool = Buffer.alloc(size * AT_ONCE)
  let used = pool.length
  return () => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    const bytes = pool.subarray(used, used + size)
    used += size
    return bytes
  }
}
