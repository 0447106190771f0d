// Schema pieces that models share.

import { Type, type SchemaOptions, type StringOptions, type TString, type TUnsafe } from '@sinclair/typebox'

/** The most characters (Unicode code points) of a text field. Our own bound: fal states none. */
export const MAX_TEXT_CHARACTERS = 10_000

/** A text for a model: bounded, and well-formed Unicode, because a lone surrogate cannot be sent as UTF-8. */
export function text (options: StringOptions): TString {
  return Type.String({ maxLength: MAX_TEXT_CHARACTERS, format: 'well-formed', ...options })
}

/** One of these words. A plain `enum` gives one error line where a union of literals gives one for each branch. */
export function oneOf<const Words extends readonly string[]> (words: Words, options: SchemaOptions): TUnsafe<Words[number]> {
  return Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], ...options })
}
