// One bucket of S3, or of what speaks its protocol, request by request. What each of them means for stored files is said in `s3-store.ts`.

import type { Readable } from 'node:stream'
import { AwsV4Signer } from 'aws4fetch'
import { Agent, type buildConnector, type Dispatcher } from 'undici'
import type { BucketKeys } from '../config.ts'
import type { BucketAddress } from '../setting-kinds.ts'

export interface BucketOptions {
  readonly address: BucketAddress
  /** Asked for each request: keys may be rotated. */
  readonly keys: () => BucketKeys
  readonly connect: buildConnector.connector
}

export interface BucketRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  /** Empty: the bucket itself. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  /** `sha256` in hex is signed, so that S3 takes these bytes or none. */
  readonly body?: { readonly stream: Readable | string, readonly bytes: number, readonly sha256: string }
  readonly signal?: AbortSignal | undefined
}

/** An answer with status 200 or 206. Who is given it reads its body, or destroys it. */
export type BucketAnswer = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>

export interface Bucket {
  /** Rejects with a `BucketFault` for every other answer, and with the error of its connection where there is none. */
  readonly ask: (request: BucketRequest) => Promise<BucketAnswer>
  readonly close: () => Promise<void>
}

/** What S3 refuses, or cannot do now. `code`: its word for that, such as `AccessDenied`, or `http-403`. */
export class BucketFault extends Error {
  readonly status: number
  readonly code: string
  /** Where the bucket is, when it was looked for in another region. */
  readonly region: string | null

  constructor (status: number, code: string, region: string | null) {
    super(`The bucket answered ${status} (${code}).`)
    this.name = 'BucketFault'
    this.status = status
    this.code = code
    this.region = region
  }
}

/** Of no bytes. */
const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const DEFAULT_REGION = 'us-east-1'

/** Nothing arrives for so long: it is no answer any more. */
const SILENCE_MS = 20_000

/** More of a refusal is not read. */
const MAX_FAULT_BYTES = 16_384

export function createBucket ({ address, keys, connect }: BucketOptions): Bucket {
  const agent = new Agent({ connect, headersTimeout: SILENCE_MS, bodyTimeout: SILENCE_MS })
  const region = address.region ?? DEFAULT_REGION
  const base = baseOf(address, region)

  async function ask ({ method, key, query = {}, headers = {}, body, signal }: BucketRequest): Promise<BucketAnswer> {
    const url = new URL(key, base)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const { accessKeyId, secretAccessKey, sessionToken } = keys()
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': body?.sha256 ?? SHA256_OF_NOTHING, ...(body === undefined ? {} : { 'content-length': String(body.bytes) }) },
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === null ? {} : { sessionToken }),
      service: 's3',
      region
    })
    const { headers: signed } = await signer.sign()
    const answer = await agent.request({ origin: url.origin, path: url.pathname + url.search, method, headers: Object.fromEntries(signed), body: body?.stream ?? null, signal: signal ?? null })
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer
    const elsewhere = answer.headers['x-amz-bucket-region']
    const code = /<Code>(\w{1,64})<\/Code>/.exec(await startOf(answer.body))?.[1]
    throw new BucketFault(answer.statusCode, code ?? `http-${answer.statusCode}`, typeof elsewhere === 'string' && elsewhere !== region ? elsewhere : null)
  }

  return { ask, close: async () => { await agent.destroy() } }
}

/** Host names made of the bucket's exist at AWS, where certificates do not know those with dots, and seldom elsewhere. */
function baseOf ({ name, endpoint }: BucketAddress, region: string): string {
  if (endpoint !== null) return `${endpoint}/${name}/`
  const host = `s3.${region}.amazonaws.com`
  return name.includes('.') ? `https://${host}/${name}/` : `https://${name}.${host}/`
}

async function startOf (body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > MAX_FAULT_BYTES) break
    }
  } catch {
    // What was cut says what it says.
  }
  return Buffer.concat(chunks).toString('latin1')
}
