// Stands in for the sign-in of your application: whoever opens the page is a visitor, known by a cookie that nobody else can make.

import { createHmac, randomBytes, randomUUID } from 'node:crypto'

const secret = randomBytes(32)

/** The cookie of a new visitor. */
export function signIn () {
  const visitor = randomUUID()
  return `visitor=${visitor}.${sealOf(visitor)}; HttpOnly; SameSite=Strict; Path=/`
}

/** Who sent this request; `null`: nobody who is signed in. */
export function visitorOf ({ headers }) {
  const [, visitor = '', seal] = /(?:^|; )visitor=([\w-]+)\.([\w-]+)/.exec(headers.cookie ?? '') ?? []
  return seal === sealOf(visitor) ? visitor : null
}

function sealOf (visitor) {
  return createHmac('sha256', secret).update(visitor).digest('base64url')
}
