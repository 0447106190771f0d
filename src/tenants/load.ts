// What stands in files at a start: the tenants and the central key.

import { readFile } from 'node:fs/promises'
import { parseFalKey, type Config, type FalAccess } from '../config.ts'
import { mistakeIn } from '../environment.ts'
import type { ModelBook } from '../models/models.ts'
import { demoTenants, faultsBesideModels, parseTenants, type TenantBook } from './book.ts'

/** The tenants of the configured file, or the demo tenant. `models`: what is on offer; `isReal`: for a real fal key. Faults name the variable and the place in the file. */
export async function loadTenants (config: { readonly tenantsFile: Config['tenantsFile'], readonly models: ModelBook, readonly isReal: boolean }): Promise<{ readonly ok: true, readonly book: TenantBook } | { readonly ok: false, readonly faults: readonly string[] }> {
  if (config.tenantsFile === null) return { ok: true, book: demoTenants(config.models) }
  const content = await contentOf(config.tenantsFile)
  if (!content.ok) return content
  const read = parseTenants(content.text, config)
  return read.ok ? read : { ok: false, faults: read.faults.map(named) }
}

/** The faults that the configured file has whichever models are on offer, where that cannot be told. */
export async function faultsOfTenants ({ tenantsFile, isReal }: { readonly tenantsFile: Config['tenantsFile'], readonly isReal: boolean }): Promise<readonly string[]> {
  if (tenantsFile === null) return []
  const content = await contentOf(tenantsFile)
  return content.ok ? faultsBesideModels(content.text, { isReal }).map(named) : content.faults
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

/** The central key as it is now: `null` for the sandbox. Called again when a key file may have changed. */
export async function loadFalKey (fal: FalAccess): Promise<{ readonly ok: true, readonly key: string | null } | { readonly ok: false, readonly fault: string }> {
  if (fal.kind === 'sandbox') return { ok: true, key: null }
  if (fal.kind === 'key') return { ok: true, key: fal.key() }
  let text: string
  try {
    text = await readFile(fal.file, 'utf8')
  } catch (error) {
    return { ok: false, fault: `FAL_KEY_FILE: ${describeReadError(error)}` }
  }
  const mistake = mistakeIn('FAL_KEY', text.trim())
  if (mistake !== null) return { ok: false, fault: `FAL_KEY_FILE: its content ${mistake}` }
  const key = parseFalKey(text)
  if (key === null) return { ok: false, fault: 'FAL_KEY_FILE: the file does not hold a key' }
  if (key === 'sandbox') return { ok: false, fault: 'FAL_KEY_FILE: the file holds the word sandbox; use FAL_KEY=sandbox' }
  return { ok: true, key }
}

/** What is wrong when a file cannot be read, by its error code: the message would repeat the path. */
export function describeReadError (error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  return `the file cannot be read (${code})`
}
