// A model that came as a document of fal's: everything the gateway knows of it is read from there, and from the price rule beside it.

import { UnusableInput } from './checkable.ts'
import type { ModelDocument } from './document.ts'
import { examplesOf } from './example.ts'
import { createInputReader, type InputReader } from './input.ts'
import type { InputReading, Model, ModelInput } from './model.ts'
import { createOutputReader } from './output.ts'
import { filePlacesOf } from './outline.ts'
import { pictureSizes } from './picture-size.ts'
import { fieldReaderOf, readCount } from './price-fields.ts'
import type { PriceRule } from './price-rule.ts'
import { seedKindOf } from './seed.ts'
import { pictureCounts } from './usual-fields.ts'

/** What a model is made of. */
export interface DocumentModelParts {
  readonly document: ModelDocument
  /** It was checked against the document. */
  readonly rule: PriceRule
  readonly cacheVersion: number
  /** Whether somebody has said that the price is right. */
  readonly isOpen: boolean
}

/** Places of pictures in an answer. */
const PICTURE_PLACE = /^(?:images?|masks?)\b/

/** Makes the model. Nothing of its schemas is compiled before it is needed. */
export function createDocumentModel ({ document, rule, cacheVersion, isOpen }: DocumentModelParts): Model {
  const { endpointId, title, description, category, isDeprecated, input, output } = document
  // A folder may have hundreds of them, of which a few are used: what is not needed at the start is found out when it is.
  const seed = once(() => seedKindOf(document))
  const makesPictures = once(() => filePlacesOf(document).some(place => PICTURE_PLACE.test(place)))
  const hints = { counts: rule.count, sizes: rule.sizes }
  const takesFiles = once(() => fieldReaderOf(document).fileInputs.length > 0)
  const reader = once((): InputReader => createInputReader(document))
  const answers = once(() => createOutputReader(document))
  const example = once(exampleOf)
  const defaults = once(() => readable(() => reader().defaults) ?? new Map<string, unknown>())

  function readInput (body: ModelInput, options: Parameters<Model['readInput']>[1]): InputReading {
    return readable(() => reader().read(body, options)) ??
      { ok: false, faults: [{ path: '', message: 'cannot be checked: the document of this model is not usable; falgate check says why', code: 'model_unusable' }] }
  }

  function exampleOf (): ModelInput {
    const candidates = examplesOf(document)
    return candidates.find(candidate => readInput(candidate, { unknownFields: 'refuse', sentDefaults: [] }).ok) ?? candidates.at(-1) ?? {}
  }

  /** What is left out counts as its default, where it has one: nobody asked for more. */
  function filesOf (asked: ModelInput): number {
    const fields = fieldReaderOf(document)
    let files = 1n
    for (const name of new Set([...pictureCounts, ...rule.count])) {
      if (!fields.has(name)) continue
      files *= readCount(asked[name]) ?? readCount(readable(() => reader().defaultOf(name))) ?? fields.highest(name) ?? 1n
    }
    return Number(files)
  }

  return {
    endpointId,
    title,
    description,
    category,
    isDeprecated,
    cacheVersion,
    input,
    output,
    get seed () { return seed() },
    get takesFiles () { return takesFiles() },
    rule,
    isOpen,
    nullsLeftOut: 'optional',
    get defaults () { return defaults() },
    readInput,
    compileNext: () => readable(() => reader().compileNext()) ?? false,
    filesOf,
    get answers () { return answers() },
    pictures: asked => makesPictures() ? pictureSizes(asked, input, hints) : [],
    get example () { return example() }
  }
}

/** Why the input of a model cannot be checked, in a sentence; `null`: it can. It compiles the schema. */
export function inputFaultOf (document: Pick<ModelDocument, 'input'>): string | null {
  try {
    const reader = createInputReader(document)
    while (reader.compileNext());
    return null
  } catch (error) {
    if (error instanceof UnusableInput) return error.message
    throw error
  }
}

function readable<Value> (read: () => Value): Value | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof UnusableInput) return null
    throw error
  }
}

/** Computes a value when it is asked for first, and keeps it. */
function once<Value> (compute: () => Value): () => Value {
  let kept: { readonly value: Value } | null = null
  return () => (kept ??= { value: compute() }).value
}
