// A file that stands whole in its address (`data:`).

/** What an address holds. `refused`: it is none, holds nothing, or too much; `why` is a word for logs. */
export type Unpacked =
  | { readonly kind: 'unpacked', readonly bytes: Buffer, readonly declaredType: string | null }
  | { readonly kind: 'refused', readonly why: 'data' | 'too-long' }

/** Never rejects. */
export async function unpack (address: URL, maxBytes: number): Promise<Unpacked> {
  const answer = await fetch(address).catch(() => null) // it is no data address
  if (answer === null) return { kind: 'refused', why: 'data' }
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (bytes.length === 0 || bytes.length > maxBytes) return { kind: 'refused', why: bytes.length === 0 ? 'data' : 'too-long' }
  return { kind: 'unpacked', bytes, declaredType: answer.headers.get('content-type') }
}
