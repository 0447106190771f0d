// Files of models, for folders that a test makes.

import { hash } from 'node:crypto'
import { createDocumentModel } from '../../src/models/document-model.ts'
import { fileNameOf } from '../../src/models/endpoint-id.ts'
import type { Model } from '../../src/models/model.ts'
import { modelFileText, readModelFile } from '../../src/models/model-file.ts'
import { DOCUMENT_ID, falDocument, plainInput, plainOutput, type FalDocumentOptions } from './fal-documents.ts'

export interface ModelFileOptions extends FalDocumentOptions {
  readonly input?: Readonly<Record<string, unknown>>
  readonly output?: Readonly<Record<string, unknown>>
  readonly price?: unknown
  readonly isConfirmed?: boolean
  readonly cacheVersion?: number
}

/** The name and the text of a model's file: one that costs five cents a call, where nothing else is said. */
export function modelFile ({ input = plainInput, output = plainOutput, price = { usd: 0.05, per: 'call' }, isConfirmed = true, cacheVersion = 1, ...options }: ModelFileOptions = {}): { readonly name: string, readonly text: string } {
  const endpointId = options.endpointId ?? DOCUMENT_ID
  const source = falDocument(input, output, options)
  return {
    name: fileNameOf(endpointId),
    text: modelFileText({ endpointId, added: '2026-11-28', cacheVersion, price, isConfirmed, documentSha256: hash('sha256', JSON.stringify(source)), source })
  }
}

/** The model of such a file, as a gateway reads it. */
export function documentModel (options: ModelFileOptions = {}): Model {
  const { name, text } = modelFile(options)
  const read = readModelFile(name, text)
  if (!read.ok) throw new Error(read.faults.join('\n'))
  const { document, rule, cacheVersion, isConfirmed } = read.file
  return createDocumentModel({ document, rule, cacheVersion, isOpen: isConfirmed })
}
