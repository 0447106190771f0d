// The file of one model: fal's document as it came, the price rule, and what an operator said of both.

import { Type, type Static } from '@sinclair/typebox'
import { readJsonFile } from '../json-file.ts'
import { guardOf, misfitsOf, type Misfit } from '../schema.ts'
import { MAX_DOCUMENT_BYTES, readParsedDocument, type ModelDocument } from './document.ts'
import { fileNameOf, isEndpointId } from './endpoint-id.ts'
import { checkRule } from './price-bound.ts'
import { parsePriceRule, type PriceRule } from './price-rule.ts'

/** The most bytes of a file: the largest document, and what stands around it. */
export const MAX_MODEL_FILE_BYTES = Math.ceil(MAX_DOCUMENT_BYTES * 1.2)

/** What stands in a model's file. */
export interface ModelFile {
  readonly endpointId: string
  /** The day on which the document was fetched, in UTC. */
  readonly added: string
  readonly cacheVersion: number
  /** The price rule as it is written. */
  readonly price: unknown
  readonly rule: PriceRule
  /** Whether somebody has said that the price is right. Until then the model is not bought. */
  readonly isConfirmed: boolean
  /** SHA-256 of the document's text as it came, in hexadecimal digits. */
  readonly documentSha256: string
  /** The document as it came. */
  readonly source: unknown
  readonly document: ModelDocument
}

// Every description completes "expected …", because that is what a fault says.

const Content = Type.Object({
  endpoint_id: Type.String({ description: 'an endpoint id, such as fal-ai/nano-banana-2' }),
  added: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\d$', description: 'a day such as 2026-11-28' }),
  cache_version: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'a whole number from 1 to 1000000000' }),
  price: Type.Unknown(),
  confirmed: Type.Boolean({ description: 'true or false' }),
  document_sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'a SHA-256 in 64 hexadecimal digits' }),
  document: Type.Unknown()
}, { additionalProperties: false, description: 'an object with the endpoint id, the price and the document of a model' })

const isContent = guardOf(Content)

/** What came of reading a file: every fault is a sentence after a JSON pointer, and holds no value but names. */
export type ModelFileReading = { readonly ok: true, readonly file: ModelFile } | { readonly ok: false, readonly faults: readonly string[] }

/** Reads a model's file by its name and its text. All faults are told at once; it throws for no text. */
export function readModelFile (fileName: string, text: string): ModelFileReading {
  const json = readJsonFile(text)
  if (!json.ok) return { ok: false, faults: [json.fault] }
  const { content } = json
  if (!isContent(content)) return { ok: false, faults: faultsOf(content) }
  const { endpoint_id: endpointId } = content
  if (!isEndpointId(endpointId)) return { ok: false, faults: ['/endpoint_id: expected an endpoint id, such as fal-ai/nano-banana-2'] }

  const faults: string[] = []
  // One name for each id: nobody has to find out which of two files counts, and disks that are blind to case hold both of two ids.
  if (fileNameOf(endpointId) !== fileName) faults.push(`/endpoint_id: the file of this model has to be named ${fileNameOf(endpointId)}`)
  const read = readParsedDocument(content.document, endpointId)
  if (!read.ok) faults.push(`/document: ${read.fault}`)
  const parsed = parsePriceRule(content.price)
  if (!parsed.ok) faults.push(...parsed.faults.map(inPrice))
  if (read.ok && parsed.ok) faults.push(...checkRule(parsed.rule, read.document).map(inPrice))
  if (faults.length > 0 || !read.ok || !parsed.ok) return { ok: false, faults }
  return {
    ok: true,
    file: {
      endpointId,
      added: content.added,
      cacheVersion: content.cache_version,
      price: content.price,
      rule: parsed.rule,
      isConfirmed: content.confirmed,
      documentSha256: content.document_sha256,
      source: content.document,
      document: read.document
    }
  }
}

/** The text of a model's file. */
export function modelFileText (file: Omit<ModelFile, 'rule' | 'document'>): string {
  const content: Static<typeof Content> = {
    endpoint_id: file.endpointId,
    added: file.added,
    cache_version: file.cacheVersion,
    price: file.price,
    confirmed: file.isConfirmed,
    document_sha256: file.documentSha256,
    document: file.source
  }
  const indented = JSON.stringify(content, null, 2) + '\n'
  // The white space of a document that is nearly too large would make its file too large.
  return Buffer.byteLength(indented) <= MAX_MODEL_FILE_BYTES ? indented : JSON.stringify(content) + '\n'
}

/** A fault of a price rule, told of the file. */
function inPrice (fault: string): string {
  return fault.startsWith('/') ? `/price${fault}` : `/price: ${fault.replace(/^the price rule: /, '')}`
}

function faultsOf (content: unknown): readonly string[] {
  const faults = new Map<string, string>()
  for (const misfit of misfitsOf(Content, content)) {
    if (!faults.has(misfit.path)) faults.set(misfit.path, `${misfit.path === '' ? 'the file' : misfit.path}: ${sentenceOf(misfit)}`)
  }
  return [...faults.values()]
}

function sentenceOf ({ kind, description }: Misfit): string {
  switch (kind) {
    case 'unknown': return 'is not a known field'
    case 'missing': return 'is missing'
    case 'wrong': return `expected ${description ?? 'something else'}`
  }
}
