// Models made of documents with the fields that models of fal have for shapes, sizes and counts of pictures.

import { createDocumentModel } from '../../src/models/document-model.ts'
import { readDocument } from '../../src/models/document.ts'
import type { Model } from '../../src/models/model.ts'
import { parsePriceRule } from '../../src/models/price-rule.ts'
import { commonComponents, DOCUMENT_ID, falDocumentText, promptAnd, referenceTo } from './fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

/** A model with a prompt and these fields. */
export function modelWith (fields: Json, endpointId = DOCUMENT_ID): Model {
  const read = readDocument(falDocumentText(promptAnd(fields), undefined, { components: commonComponents, endpointId }), endpointId)
  const parsed = parsePriceRule({ usd: 0.1, per: 'call' })
  if (!read.ok || !parsed.ok) throw new Error('the test\'s own document or price is faulty')
  return createDocumentModel({ document: read.document, rule: parsed.rule, cacheVersion: 1, isOpen: true })
}

export const oneOf = (...words: readonly string[]): Json => ({ type: 'string', enum: words })

export const count = (maximum: number, byDefault = 1): Json => ({ type: 'integer', minimum: 1, maximum, default: byDefault })

/** Pixels or a word. */
export const anySize: Json = { anyOf: [referenceTo('ImageSize'), oneOf('square_hd', 'landscape_4_3')] }
