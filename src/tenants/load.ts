// What stands in files at a start: the tenants and the central keys.

import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Config } from '../config.ts'
import { parseFalKeys, type FalKey } from '../fal-keys.ts'
import type { ModelBook } from '../models/models.ts'
import { demoTenants, faultsBesideModels, parseTenants, type TenantBook } from './book.ts'
import { readTenantsFile } from './file.ts'
import { readWebhookSecrets } from './webhooks.ts'

/** The tenants of the configured file, or the demo tenant. `models`: what is on offer; `isReal`: for a real fal key. Faults name the variable and the place in the file. */
export async function loadTenants (config: { readonly tenantsFile: Config['tenantsFile'], readonly models: ModelBook, readonly isReal: boolean }): Promise<{ readonly ok: true, readonly book: TenantBook } | { readonly ok: false, readonly faults: readonly string[] }> {
  if (config.tenantsFile === null) return { ok: true, book: demoTenants(config.models) }
  const content = await contentOf(config.tenantsFile)
  if (!content.ok) return content
  const folder = dirname(config.tenantsFile)
  const read = parseTenants(content.text, { ...config, folder })
  const faults = read.ok ? await faultsOfSecretFiles(content.text, folder) : read.faults
  return read.ok && faults.length === 0 ? read : { ok: false, faults: faults.map(named) }
}

/** The faults that the configured file has whichever models are on offer, where that cannot be told. */
export async function faultsOfTenants ({ tenantsFile, isReal }: { readonly tenantsFile: Config['tenantsFile'], readonly isReal: boolean }): Promise<readonly string[]> {
  if (tenantsFile === null) return []
  const content = await contentOf(tenantsFile)
  return content.ok ? [...faultsBesideModels(content.text, { isReal }), ...await faultsOfSecretFiles(content.text, dirname(tenantsFile))].map(named) : content.faults
}

/** What is wrong with the files of secrets that a tenants file names; each fault with its JSON pointer. */
export async function faultsOfSecretFiles (text: string, folder: string): Promise<readonly string[]> {
  const read = readTenantsFile(text)
  if (!read.ok) return []
  const faults: string[] = []
  for (const [index, { webhookSecretFile }] of read.file.tenants.entries()) {
    const secrets = webhookSecretFile === undefined ? null : await readWebhookSecrets(resolve(folder, webhookSecretFile))
    if (secrets?.ok === false) faults.push(`/tenants/${index}/webhookSecretFile: ${secrets.fault}`)
  }
  return faults
}

async function contentOf (file: string): Promise<{ readonly ok: true, readonly text: string } | { readonly ok: false, readonly faults: readonly string[] }> {
  try {
    return { ok: true, text: await readFile(file, 'utf8') }
  } catch (error) {
    return { ok: false, faults: [named(describeReadError(error))] }
  }
}

function named (fault: string): string {
  return `TENANTS_FILE: ${fault}`
}

/** The central keys as they are now: `null` for the sandbox. Called again when a key file may have changed. */
export async function loadFalKeys ({ fal, account }: Pick<Config, 'fal' | 'account'>): Promise<{ readonly ok: true, readonly keys: readonly FalKey[] | null } | { readonly ok: false, readonly faults: readonly string[] }> {
  if (fal.kind === 'sandbox') return { ok: true, keys: null }
  if (fal.kind === 'key') return { ok: true, keys: [{ name: account.name, key: fal.key(), slots: null }] }
  let text: string
  try {
    text = await readFile(fal.file, 'utf8')
  } catch (error) {
    return { ok: false, faults: [`FAL_KEY_FILE: ${describeReadError(error)}`] }
  }
  const read = parseFalKeys(text, account.name)
  return read.ok ? read : { ok: false, faults: read.faults.map(fault => `FAL_KEY_FILE: ${fault}`) }
}

/** What is wrong when a file cannot be read, by its error code: the message would repeat the path. */
export function describeReadError (error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  return `the file cannot be read (${code})`
}
