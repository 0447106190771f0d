// What is sent is signed so that published verifiers of Standard Webhooks take it, and so that a receiver that does what fal's documentation says takes it.

import { createPublicKey, generateKeyPairSync, hash, verify } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { parseWebhookSecrets } from '../../src/tenants/webhooks.ts'
import { falSignatureHeaders, parseSigningKeys, type PublicJwk, type SigningKey } from '../../src/webhooks/fal-signature.ts'
import { standardHeaders } from '../../src/webhooks/standard.ts'

const OLD = `whsec_${Buffer.alloc(32, 'old').toString('base64')}`
const NEW = `whsec_${Buffer.alloc(24, 'new').toString('base64')}`
const body = Buffer.from('{"type":"generation.succeeded","data":{"seed":"123456789012345678901234567890","prompt":"Möwe"}}')

function secretsIn (text: string): readonly Buffer[] {
  const read = parseWebhookSecrets(text)
  if (!read.ok) throw new Error(read.fault)
  return read.secrets
}

t.test('the published verifier takes what is signed, with each of a tenant\'s secrets, and takes nothing else', async t => {
  const headers = standardHeaders({ id: 'hook_1_1', atMs: Date.now(), body }, secretsIn(`${NEW}\n${OLD}\n`))
  t.match(headers['webhook-signature'], /^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/)
  for (const secret of [OLD, NEW]) t.same(new Webhook(secret).verify(body, headers), JSON.parse(body.toString()))
  const stranger = new Webhook(`whsec_${Buffer.alloc(32, 'other').toString('base64')}`)
  t.throws(() => stranger.verify(body, headers), 'another secret')
  t.throws(() => new Webhook(NEW).verify(body.toString().replace('succeeded', 'failed'), headers), 'another body')
  t.throws(() => new Webhook(NEW).verify(body, { ...headers, 'webhook-id': 'hook_1_2' }), 'another id')
  t.throws(() => new Webhook(NEW).verify(body, standardHeaders({ id: 'hook_1_1', atMs: Date.now() - 600_000, body }, secretsIn(NEW))), 'an old one')
})

t.test('a file of secrets holds them as the standard writes them, and a faulty one is told without what it holds', async t => {
  t.same(secretsIn(`\n  ${NEW}\r\n\n${OLD}`), [Buffer.alloc(24, 'new'), Buffer.alloc(32, 'old')])
  for (const text of ['', 'whsec_', 'whsec_c2hvcnQ=', OLD.slice(6), `${OLD} ${NEW}`, OLD.replace('=', '!'), `whsec_${Buffer.alloc(65).toString('base64')}`, Array.from({ length: 9 }, () => OLD).join('\n')]) {
    const read = parseWebhookSecrets(text)
    t.match(read, { ok: false, fault: /^the file has to hold 1 to 8 lines of whsec_/ }, text)
    t.notOk(JSON.stringify(read).includes('b2xkb2xk'))
  }
})

function pem (): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function keysIn (text: string): readonly SigningKey[] {
  const keys = parseSigningKeys(text)
  if (keys === null) throw new Error('no keys')
  return keys
}

/** The check as fal's documentation tells it: 300 seconds, the message of four lines, any key of the set. */
function isTaken (headers: Readonly<Record<string, string>>, raw: Buffer, keys: readonly PublicJwk[], nowS = Date.now() / 1000): boolean {
  const named = ['request-id', 'user-id', 'timestamp', 'signature'].map(name => headers[`x-fal-webhook-${name}`])
  const [requestId, userId, timestamp, signature = ''] = named
  if (named.includes(undefined) || Math.abs(nowS - Number(timestamp)) > 300) return false
  const message = Buffer.from([requestId, userId, timestamp, hash('sha256', raw, 'hex')].join('\n'), 'utf8')
  return keys.some(({ kty, crv, x }) => verify(null, message, createPublicKey({ key: { kty, crv, x }, format: 'jwk' }), Buffer.from(signature, 'hex')))
}

t.test('fal\'s documented check takes what is signed in fal\'s form, with the set of keys before and after a rotation', async t => {
  const [before, after] = [pem(), pem()]
  const message = { requestId: '01890000-0000-7000-8000-000000000000', userId: 'studio', atMs: Date.now(), body }
  const [old] = keysIn(before)
  const both = keysIn(`${after}\n${before}`)
  const [first] = both
  if (old === undefined || first === undefined) throw new Error('no key')
  const shown = both.map(({ jwk }) => jwk)
  for (const key of [old, first]) t.ok(isTaken(falSignatureHeaders(message, key), body, shown))
  const headers = falSignatureHeaders(message, first)
  t.match(headers, { 'x-fal-webhook-request-id': message.requestId, 'x-fal-webhook-user-id': 'studio', 'x-fal-webhook-timestamp': /^\d{10}$/, 'x-fal-webhook-signature': /^[0-9a-f]{128}$/ })
  t.notOk(isTaken(headers, body, [old.jwk]), 'another key')
  t.notOk(isTaken(headers, Buffer.concat([body, body]), shown), 'another body')
  t.notOk(isTaken({ ...headers, 'x-fal-webhook-user-id': 'press' }, body, shown), 'another tenant')
  t.notOk(isTaken(headers, body, shown, Date.now() / 1000 + 301), 'an old one')
})

t.test('a set of keys shows their public part alone, and what is no Ed25519 key is none', async t => {
  const text = pem()
  const [key] = keysIn(`the key of the gateway\n${text}`)
  t.match(key?.jwk, { kty: 'OKP', crv: 'Ed25519', x: /^[\w-]{43}$/, kid: /^[\w-]{43}$/ })
  t.same(Object.keys(key?.jwk ?? {}).toSorted(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const open = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
  for (const none of ['', 'key', rsa, open, text + rsa, text.replace(/^M/m, 'A'), Array.from({ length: 9 }, pem).join('')]) t.equal(parseSigningKeys(none), null)
})
