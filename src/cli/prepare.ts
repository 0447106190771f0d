// Everything that has to be sound before a start, so that all faults are told at once.

import { parseConfig, type Config } from '../config.ts'
import type { TenantBook } from '../tenants.ts'
import { loadFalKey, loadTenants, describeReadError } from '../tenants/load.ts'
import { access, constants } from 'node:fs/promises'

/** A configuration with the files it names. */
export interface Prepared { readonly config: Config, readonly tenants: TenantBook, readonly falKey: string | null }

/** Reads the environment and its files; nothing is started. */
export async function prepare (env: Readonly<Record<string, string | undefined>>): Promise<{ readonly ok: true, readonly prepared: Prepared } | { readonly ok: false, readonly faults: readonly string[] }> {
  const parsed = parseConfig(env)
  if (!parsed.ok) return parsed
  const { config } = parsed
  const [tenants, falKey, tlsFaults] = await Promise.all([loadTenants(config), loadFalKey(config.fal), unreadableTlsFiles(config)])
  if (tenants.ok && falKey.ok && tlsFaults.length === 0) return { ok: true, prepared: { config, tenants: tenants.book, falKey: falKey.key } }
  return { ok: false, faults: [...(tenants.ok ? [] : tenants.faults), ...(falKey.ok ? [] : [falKey.fault]), ...tlsFaults] }
}

async function unreadableTlsFiles ({ tls }: Config): Promise<readonly string[]> {
  if (tls === null) return []
  const faults = await Promise.all([faultOfReading('TLS_CERT_FILE', tls.certFile), faultOfReading('TLS_KEY_FILE', tls.keyFile)])
  return faults.filter(fault => fault !== null)
}

async function faultOfReading (variable: string, file: string): Promise<string | null> {
  return await access(file, constants.R_OK).then(() => null, (error: unknown) => `${variable}: ${describeReadError(error)}`)
}
