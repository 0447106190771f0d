// What OpenAI's clients ask for, in the words of a model. Which words those are is read from the model's own schema, and never told by its name.

import type { FieldFault } from '../errors.ts'
import { fieldNamesOf, type Model, type ModelInput, type PixelSize } from './model.ts'
import { fieldReaderOf } from './price-fields.ts'
import { takes } from './takes.ts'

/** How pictures are sent: as addresses, or as base64 inside the answer. */
export type PictureFormat = 'url' | 'b64_json'

/** A request in the words of a model. */
export interface Mapped {
  /** The body of each call. */
  readonly body: ModelInput
  /** How many calls of it are made: more than one where the model makes one picture a call. A seed counts up from one to the next. */
  readonly calls: number
  /** `null`: the request does not say. */
  readonly format: PictureFormat | null
  readonly isStream: boolean
  /** What was meant in other words than it was said, by the name of its field. */
  readonly changes: ReadonlyMap<string, string>
}

export type Mapping = { readonly ok: true, readonly mapped: Mapped } | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** OpenAI's own bound of `n`, and that of a list of calls. */
export const MAX_PICTURES = 10

/** Values that ask for what a model does anyway, where it has no field to say so. */
const usual: Readonly<Record<string, readonly unknown[]>> = {
  quality: ['auto', 'standard'],
  background: ['auto', 'opaque'],
  moderation: ['auto'],
  input_fidelity: ['low'],
  output_compression: [100]
}

/** What OpenAI's own models do where nothing is said, for models that have no field at all to say it: some programs send it every time. */
const unsaid: Readonly<Record<string, unknown>> = { output_format: 'png' }

/** Words for the same. */
const alike: Readonly<Record<string, string>> = { jpeg: 'jpg', jpg: 'jpeg' }

/** What is read here and never sent. */
const ours = new Set(['model', 'n', 'size', 'response_format', 'stream', 'partial_images'])

const SIZE = /^(\d{1,5})x(\d{1,5})$/
const RATIO = /^\d{1,4}:\d{1,4}$/

/** Where pictures and shapes stand in a body of a model. */
const sizeFields = ['image_size', 'aspect_ratio', 'resolution', 'width', 'height']

/** Reads a request. `body` is an object whose members may be any; a null says nothing. */
export function mapImageRequest (body: ModelInput, model: Model): Mapping {
  const faults: FieldFault[] = []
  const changes = new Map<string, string>()
  /** A map, so that a field may have any name. */
  const sent = new Map<string, unknown>()
  const names = new Set(fieldNamesOf(model))
  const given = (name: string): unknown => Object.hasOwn(body, name) ? body[name] ?? undefined : undefined
  const fault = (name: string, message: string, code = 'value_error'): void => { faults.push({ path: `/${name}`, message, code }) }

  for (const name of Object.keys(body)) {
    const value = given(name)
    if (value === undefined || ours.has(name)) continue
    if (name === 'user' && !names.has(name)) {
      if (typeof value !== 'string') fault(name, 'must be a text')
      changes.set(name, 'not sent')
    } else sent.set(name, ownValue(name, value))
  }
  for (const [name, values] of Object.entries(usual)) {
    if (values.includes(sent.get(name)) && !takes(model, name, sent.get(name))) {
      sent.delete(name)
      changes.set(name, 'not sent')
    }
  }

  for (const [name, value] of Object.entries(unsaid)) {
    if (sent.get(name) !== value || names.has(name)) continue
    sent.delete(name)
    changes.set(name, 'not sent')
  }

  mapSize()
  const calls = mapCount()
  const format = oneOf('response_format', ['url', 'b64_json'] as const)
  const isStream = flag('stream')
  const partial = given('partial_images')
  if (partial !== undefined && !isCount(partial, 0, 3)) fault('partial_images', 'must be a whole number from 0 to 3')
  else if (partial !== undefined && partial !== 0) changes.set('partial_images', 'none are made')
  if (isStream && calls > 1) fault('stream', 'is for one call: this model makes one picture a call, so n has to be 1')
  return faults.length > 0 ? { ok: false, faults } : { ok: true, mapped: { body: Object.fromEntries(sent), calls, format, isStream, changes } }

  /** A word of OpenAI's as the model writes it. */
  function ownValue (name: string, value: unknown): unknown {
    const like = typeof value === 'string' && Object.hasOwn(alike, value) ? alike[value] : undefined
    if (name !== 'output_format' || like === undefined || takes(model, name, value) || !takes(model, name, like)) return value
    changes.set(name, like)
    return like
  }

  function oneOf<Word extends string> (name: string, words: readonly Word[]): Word | null {
    const value = given(name)
    if (value === undefined) return null
    const word = words.find(one => one === value)
    if (word === undefined) fault(name, `must be one of ${words.join(', ')}`)
    return word ?? null
  }

  function flag (name: string): boolean {
    const value = given(name)
    if (value !== undefined && typeof value !== 'boolean') fault(name, 'must be true or false')
    return value === true
  }

  function mapCount (): number {
    const n = given('n') ?? 1
    if (!isCount(n, 1, MAX_PICTURES)) {
      fault('n', `must be a whole number from 1 to ${MAX_PICTURES}`)
      return 1
    }
    if (sent.has('num_images')) {
      if (given('n') !== undefined) fault('n', 'stands beside num_images, which is the model\'s word for it: send one of them')
      return 1
    }
    if (n > 1 && takes(model, 'num_images', n)) {
      sent.set('num_images', n)
      changes.set('n', `num_images=${n}`)
      return 1
    }
    // One picture was asked for, and what is made is paid for.
    if (names.has('num_images') && (model.defaults.get('num_images') ?? 1) !== 1 && takes(model, 'num_images', 1)) {
      sent.set('num_images', 1)
      changes.set('n', 'num_images=1')
    }
    if (n > 1) changes.set('n', `${n} calls`)
    return n
  }

  function mapSize (): void {
    const size = given('size')
    if (size === undefined) return
    if (takes(model, 'size', size)) {
      sent.set('size', size)
      return
    }
    const own = sizeFields.find(name => sent.has(name) && !(name === 'resolution' && names.has('aspect_ratio')))
    if (own !== undefined) return fault('size', `stands beside ${own}, which is the model's word for it: send one of them`)
    const meant = typeof size === 'string' ? meantBy(size, Object.fromEntries(sent), model) : null
    if (meant === null) return fault('size', sizeRule(size, names))
    for (const [name, value] of Object.entries(meant)) sent.set(name, value)
    changes.set('size', Object.keys(meant).length === 0 ? 'not sent' : Object.entries(meant).map(([name, value]) => `${name}=${wordOf(value)}`).join(' '))
  }
}

