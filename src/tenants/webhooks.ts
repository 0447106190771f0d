// Where a tenant may have webhooks sent, and the secrets that they are signed with: how the tenants file writes both.

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

/** A host that a tenant lists. `port`: as `URL` has it, `''` for that of https. */
export interface WebhookHost {
  /** Without a `*.` in front. */
  readonly name: string
  readonly port: string
  /** It stands for every name below this one, and not for that itself. */
  readonly isBelow: boolean
}

/** How a webhook is sent: `public`: over TLS, to addresses that everybody can reach; `here`: to this machine, in a trial. */
export type WayOfWebhook = 'public' | 'here'

/** Where the secrets of a tenant stand. `published`: those of the demo tenant, which everybody has. */
export type WebhookSecretsAt = { readonly kind: 'file', readonly file: string } | { readonly kind: 'published', readonly secrets: readonly Buffer[] }

/** What a tenant may do with webhooks. */
export interface WebhookRights {
  readonly hosts: readonly WebhookHost[]
  /** `null`: it has no secret, so that nothing can be signed for it by the standard. */
  readonly secrets: WebhookSecretsAt | null
}

/** This machine, as addresses name it. */
const HERE = new Set(['localhost', '127.0.0.1', '[::1]'])

const HOST_AND_PORT = /^(\*\.)?(\[::1\]|[a-z0-9.-]{1,240})(?::(\d{1,5}))?$/
const NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

/** Completes "expected …". */
export const WEBHOOK_HOST_RULE = 'a host name in small letters, such as hooks.example, *.hooks.example for all below it, or hooks.example:8443'

/** A host as the tenants file writes it. `here` needs a port, and is for trials. `null`: it is no host. */
export function parseWebhookHost (text: string): WebhookHost | null {
  const [, below, name = '', port] = HOST_AND_PORT.exec(text) ?? []
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535 || port.startsWith('0'))) return null
  if (HERE.has(name)) return below === undefined && port !== undefined ? { name, port, isBelow: false } : null
  if (isIP(name) !== 0 || /^[\d.]+$/.test(name) || !NAME.test(name) || name.endsWith('.localhost')) return null
  return { name, port: port === undefined || port === '443' ? '' : port, isBelow: below !== undefined }
}

/** Is it this machine, which only a trial may call? */
export function isHere ({ name }: WebhookHost): boolean {
  return HERE.has(name)
}

/** How a webhook to this address is sent; `null`: no host on the list allows it. */
export function wayOf (address: URL, hosts: readonly WebhookHost[]): WayOfWebhook | null {
  const { protocol, hostname, port } = address
  const listed = hosts.find(host => host.port === port && (host.isBelow ? !hostname.startsWith('.') && hostname.endsWith(`.${host.name}`) : hostname === host.name))
  if (listed === undefined) return null
  if (isHere(listed)) return protocol === 'http:' ? 'here' : null
  return protocol === 'https:' ? 'public' : null
}

const SECRET = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/
const MIN_SECRET_BYTES = 24
const MAX_SECRET_BYTES = 64
/** The old one, the new one, and a few more. */
const MAX_SECRETS = 8

export type SecretsRead = { readonly ok: true, readonly secrets: readonly Buffer[] } | { readonly ok: false, readonly fault: string }

/** Secrets as Standard Webhooks writes them, one a line. Each signs, so that receivers may change from one to another. */
export function parseWebhookSecrets (text: string): SecretsRead {
  const secrets = text.split('\n').map(line => line.trim()).filter(line => line !== '').map(line => Buffer.from(SECRET.exec(line)?.[1] ?? '', 'base64'))
  const isSound = secrets.length > 0 && secrets.length <= MAX_SECRETS && secrets.every(({ length }) => length >= MIN_SECRET_BYTES && length <= MAX_SECRET_BYTES)
  return isSound ? { ok: true, secrets } : { ok: false, fault: `the file has to hold 1 to ${MAX_SECRETS} lines of whsec_ and the base64 of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} random bytes, such as \`echo whsec_$(openssl rand -base64 32)\` makes it` }
}

/** The secrets in a file. Never rejects: a fault is a sentence, without what the file holds. */
export async function readWebhookSecrets (file: string): Promise<SecretsRead> {
  try {
    return parseWebhookSecrets(await readFile(file, 'utf8'))
  } catch (error) {
    return { ok: false, fault: `the file cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'})` }
  }
}
