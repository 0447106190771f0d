// A made-up model for tests that nothing may take for the built-in one: other fields, another price, two files a call. No fact about fal is in it.

import { Type } from '@sinclair/typebox'
import { createBuiltIn, type BuiltIn } from '../../src/models/built-in-model.ts'
import { oneOf, text } from '../../src/models/fields.ts'
import type { Model } from '../../src/models/model.ts'

const posterDefinition: BuiltIn = {
  endpointId: 'print-shop/press/poster',
  title: 'Poster',
  description: 'A made-up model that prints the same poster twice.',
  inOwnWords: body => body,
  cacheVersion: 3,
  category: null,
  price: { usd: 0.045, per: 'image', count: 'copies' },
  pictures: ({ copies, size }) => Array.from({ length: Number(copies) }, () => size === 'wall' ? { width: 6000, height: 1500 } : { width: 320, height: 200 }),
  example: { prompt: 'It\'s a fair', paper: 'glossy' },
  input: Type.Object({
    prompt: text({ description: 'What it announces.', minLength: 1 }),
    paper: Type.Optional(oneOf(['plain', 'glossy'], { description: 'What it is printed on.', default: 'plain' })),
    copies: Type.Optional(Type.Integer({ description: 'How many are printed.', minimum: 1, maximum: 2, default: 2 })),
    size: Type.Optional(oneOf(['hand', 'wall'], { description: 'How large it is.', default: 'hand' })),
    framed: Type.Optional(Type.Boolean({ description: 'With a frame.', default: false })),
    ink: Type.Optional(text({ description: 'A colour in hexadecimal digits.', pattern: '^#[0-9a-f]{6}$', default: '#000000' })),
    seed: Type.Optional(Type.Integer({ description: 'The same seed prints the same poster.' }))
  }, { additionalProperties: false, title: 'PosterInput' }),
  output: Type.Object({
    images: Type.Array(Type.Object({ url: Type.String() }, { additionalProperties: true })),
    seed: Type.Optional(Type.Integer())
  }, { additionalProperties: true, title: 'PosterOutput' })
}

export const poster = createBuiltIn(posterDefinition)

/** The same under another endpoint id. */
export function posterNamed (endpointId: string): Model {
  return createBuiltIn({ ...posterDefinition, endpointId })
}

/** The same without a seed: each call makes another poster. */
export const seedlessPoster = createBuiltIn({
  ...posterDefinition,
  endpointId: 'print-shop/press/seedless',
  title: 'Seedless poster',
  input: Type.Omit(posterDefinition.input, ['seed'], { additionalProperties: false, title: 'SeedlessPosterInput' }),
  output: Type.Omit(posterDefinition.output, ['seed'], { additionalProperties: true, title: 'SeedlessPosterOutput' })
})
