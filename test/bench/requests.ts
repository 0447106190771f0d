// What contestants are asked: raw requests, in which {n…} stands for a number that counts up, so that each request may be a new one.

/** The tenants of the benchmark: `tenant1000000000`, `tenant1000000001`, … */
export function tenantId (index: number): string {
  return 'tenant' + String(FIRST + index)
}

export function secretOf (tenantId: string): string {
  return 'secret-of-' + tenantId
}

/** Numbers of a fixed width keep a request's length. */
const FIRST = 1_000_000_000

/** The prompt of the request that everybody asks again. */
const PROMPT = 'A red bicycle leaning on a blue wall, morning light'

/** What the zero-delay upstream answers to it. */
export const hitOutput = '{"images":[{"url":"https://v3.fal.media/files/rabbit/rmgBxhwGYb2d3pl3x9sKf_output.png","content_type":"image/png","file_name":"output.png","file_size":1048576}],"seed":1000000000}'

/**
 * A raw request. `{n}` in it stands for a number that no other request has, `{n<k>}` for one of `k` numbers in turn; both have ten digits, and the
 * length of the body is right for them.
 */
export interface RawRequest { readonly text: string }

export function post (path: string, body: string, headers: Readonly<Record<string, string>> = {}): RawRequest {
  const length = Buffer.byteLength(fill(body, 0))
  const lines = Object.entries({ host: '127.0.0.1', 'content-type': 'application/json', ...headers, 'content-length': String(length) }).map(([name, value]) => `${name}: ${value}`)
  return { text: `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}` }
}

/** The bytes of the `count`-th request. */
export function fill (text: string, count: number): string {
  return text.replaceAll(/\{n(\d*)\}/g, (_, modulus: string) => String(FIRST + (modulus === '' ? count : count % Number(modulus))))
}

export function bearer (tenant: string): { readonly authorization: string } {
  return { authorization: `Bearer fg_${tenant}_${secretOf(tenant)}` }
}

/** The same seeded request each time. */
export const sameInput = JSON.stringify({ prompt: PROMPT, seed: FIRST })

/** A picture that nobody asked for before. `run` keeps apart what several runs on one ledger ask for. */
export function freshInput (run: string): string {
  return JSON.stringify({ prompt: `${PROMPT} ${run} {n}` })
}