/** The fields of the model that say this size; `null`: none does. */
function meantBy (size: string, sent: ModelInput, model: Model): ModelInput | null {
  const words = fieldReaderOf(model).words
  if (takes(model, 'image_size', size)) return { image_size: size }
  // Where the shape may be any text, a model takes more than it knows the meaning of.
  if (takes(model, 'aspect_ratio', size) && (words('aspect_ratio') !== null || RATIO.test(size))) return { aspect_ratio: size }
  if (size === 'auto') return {}
  const [, width = 0, height = 0] = SIZE.exec(size)?.map(Number) ?? []
  if (width === 0 || height === 0) return null
  if (takes(model, 'image_size', { width, height })) return { image_size: { width, height } }
  if (takes(model, 'width', width) && takes(model, 'height', height)) return { width, height }
  const near = nearest({ width, height }, sent, model)
  const ratio = ratioOf(width, height)
  return near ?? (words('aspect_ratio') === null && takes(model, 'aspect_ratio', ratio) ? { aspect_ratio: ratio } : null)
}

function ratioOf (width: number, height: number): string {
  let [divisor, rest] = [width, height]
  while (rest > 0) [divisor, rest] = [rest, divisor % rest]
  return `${width / divisor}:${height / divisor}`
}

/** Of all words that the model has for shape and size, those of the picture that looks most like the wanted one: in shape first, then in pixels. */
function nearest (wanted: PixelSize, sent: ModelInput, model: Model): ModelInput | null {
  const fields = fieldReaderOf(model)
  const words = (name: string): readonly string[] => [...fields.words(name) ?? []].filter(word => takes(model, name, word))
  const shapes = ['aspect_ratio', 'image_size'].flatMap(name => words(name).map(word => ({ [name]: word })))
  // What the caller says of the resolution stays.
  const sizes = Object.hasOwn(sent, 'resolution') ? [] : words('resolution').map(word => ({ resolution: word }))
  const choices: ModelInput[] = shapes.flatMap(shape => sizes.length === 0 ? [shape] : sizes.map(size => ({ ...shape, ...size })))
  const rated = choices.flatMap(choice => {
    const [made] = model.pictures({ ...sent, ...choice })
    return made === undefined || isVague(choice) ? [] : [{ choice, ...distance(wanted, made) }]
  })
  const [best] = rated.sort((one, other) => Math.abs(one.shape - other.shape) > SAME_SHAPE ? one.shape - other.shape : one.pixels - other.pixels)
  return best?.choice ?? null
}

/** Sides are rounded by each model in its own way. */
const SAME_SHAPE = 0.02

/** `auto` is any shape. */
function isVague (choice: ModelInput): boolean {
  return Object.values(choice).some(word => typeof word === 'string' && word.startsWith('auto'))
}

/** How far one picture is from another, as factors of which 0 is none. */
function distance (one: PixelSize, other: PixelSize): { readonly shape: number, readonly pixels: number } {
  return {
    shape: Math.abs(Math.log((one.width / one.height) / (other.width / other.height))),
    pixels: Math.abs(Math.log((one.width * one.height) / (other.width * other.height)))
  }
}

function isCount (value: unknown, lowest: number, highest: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest
}

function sizeRule (size: unknown, names: ReadonlySet<string>): string {
  const has = sizeFields.filter(name => names.has(name))
  if (has.length === 0) return 'cannot be said to this model, which has no field for a size: leave it out, or send auto'
  return typeof size === 'string' && SIZE.test(size) ? `fits no value of ${has.join(' and ')}, which say the size here` : 'must be such as 1024x1536, or auto'
}

/** As it stands in a header. */
function wordOf (value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
