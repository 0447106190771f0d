// What a model is to the gateway. Where it comes from, from a file of its own here or from a document of fal's, nobody else knows.

import type { FieldFault } from '../errors.ts'
import type { JsonSchema } from './json-schema.ts'
import type { OutputReader } from './output.ts'
import type { PriceRule } from './price-rule.ts'
import type { SeedKind } from './seed.ts'

/** A model that can be bought. */
export interface Model {
  /** What users write, such as `fal-ai/imagen4/preview/ultra`. */
  readonly endpointId: string
  readonly title: string
  readonly description: string
  /** fal's word for what it does; `null` where it says none. */
  readonly category: string | null
  /** fal says that it will go. */
  readonly isDeprecated: boolean
  /** Raised by hand when a field's meaning changes; part of the cache key. */
  readonly cacheVersion: number
  /** What the documents show of the input: an object with `properties`, whose references lead to `#/$defs/<name>` of itself. */
  readonly input: JsonSchema
  /** The same of the output; `null`: it is not typed. */
  readonly output: JsonSchema | null
  /** Where it takes a seed, and where it names one. What is asked for with a seed is stored. */
  readonly seed: SeedKind
  /** It takes pictures or other files, which may stand in the body as `data:` addresses: that of its calls may be larger. */
  readonly takesFiles: boolean
  /** What one call costs at most, and what one of fal's units costs; the tenants file may state another rule. */
  readonly rule: PriceRule
  /** False: nobody has said yet that its price is right, and until then nothing of it is bought. */
  readonly isOpen: boolean
  /** What a null of fal's clients leaves out: the seed alone, or every field that may be left out and takes no null itself. */
  readonly nullsLeftOut: 'seed' | 'optional'
  /** The values that count for a field that is left out, where the model's document says so and allows them. */
  readonly defaults: ReadonlyMap<string, unknown>
  /** What of a body is sent, or what is wrong with it. */
  readonly readInput: (body: Readonly<Record<string, unknown>>, options: ReadOptions) => InputReading
  /** Compiles one part of what reads inputs that is not compiled yet; it would be when a body needs it. False: there was none. */
  readonly compileNext: () => boolean
  /** The most files that this input makes. */
  readonly filesOf: (input: ModelInput) => number
  /** Tells which answers are a success, and where the files in them are. */
  readonly answers: OutputReader
  /** The pictures that an input asks for: one size in pixels for each; none where the answer holds no pictures. */
  readonly pictures: (input: ModelInput) => readonly PixelSize[]
  /** An input to try it with, as a start shows it. */
  readonly example: ModelInput
}

/** How a body is read. */
export interface ReadOptions {
  /** What becomes of fields that the model does not have: fal's own clients may count on it that they say nothing. */
  readonly unknownFields: 'refuse' | 'leave-out'
  /** Fields whose default is sent, where the caller left them out and the model has a valid one: those that decide what a call costs. */
  readonly sentDefaults: readonly string[]
}

/** A body that was read. */
export type InputReading =
  // `given`: what the caller gave of the model's own fields; `sent`: the same with the defaults that are sent; `leftOut`: names of other fields, the first ones.
  | { readonly ok: true, readonly given: ModelInput, readonly sent: ModelInput, readonly leftOut: readonly string[] }
  | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** The size of a picture. */
export interface PixelSize { readonly width: number, readonly height: number }

/** A validated input. `seed` is approximate when it is not a safe integer; its digits travel beside it. */
export type ModelInput = Readonly<Record<string, unknown>>

/** Does the model take a seed, so that the same call can be asked for twice? */
export function takesSeed ({ seed }: Pick<Model, 'seed'>): boolean {
  return seed === 'in' || seed === 'in-and-out'
}

/** The names of the fields of its input. */
export function fieldNamesOf ({ input }: Pick<Model, 'input'>): readonly string[] {
  const properties = input['properties']
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : []
}
