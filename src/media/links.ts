// Signed addresses of stored files: who has one may fetch that file until its time is over, and nobody else may.

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { MediaLinks } from '../generation/media.ts'

const HOUR_S = 3600
/** 128 bits: as much as can be guessed at is what can be tried against a running gateway. */
const SIGNATURE_BYTES = 16

/** `keys`: the first one signs, all are believed. `lastsMs`: how long a link lasts at least. */
export function createMediaLinks ({ keys, lastsMs, now }: { readonly keys: () => readonly string[], readonly lastsMs: number, readonly now: () => number }): MediaLinks {
  const until = (): number => (Math.ceil((now() + lastsMs) / 1000 / HOUR_S)) * HOUR_S
  return {
    period: until,
    pathOf: name => {
      const [key = ''] = keys()
      return `/media/${name}?e=${until()}&s=${sign(key, name, String(until())).toString('base64url')}`
    },
    judge: (name, until, signature) => {
      if (until === undefined || signature === undefined || !/^\d{1,12}$/.test(until)) return { kind: 'forged' }
      const given = Buffer.from(signature, 'base64url')
      const isSigned = given.length === SIGNATURE_BYTES && keys().some(key => timingSafeEqual(sign(key, name, until), given))
      if (!isSigned) return { kind: 'forged' }
      const forMs = Number(until) * 1000 - now()
      return forMs > 0 ? { kind: 'allowed', forMs } : { kind: 'expired' }
    }
  }
}

function sign (key: string, name: string, until: string): Buffer {
  return createHmac('sha256', key).update(`${name}\n${until}`).digest().subarray(0, SIGNATURE_BYTES)
}
