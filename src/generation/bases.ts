// Addresses in outputs that are made for who asks: where their base stands is noted once, when a generation ends (see `served-output.ts`).

import { integerOf, textOf } from './fields.ts'

/** Where the base of such addresses stands in an output, in bytes of its UTF-8: it is the same text everywhere, so that it has one length. */
export interface Bases { readonly bytes: number, readonly at: readonly number[] }

/** As `<bytes> <at> <at> …`. */
export const bases = {
  kind: 'text',
  read: (kept: string | undefined): Bases => {
    const [bytes, ...at] = textOf(kept).split(' ')
    return { bytes: integerOf(bytes), at: at.map(integerOf) }
  },
  write: ({ bytes, at }: Bases): string => [bytes, ...at].join(' ')
} as const

/** Where these addresses stand in an output, as far as they begin with `base` and are written as they are. Null: nowhere. */
export function basesIn (output: string, addresses: readonly string[], base: string): Bases | null {
  const wanted = new Set(addresses.filter(address => address.startsWith(`${base}/`)).map(address => `"${address}"`))
  const at: number[] = []
  let bytes = 0
  let seen = 0
  for (let quote = output.indexOf(`"${base}/`); wanted.size > 0 && quote !== -1; quote = output.indexOf(`"${base}/`, quote + 1)) {
    const text = output.slice(quote, output.indexOf('"', quote + 1) + 1)
    // A quote inside a text is escaped, so that no text looks like the beginning of another one.
    if (output[quote - 1] === '\\' || !wanted.has(text)) continue
    bytes += Buffer.byteLength(output.slice(seen, quote + 1))
    seen = quote + 1
    at.push(bytes)
  }
  return at.length === 0 ? null : { bytes: Buffer.byteLength(base), at }
}
