// fal's catalogue as a client: the documents that fal publishes of its endpoints, and the prices that it names for them.

import { Type } from '@sinclair/typebox'
import { Agent } from 'undici'
import { guardOf } from '../schema.ts'
import { exchange, headerOf, targetOf, type Answer, type NoAnswer } from '../upstream/exchange.ts'
import { unreachable } from '../upstream/unreachable.ts'
import { createConnector, type Proxy } from '../upstream/way.ts'

/** What was asked for, or the sentence that says why it is not there. `isUnknown`: there is no such endpoint, as far as was answered. */
export type Fetched<Value> = { readonly ok: true, readonly value: Value } | { readonly ok: false, readonly fault: string, readonly isUnknown?: true }

/** What fal's pricing API says of an endpoint. It is no upper bound, and fal bills what it likes. */
export interface NamedPrice { readonly unitPrice: number, readonly unit: string, readonly currency: string }

export interface Catalogue {
  /** The text of the document of an endpoint, as it comes. */
  readonly document: (endpointId: string) => Promise<Fetched<string>>
  /** The text at any other address. */
  readonly documentAt: (url: string) => Promise<Fetched<string>>
  /** The price of an endpoint; `null`: fal names none. */
  readonly price: (endpointId: string, access: { readonly apiUrl: string, readonly key: string }) => Promise<Fetched<NamedPrice | null>>
  /** Breaks off what is under way. */
  readonly close: () => Promise<void>
}

export interface CatalogueOptions {
  /** The address of documents, to which the endpoint id is added as a query. */
  readonly documentUrl: string
  /** The most bytes of a document. No more are read. */
  readonly bodyLimitBytes: number
  readonly timeoutMs?: number
  /** None by default. */
  readonly proxy?: Proxy | null
}

/** From the call to the last byte. */
const TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000
const PRICE_BODY_BYTES = 262_144
/** A document may move; one that moves more often than this is not looked for. */
const MAX_REDIRECTS = 3

const isPriceList = guardOf(Type.Object({
  prices: Type.Array(Type.Object({ endpoint_id: Type.String(), unit_price: Type.Number(), unit: Type.String(), currency: Type.String() }))
}))

/** Makes a client. It has no connection before it is used. */
export function createCatalogue ({ documentUrl, bodyLimitBytes, timeoutMs = TIMEOUT_MS, proxy = null }: CatalogueOptions): Catalogue {
  const pool = new Agent({ connections: 4, connect: createConnector({ proxy, timeoutMs: CONNECT_TIMEOUT_MS }) })
  const closing = new AbortController()

  async function get (url: string, headers: Readonly<Record<string, string>>, limitBytes: number): Promise<Answer | NoAnswer> {
    return await exchange(pool, {
      ...targetOf(url),
      method: 'GET',
      headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'falgate', ...headers }
    }, { deadlineMs: timeoutMs, bodyLimitBytes: limitBytes, signal: closing.signal })
  }

  /** Why there is no text, or the text. */
  function textOf (url: string, answer: Answer | NoAnswer): Fetched<string> {
    const host = new URL(url).host
    if (answer.kind === 'no-answer') return { ok: false, fault: unreachable(host, answer, timeoutMs) }
    if (answer.status === 404) return { ok: false, fault: `${host} knows no endpoint with this id (404).`, isUnknown: true }
    if (answer.status < 200 || answer.status >= 300) return { ok: false, fault: `${host} answered ${answer.status}${hintOf(answer.status)}.` }
    if (answer.text !== null) return { ok: true, value: answer.text }
    switch (answer.unreadable) {
      case 'too-long': return { ok: false, fault: 'The document is larger than 1 MiB.' }
      case 'not-text': return { ok: false, fault: 'The document is no text in UTF-8.' }
      default: return { ok: false, fault: `${host} broke off its answer, or took longer than ${timeoutMs / 1000} seconds for it.` }
    }
  }

  async function documentAt (url: string): Promise<Fetched<string>> {
    let current = url
    for (let redirects = 0; ; redirects++) {
      const answer = await get(current, {}, bodyLimitBytes)
      const next = answer.kind === 'answer' && answer.status >= 300 && answer.status < 400 ? headerOf(answer, 'location') : null
      if (next === null) return textOf(current, answer)
      const target = URL.canParse(next, current) ? new URL(next, current) : null
      const isFit = target !== null && (target.protocol === 'https:' || (target.protocol === 'http:' && current.startsWith('http:')))
      if (!isFit || redirects === MAX_REDIRECTS) return { ok: false, fault: `${new URL(current).host} leads on to an address that is not followed.` }
      current = target.href
    }
  }

  return {
    document: async endpointId => await documentAt(addressOf(documentUrl, endpointId)),
    documentAt,
    price: async (endpointId, { apiUrl, key }) => {
      const url = addressOf(`${apiUrl}/models/pricing`, endpointId)
      // The key goes to this address and to no other: a redirect is not followed.
      const answer = await get(url, { authorization: `Key ${key}` }, PRICE_BODY_BYTES)
      if (answer.kind === 'answer' && answer.status === 404) return { ok: true, value: null }
      const text = textOf(url, answer)
      if (!text.ok) return text
      const list = valueOf(text.value)
      if (!isPriceList(list)) return { ok: false, fault: `${new URL(url).host} answered something that is no list of prices.` }
      const found = list.prices.find(({ endpoint_id: id }) => id === endpointId)
      return { ok: true, value: found === undefined ? null : { unitPrice: found.unit_price, unit: found.unit, currency: found.currency } }
    },
    close: async () => {
      closing.abort()
      await pool.destroy()
    }
  }
}

function addressOf (base: string, endpointId: string): string {
  const url = new URL(base)
  url.searchParams.set('endpoint_id', endpointId)
  return url.href
}

function valueOf (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function hintOf (status: number): string {
  if (status === 401 || status === 403) return ': it does not accept the key, or lets nobody in'
  if (status === 429) return ': too many requests; try again in a minute'
  return status >= 500 ? ': something is wrong there; try again later' : ''
}
