// How a compact ledger keeps the fields of a row: several short ones in one text. Redis keeps a hash of few and short fields without a table of them, in a third of the memory,
// and a script reads few fields sooner than many. The other way is in `lua/folds.lua`.

import { unreadable } from '../../generation/fields.ts'
import type { hiddenFields, rowFields } from '../../generation/generation.ts'
import type { Image } from '../moving/entry.ts'

type Name = keyof typeof rowFields | keyof typeof hiddenFields

/**
 * Under a short name of its own each, and in this order, as MessagePack, which scripts read sooner than a text that they would have to cut up: where it stands, what it was admitted
 * with, and until when what holds. Their texts are digits and words; one that is not there is nil. Nothing may be taken out of them or put elsewhere, only added behind.
 */
export const folds = {
  s: ['phase', 'version', 'attempt', 'cancelWished', 'queuePosition', 'startedAtMs', 'doubtSinceMs', 'logged', 'finishedAtMs', 'cost', 'delivered', 'joinsTwins'],
  p: ['price', 'unitPrice', 'files', 'mode', 'keyless', 'callerRetry', 'priority', 'createdAtMs', 'number'],
  u: ['waitUntilMs', 'runUntilMs', 'startUntilMs', 'keyedUntilMs']
} as const satisfies Readonly<Record<string, readonly Name[]>>

/** What is asked of many rows at once stands first behind `s`: Redis looks for a field from there on. */
export const firstFields: readonly Name[] = ['leaseUntilMs', 'owner', 'upstream', 'connection']

/** What few rows have. */
export const rareFields: readonly Name[] = ['takeovers', 'joined', 'large', 'media', 'failure', 'costAssumed', 'corrected', 'token', 'doubt', 'answersUntilMs', 'waitsSinceMs', 'learnedName', 'retryAtMs', 'unknownSinceMs', 'askAtMs', 'questions', 'filesAtMs', 'hooks', 'linksDead', 'settled', 'doubles', 'clashes']

/** The fields of a hash as texts; of a row of a compact ledger a text for each of its fields. */
export function unfolded (hash: Readonly<Record<string, Buffer>>): Image {
  const found: Record<string, string> = {}
  const isFolded = hash['s'] !== undefined
  for (const [name, bytes] of Object.entries(hash)) {
    const names = isFolded ? namesIn(name) : undefined
    if (names === undefined) found[name] = bytes.toString()
    else for (const [place, text] of textsIn(bytes).entries()) if (text !== null) found[names[place] ?? ''] = text
  }
  return isFolded ? { subject: '', ...found, accounts: unfoldedAccounts(found['tenant'] ?? '', found['accounts'] ?? '[]') } : found
}

function namesIn (name: string): readonly string[] | undefined {
  return Object.entries<readonly string[]>(folds).find(([fold]) => fold === name)?.[1]
}

const NIL = 0xc0
const STR_8 = 0xd9
/** A short string has its length in its first byte, beside these bits. */
const FIX_STR = 0xa0
const FIX_STR_BYTES = 0x1f

/** Strings and nils of MessagePack, one after the other: no field of these is longer than 255 bytes. */
function textsIn (bytes: Buffer): readonly (string | null)[] {
  const texts: (string | null)[] = []
  for (let at = 0; at < bytes.length;) {
    const kind = bytes.readUInt8(at)
    if (kind === NIL) {
      texts.push(null)
      at += 1
      continue
    }
    const isShort = (kind & ~FIX_STR_BYTES) === FIX_STR
    if (!isShort && kind !== STR_8) throw unreadable('a short text', kind)
    const from = isShort ? at + 1 : at + 2
    at = from + (isShort ? kind & FIX_STR_BYTES : bytes.readUInt8(at + 1))
    texts.push(bytes.toString('utf8', from, at))
  }
  return texts
}

function unfoldedAccounts (tenant: string, kept: string): string {
  if (kept.startsWith('[')) return kept
  return JSON.stringify(kept.split(' ').map(word => {
    const at = word.lastIndexOf(':')
    return { owner: at === 0 ? tenant : word.slice(0, at), period: word.slice(at + 1) }
  }))
}
