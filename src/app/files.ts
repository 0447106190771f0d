// Files with certificates and passwords: read at the start, and again when they change or somebody asks.

import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import type { Config, RedisAccess } from '../config.ts'
import { describeReadError } from '../tenants/load.ts'
import { looksOf, watch, type Look, type Watched } from '../watched.ts'

/** What was read, or what is wrong, each fault with its setting and nothing of what the files hold. */
export type FilesRead<Value> = { readonly ok: true, readonly value: Value } | { readonly ok: false, readonly faults: readonly string[] }

/** A certificate chain and its key, as PEM. */
export interface CertificatePair { readonly cert: Buffer, readonly key: Buffer }

/** How Redis is reached: its address with the password, and who vouches for its certificate (PEM), where that is not said by the system. */
export interface RedisReach { readonly url: string, readonly ca: string | null }

/** The certificate that callers are shown; `null`: they are not shown any. */
export async function readCertificate (tls: Config['tls']): Promise<FilesRead<CertificatePair | null>> {
  if (tls === null) return { ok: true, value: null }
  const [cert, key] = await Promise.allSettled([readFile(tls.certFile), readFile(tls.keyFile)])
  if (cert.status === 'fulfilled' && key.status === 'fulfilled') {
    const pair = { cert: cert.value, key: key.value }
    return isUsable(pair) ? { ok: true, value: pair } : { ok: false, faults: ['TLS_CERT_FILE, TLS_KEY_FILE: the files do not hold a certificate and its key'] }
  }
  return {
    ok: false,
    faults: [
      ...(cert.status === 'rejected' ? [`TLS_CERT_FILE: ${describeReadError(cert.reason)}`] : []),
      ...(key.status === 'rejected' ? [`TLS_KEY_FILE: ${describeReadError(key.reason)}`] : [])
    ]
  }
}

/** How the Redis of the settings is reached; `null`: there is none. */
export async function readRedisReach (redis: RedisAccess | null): Promise<FilesRead<RedisReach | null>> {
  if (redis === null) return { ok: true, value: null }
  const url = new URL(redis.url())
  const faults: string[] = []
  let ca: string | null = null
  if (redis.passwordFile !== null) {
    try {
      // Whatever stands in the file, a URL can hold it only encoded.
      url.password = encodeURIComponent((await readFile(redis.passwordFile, 'utf8')).trim())
      if (url.password === '') faults.push('REDIS_PASSWORD_FILE: the file is empty')
    } catch (error) {
      faults.push(`REDIS_PASSWORD_FILE: ${describeReadError(error)}`)
    }
  }
  if (redis.caFile !== null) {
    try {
      ca = await readFile(redis.caFile, 'utf8')
      if (!ca.includes('BEGIN CERTIFICATE') || !isUsable({ ca })) faults.push('REDIS_CA_FILE: the file does not hold a certificate (PEM)')
    } catch (error) {
      faults.push(`REDIS_CA_FILE: ${describeReadError(error)}`)
    }
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, value: { url: redis.passwordFile === null ? redis.url() : url.href, ca } }
}

function isUsable (context: Partial<CertificatePair> & { readonly ca?: string }): boolean {
  try {
    createSecureContext(context)
    return true
  } catch {
    // What OpenSSL says is about its own insides.
    return false
  }
}

/** What stands in files, followed while the process runs. */
export interface FilesInForce {
  /** Follows the files from now on. */
  readonly start: () => void
  /** Nothing changes any more. Twice is harmless. */
  readonly stop: () => void
  /** Reads them again. What is faulty is logged, and the old stays in force. Never rejects. */
  readonly reload: () => Promise<void>
}

/** Files that are followed. */
export interface FilesOptions<Value> {
  /** What they are, for the log: `certificate`. */
  readonly what: string
  readonly files: readonly (string | null)[]
  readonly read: () => Promise<FilesRead<Value>>
  /** Puts it in force. Must not throw. */
  readonly take: (value: Value) => void
  readonly log: Pick<Logger, 'info' | 'error'>
}

/** Files that are not named are not followed. What they hold at the start is in force already. */
export function followFiles<Value> ({ what, files, read, take, log }: FilesOptions<Value>): FilesInForce {
  const named = files.filter(file => file !== null)
  let watched: Watched | null = null
  let seen: string | null = null

  async function look (isAsked: boolean): Promise<Look> {
    const looks = await Promise.all(named.map(async file => (await looksOf(file)).looks)).then(all => all.join('\n'), () => 'unreadable')
    const isFirst = seen === null
    if (looks === seen && !isAsked) return { kind: 'unchanged' }
    seen = looks
    if (isFirst && !isAsked) return { kind: 'in-force' }
    const found = await read()
    if (!found.ok) return { kind: 'refused', what: `${looks} ${found.faults.join()}`, faults: found.faults }
    return {
      kind: 'new',
      take: () => {
        take(found.value)
        log.info(`${what} read again`)
      }
    }
  }

  return {
    start: () => {
      if (named.length === 0) return
      watched = watch({ look, onRefused: faults => { log.error({ faults }, `${what} refused, the old one stays in force`) } })
      watched.look(false)
    },
    stop: () => { watched?.close() },
    reload: async () => { await watched?.look(true) }
  }
}
