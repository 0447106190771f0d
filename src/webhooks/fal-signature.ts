// The signature that fal puts on its webhooks (docs "Webhooks"): Ed25519, checked with a set of public keys. Here the keys are the gateway's own.

import { createPrivateKey, createPublicKey, hash, sign, type KeyObject } from 'node:crypto'

/** A key of the gateway's. */
export interface SigningKey {
  readonly privateKey: KeyObject
  /** Its public part, as a set of keys shows it. */
  readonly jwk: PublicJwk
}

/** RFC 8037. */
export interface PublicJwk { readonly kty: 'OKP', readonly crv: 'Ed25519', readonly x: string, readonly kid: string, readonly use: 'sig', readonly alg: 'EdDSA' }

const PEM = /-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END PRIVATE KEY-----/g
/** That in force, the one before, the next one, and a few more. */
const MAX_KEYS = 8

/** The private keys in a text of PEM blocks, in their order; `null`: there is none, or one of them is no Ed25519 key. */
export function parseSigningKeys (text: string): readonly SigningKey[] | null {
  const blocks = text.match(PEM) ?? []
  const keys = blocks.map(keyIn)
  const sound = keys.filter(key => key !== null)
  return sound.length === keys.length && sound.length > 0 && sound.length <= MAX_KEYS ? sound : null
}

function keyIn (pem: string): SigningKey | null {
  try {
    return signingKeyOf(createPrivateKey(pem))
  } catch {
    // What OpenSSL says is about its own insides.
    return null
  }
}

/** `null`: it is of another kind. */
export function signingKeyOf (privateKey: KeyObject): SigningKey | null {
  if (privateKey.asymmetricKeyType !== 'ed25519') return null
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' })
  // RFC 7638: the members that make the key, in the order of their names.
  const kid = hash('sha256', JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }), 'base64url')
  return { privateKey, jwk: { kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' } }
}

/** What is sent, and about which request; `userId`: the tenant's name. */
export interface FalMessage {
  readonly requestId: string
  readonly userId: string
  readonly atMs: number
  readonly body: Buffer
}

/** The headers by which a receiver knows who sent it, and when. */
export function falSignatureHeaders ({ requestId, userId, atMs, body }: FalMessage, { privateKey }: SigningKey): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(atMs / 1000))
  const message = [requestId, userId, timestamp, hash('sha256', body)].join('\n')
  return {
    'x-fal-webhook-request-id': requestId,
    'x-fal-webhook-user-id': userId,
    'x-fal-webhook-timestamp': timestamp,
    'x-fal-webhook-signature': sign(null, Buffer.from(message), privateKey).toString('hex')
  }
}
