// A model that stands in a file of its own in this folder: its fields are described with TypeBox, its answers are read like those of every other model.
// In front of fal it sends what it says of itself: the defaults of all fields, so that the same call is the same whatever was left to them.

import type { TObject } from '@sinclair/typebox'
import { createValidator } from '../schema.ts'
import { blankFault, faultsOf, isBlankText, NOT_BLANK } from './faults.ts'
import type { Model, ModelInput, PixelSize } from './model.ts'
import { createOutputReader } from './output.ts'
import { checkRule } from './price-bound.ts'
import { parsePriceRule, type PriceRule } from './price-rule.ts'
import { seedKindOf } from './seed.ts'

/** What is stated of such a model. */
export interface BuiltIn extends Pick<Model, 'endpointId' | 'title' | 'description' | 'category' | 'cacheVersion' | 'example'> {
  /** A price rule, as in the file of a model. */
  readonly price: object
  /** Type, validation and documentation of the input. Every property has a default or is required, except `seed`. Without a `seed` nothing is stored. */
  readonly input: TObject
  /** Type and documentation of the output; what is `Optional` in it may be absent. */
  readonly output: TObject
  /** The pictures that an input asks for: one size in pixels for each. */
  readonly pictures: (input: ModelInput) => readonly PixelSize[]
  /** A body of fal's clients with fields of other models in this one's words, where they mean the same; the body itself where there are none. */
  readonly inOwnWords: (body: ModelInput) => ModelInput
}

/** Names of fields that are left out, at most so many. */
const MAX_LEFT_OUT = 20

/** Makes the model. Throws, with a sentence, when its price rule does not fit it. */
export function createBuiltIn (stated: BuiltIn): Model {
  const { endpointId, title, description, category, cacheVersion, example, input, output, pictures, inOwnWords } = stated
  const defaults = Object.entries(input.properties)
    .map(([name, schema]): readonly [string, unknown] => [name, schema.default])
    .sort(([one], [other]) => one < other ? -1 : 1)
  // The pattern tells generated clients about white space; what else shows nothing no pattern says that all of their languages can read.
  const notBlank = Object.entries(input.properties).filter(([, schema]) => schema['pattern'] === NOT_BLANK).map(([name]) => name)
  // Compiled when it is needed first.
  let check: ReturnType<ReturnType<typeof createValidator>['compile']> | null = null

  return {
    endpointId,
    title,
    description,
    category,
    isDeprecated: false,
    cacheVersion,
    input,
    output,
    seed: seedKindOf({ input, output }),
    takesFiles: false,
    rule: ruleOf(stated),
    isOpen: true,
    nullsLeftOut: 'seed',
    defaults: new Map(defaults.filter(([, byDefault]) => byDefault !== undefined)),
    readInput: (body, { unknownFields }) => {
      const said = unknownFields === 'refuse' ? body : inOwnWords(body)
      const known = unknownFields === 'refuse' ? body : withoutUnknown(said)
      // A paid, cached call must not drop unknown fields nor turn "1" into 1: it would buy something else than was asked for.
      check ??= compiled()
      if (!check(known)) return { ok: false, faults: faultsOf(check.errors ?? []) }
      const blank = notBlank.filter(name => isBlankField(known[name])).map(name => blankFault(`/${name}`))
      if (blank.length > 0) return { ok: false, faults: blank }
      return { ok: true, given: known, sent: withDefaults(known), leftOut: unknownFields === 'refuse' ? [] : unknownIn(said) }
    },
    compileNext: () => {
      if (check !== null) return false
      check = compiled()
      return true
    },
    filesOf: asked => pictures(asked).length,
    answers: createOutputReader({ output }),
    pictures,
    example
  }

  function compiled (): NonNullable<typeof check> {
    return createValidator({ allErrors: true }).compile(input)
  }

  /** The fields that the model has; a seed of null is none. */
  function withoutUnknown (body: ModelInput): ModelInput {
    return Object.fromEntries(defaults.map(([name]): readonly [string, unknown] => [name, Object.hasOwn(body, name) ? body[name] : undefined])
      .filter(([name, value]) => value !== undefined && !(name === 'seed' && value === null)))
  }

  function unknownIn (body: ModelInput): readonly string[] {
    return Object.keys(body).filter(name => !Object.hasOwn(input.properties, name) && body[name] !== null).slice(0, MAX_LEFT_OUT)
  }

  /** In the order of the names. */
  function withDefaults (body: ModelInput): ModelInput {
    const sent: Record<string, unknown> = {}
    for (const [name, byDefault] of defaults) {
      const value = Object.hasOwn(body, name) ? body[name] : byDefault
      if (value !== undefined) sent[name] = value
    }
    return sent
  }
}

function isBlankField (value: unknown): boolean {
  return typeof value === 'string' && isBlankText(value)
}

function ruleOf ({ endpointId, price, input }: BuiltIn): PriceRule {
  const parsed = parsePriceRule(price)
  const faults = parsed.ok ? checkRule(parsed.rule, { input }) : parsed.faults
  if (!parsed.ok || faults.length > 0) throw new Error(`the price of ${endpointId}: ${faults.join('; ')}`)
  return parsed.rule
}
