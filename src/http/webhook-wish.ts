// Whom a caller wants to be told when its generation has ended: read and checked before anything is bought.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { HookForm } from '../generation/hook.ts'
import type { CallOptions } from '../generation/request/call.ts'
import { isHere, wayOf } from '../tenants/webhooks.ts'
import type { BaseUrl } from './base-url.ts'
import type { HeaderOptions } from './call-options.ts'
import { requestHeaders } from './headers.ts'
import { callerOf } from './request-facts.ts'

export interface WebhookDeps {
  readonly baseUrl: BaseUrl
  /** The public keys of what signs webhooks of fal's form; none: nothing does. */
  readonly publicKeys: () => readonly object[]
}

const MAX_CHARACTERS = 2048

/** What a door calls the wish, and the problem that one of another form is. */
const doors = {
  native: { name: 'Falgate-Webhook', code: 'bad-header' },
  fal: { name: 'fal_webhook', code: 'bad-query' }
} as const satisfies Record<HookForm, unknown>

/** The options of a native call with the webhook that its header wishes for, if there is one. Throws `bad-header` and `not-allowed`. */
export function withHeaderHook (request: FastifyRequest, options: HeaderOptions, deps: WebhookDeps): HeaderOptions {
  const wish = request.headers[requestHeaders.webhook]
  return wish === undefined ? options : withHook(request, options, wish, 'native', deps)
}

/** The same of a submit to fal's queue, with the value of its query. Throws `bad-query` and `not-allowed`. */
export function withFalHook (request: FastifyRequest, options: HeaderOptions, wish: unknown, deps: WebhookDeps): HeaderOptions {
  return wish === undefined ? options : withHook(request, options, wish, 'fal', deps)
}

function withHook (request: FastifyRequest, options: HeaderOptions, wish: unknown, form: HookForm, deps: WebhookDeps): HeaderOptions {
  if (options.mode === 'only') throw new Problem(doors[form].code, { detail: `${doors[form].name} and Falgate-Cache: only do not go together: what is stored is answered at once, and nothing is asked for.` })
  return { ...options, hook: { url: addressIn(request, wish, form, deps), form, base: deps.baseUrl(request) }, needsId: true }
}

function addressIn (request: FastifyRequest, wish: unknown, form: HookForm, { publicKeys }: WebhookDeps): NonNullable<CallOptions['hook']>['url'] {
  const { name, code } = doors[form]
  const { tenant: { webhooks: { hosts, secrets } }, token } = callerOf(request)
  if (token !== null) throw new Problem('not-allowed', { detail: `${name} is not for browser tokens; it takes a key of the tenant.` })
  if (typeof wish !== 'string' || wish.length > MAX_CHARACTERS || !/^[^\s\p{Cc}]+$/u.test(wish) || !URL.canParse(wish)) throw new Problem(code, { detail: `${name} is one address of at most ${MAX_CHARACTERS} characters that begins with https://.` })
  const address = new URL(wish)
  address.hash = ''
  if (address.username !== '' || address.password !== '') throw new Problem(code, { detail: `${name} may not have a user or a password. What tells your receiver who sends is the signature.` })
  const way = wayOf(address, hosts)
  if (way === null && address.protocol !== 'https:') throw new Problem(code, { detail: `${name} has to begin with https://${hosts.some(isHere) ? ', or be one of the addresses of this machine that the tenant lists' : ''}.` })
  if (way === null) throw new Problem('not-allowed', { detail: `The tenant of this key may not have ${JSON.stringify(address.host.slice(0, 300))} called: its operator lists hosts in \`webhooks\` of the tenants file, each by its name, and with its port where that is not 443.` })
  if (form === 'native' && secrets === null) throw new Problem('not-allowed', { detail: 'The tenant of this key has no secret that a webhook could be signed with: its operator names a `webhookSecretFile` in the tenants file.' })
  if (form === 'fal' && publicKeys().length === 0) throw new Problem('not-allowed', { detail: 'The gateway has no key that a webhook of this form could be signed with: its operator sets WEBHOOK_KEY_FILE.' })
  return address.href
}
