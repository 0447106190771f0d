// The signature of Standard Webhooks (https://www.standardwebhooks.com): symmetric, version 1.

import { createHmac } from 'node:crypto'

/** What is sent, and under which name: the same for every try of one event. */
export interface SignedMessage {
  readonly id: string
  /** Of this try. */
  readonly atMs: number
  readonly body: Buffer
}

/** The headers by which a receiver knows who sent it, and when. Each secret signs, so that the receiver may have the old one or the new one. */
export function standardHeaders ({ id, atMs, body }: SignedMessage, secrets: readonly Buffer[]): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(atMs / 1000))
  const signatures = secrets.map(secret => `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64')}`)
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
