// An output as a caller is sent it: with the base of the gateway in the addresses that it makes, and links to stored files in the place of fal's addresses.

import type { Generation } from './generation.ts'

/** What is put into the outputs of one caller. */
export interface Addresses {
  /** The base of files that the gateway makes itself; `null`: it makes none. */
  readonly base: string | null
  /** The address of a stored file; `null`: it stores none. */
  readonly linkOf: ((file: string) => string) | null
  /** Two callers with the same text here are sent the same. */
  readonly stamp: string
}

/** What is noted of an output. */
export type Noted = Pick<Generation, 'bases' | 'media'>

interface Replacement { readonly at: number, readonly bytes: number, readonly by: string }

/** The last text that each output was sent as: nearly all callers reach the gateway in the same way. */
const lastSent = new WeakMap<Buffer, { readonly stamp: string, readonly sent: Buffer }>()

/** An output as this caller is sent it. What was noted and nobody can replace stays as it is. */
export function servedOutput (output: string | Buffer, noted: Noted, addresses: Addresses): string | Buffer {
  const replacements = replacementsIn(noted, addresses)
  if (replacements.length === 0) return output
  if (typeof output === 'string') return joined(Buffer.from(output), replacements).toString()
  const known = lastSent.get(output)
  if (known?.stamp === addresses.stamp) return known.sent
  const sent = joined(output, replacements)
  lastSent.set(output, { stamp: addresses.stamp, sent })
  return sent
}

function replacementsIn ({ bases, media }: Noted, { base, linkOf }: Addresses): readonly Replacement[] {
  const links = linkOf === null ? [] : (media ?? []).flatMap(({ at, bytes, file }) => file === null ? [] : [{ at, bytes, by: linkOf(file) }])
  // An address of ours whose file is stored has a link.
  const linked = new Set(links.map(({ at }) => at))
  const own = bases === null || base === null ? [] : bases.at.filter(at => !linked.has(at)).map(at => ({ at, bytes: bases.bytes, by: base }))
  return own.length === 0 ? links : [...links, ...own].sort((one, other) => one.at - other.at)
}

function joined (output: Buffer, replacements: readonly Replacement[]): Buffer {
  const parts: Buffer[] = []
  let from = 0
  for (const { at, bytes, by } of replacements) {
    // What callers say of their address is any text.
    parts.push(output.subarray(from, at), Buffer.from(JSON.stringify(by).slice(1, -1)))
    from = at + bytes
  }
  return Buffer.concat([...parts, output.subarray(from)])
}
