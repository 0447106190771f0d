// Browser tokens in tests: given out at a gateway's door, and used there.

import { hash } from 'node:crypto'
import { key } from './gateway.ts'

/** A page's origin, for tenants that list one. */
export const PAGE = 'https://studio.example'

/** An answer, read to its end; `body` is empty where it has none. */
export interface Answer { readonly status: number, readonly body: Readonly<Record<string, unknown>> }

/** A key or token asks a gateway. */
export async function ask ({ url }: { readonly url: string }, method: string, path: string, credential: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${credential}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
}

/** Gives out a token for three pictures, of studio's unless another key asks. */
export async function give (gateway: { readonly url: string }, wish: Readonly<Record<string, unknown>> = {}, from = key('studio')): Promise<{ readonly token: string, readonly id: string }> {
  const { status, body } = await ask(gateway, 'POST', '/tokens', from, { pictures: 3, ...wish })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return { token: String(body['token']), id: String(body['id']) }
}

/** `402 token-exhausted`: how a call with these was answered, in short. */
export async function codeOf (answer: Promise<Answer>): Promise<string> {
  const { status, body } = await answer
  return 'code' in body ? `${status} ${String(body['code'])}` : String(status)
}

/** A key of a tenants file, whose secret is made of its id as `key` of `gateway.ts` makes it. */
export function keyEntry (id: string, options: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { id, sha256: hash('sha256', `secret-of-${id}`), ...options }
}
