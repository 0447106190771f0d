// Calls that name another host than they go to, which `fetch` does not do.

import { request as plain } from 'node:http'
import { request as secure } from 'node:https'
import { parseObject, STUDIO_KEY } from './gateway.ts'

export interface HostCall {
  readonly path: string
  readonly host?: string
  readonly key?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** The authority that vouches for a server with TLS. */
  readonly ca?: string
}

export interface HostReply {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly bytes: Buffer
  readonly text: string
  readonly json: () => Record<string, unknown>
}

/** Calls a gateway under the name of a host: POST where there is a body. */
export async function callAt (url: string, { path, host, key = STUDIO_KEY, body, headers = {}, ca }: HostCall): Promise<HostReply> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return await new Promise((resolve, reject) => {
    const call = (url.startsWith('https:') ? secure : plain)(url + path, {
      method: text === undefined ? 'GET' : 'POST',
      agent: false,
      // Whatever host is named, the certificate is that of this machine.
      ...ca === undefined ? {} : { ca, servername: 'localhost' },
      headers: { authorization: `Bearer ${key}`, ...text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }, ...host === undefined ? {} : { host }, ...headers }
    }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject).on('end', () => {
        const bytes = Buffer.concat(chunks)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, text: bytes.toString(), json: () => parseObject(bytes.toString()) })
      })
    })
    call.on('error', reject)
    call.end(text)
  })
}
