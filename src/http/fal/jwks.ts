// The public keys of webhooks in fal's form, where receivers look for them: at fal they are at `/.well-known/jwks.json` of a host of their own.

import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { FAL_PREFIX } from './address.ts'

/** fal's documentation lets receivers keep the keys for a day; a new one is shown for longer than that before it signs. */
const MAX_AGE_S = 3600

/** Needs no key: what is shown is public. */
export function jwksRoute (scope: FastifyInstance, { publicKeys }: { readonly publicKeys: () => readonly object[] }): void {
  scope.get(`${FAL_PREFIX}/.well-known/jwks.json`, {
    schema: {
      operationId: 'fal_webhook_keys',
      tags: ['fal'],
      security: [],
      summary: 'The public keys of webhooks in fal\'s form',
      description: 'A JSON Web Key Set (RFC 7517) of Ed25519 keys, as at `https://rest.fal.ai/.well-known/jwks.json`, with the keys of this gateway. Empty where none are signed.',
      response: { 200: Type.Unsafe<unknown>({ description: 'The keys.', content: { 'application/json': { schema: Type.Ref('FalWebhookKeys') } } }) }
    }
  }, async (_request, reply) => reply.header('cache-control', `public, max-age=${MAX_AGE_S}`).type('application/json').send(JSON.stringify({ keys: publicKeys() })))
}
