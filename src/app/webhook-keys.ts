// The keys that webhooks of fal's form are signed with.

import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Config } from '../config.ts'
import { describeReadError } from '../tenants/load.ts'
import { parseSigningKeys, signingKeyOf, type SigningKey } from '../webhooks/fal-signature.ts'
import type { FilesRead } from './files.ts'

/** The keys in a file, the one that signs first; none where there is no file. */
export async function readSigningKeys (file: string | null): Promise<FilesRead<readonly SigningKey[]>> {
  if (file === null) return { ok: true, value: [] }
  try {
    const keys = parseSigningKeys(await readFile(file, 'utf8'))
    return keys === null ? { ok: false, faults: ['WEBHOOK_KEY_FILE: the file has to hold 1 to 8 Ed25519 private keys (PEM), such as `openssl genpkey -algorithm ed25519` makes them'] } : { ok: true, value: keys }
  } catch (error) {
    return { ok: false, faults: [`WEBHOOK_KEY_FILE: ${describeReadError(error)}`] }
  }
}

/** What signs where no file says so: in a trial a key that is made now. Several replicas would not have the same one. */
export function trialKeys ({ fal, redis }: Pick<Config, 'fal' | 'redis'>): readonly SigningKey[] {
  const key = fal.kind === 'sandbox' && redis === null ? signingKeyOf(generateKeyPairSync('ed25519').privateKey) : null
  return key === null ? [] : [key]
}
