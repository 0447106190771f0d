// Pictures that are to be changed, put where a model takes them. Which fields these are is read from the model's own schema.

import type { FieldFault } from '../errors.ts'
import { MAX_FAULTS } from './faults.ts'
import type { Model, ModelInput } from './model.ts'
import { fieldReaderOf } from './price-fields.ts'
import { takes } from './takes.ts'

/** The fields in which a model takes pictures. */
export interface PictureFields {
  readonly pictures: string
  /** It takes a list of them; else one. */
  readonly isList: boolean
  /** The field of the mask, where it has one. */
  readonly mask: string | null
}

/** What a request says of pictures, as addresses, and what is left of its body. */
export interface AskedEdit {
  readonly pictures: readonly string[]
  readonly mask: string | null
  readonly rest: ModelInput
}

export type EditReading = { readonly ok: true, readonly asked: AskedEdit } | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** `changes`: what stands in which field, by the name that it was sent under. */
export type Placing = { readonly ok: true, readonly body: ModelInput, readonly changes: ReadonlyMap<string, string> } | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** The usual names first: what a model calls otherwise is found when it has one such field alone. */
const USUAL = ['image_urls', 'image_url'] as const

/** More than any model has. With each more the body would be put together again several times. */
const MAX_FIELDS = 1000

/** An address for trying which values a field takes. */
const SOME_PICTURE = 'https://example.com/picture.png'

const known = new WeakMap<Model, { readonly fields: PictureFields | null }>()

/** The fields of a model for pictures; `null`: it takes none. */
export function pictureFieldsOf (model: Model): PictureFields | null {
  const found = known.get(model) ?? { fields: findFields(model) }
  known.set(model, found)
  return found.fields
}

function findFields (model: Model): PictureFields | null {
  const others = picturesIn(model).map(name => ({ name, isList: takes(model, name, [SOME_PICTURE]) }))
  const usual = USUAL.map(name => others.find(other => other.name === name)).find(other => other !== undefined)
  const [first, ...more] = others
  const field = usual ?? (more.length === 0 ? first : undefined)
  if (field === undefined) return null
  const [mask, ...otherMasks] = inputsOf(model).filter(name => isMask(name) && takes(model, name, SOME_PICTURE))
  return { pictures: field.name, isList: field.isList, mask: mask === undefined || otherMasks.length > 0 ? null : mask }
}

/** All fields that take a picture or a list of them, and no mask. */
function picturesIn (model: Model): readonly string[] {
  return inputsOf(model).filter(name => !isMask(name) && (takes(model, name, [SOME_PICTURE]) || takes(model, name, SOME_PICTURE)))
}

function inputsOf (model: Model): readonly string[] {
  const reader = fieldReaderOf(model)
  return reader.pictureInputs.filter(name => reader.has(name) && !/video|audio/i.test(name))
}

function isMask (name: string): boolean {
  return /mask/i.test(name)
}

/**
 * The endpoint that changes pictures beside one that makes some: the same name with `/edit` behind it (fal-ai/nano-banana-2, fal-ai/nano-banana-2/edit). OpenAI's
 * models do both.
 */
export function editorIdOf ({ endpointId }: Pick<Model, 'endpointId'>): string {
  return `${endpointId.replace(/\/text-to-image$/, '')}/edit`
}

/** Reads the pictures of a body in OpenAI's words: `images`, `image` and `mask`, unless the model itself has such a field that takes what stands there. Lists as many faults as are told, and one more at most. */
export function readEdit (body: ModelInput, model: Model): EditReading {
  if (Object.keys(body).length > MAX_FIELDS) return { ok: false, faults: [{ path: '', message: `has more than ${MAX_FIELDS} fields`, code: 'value_error' }] }
  const faults: FieldFault[] = []
  const rest: Record<string, unknown> = { ...body }
  const pictures: string[] = []
  let mask: string | null = null
  for (const name of ['images', 'image', 'mask']) {
    const value = Object.hasOwn(body, name) ? body[name] ?? undefined : undefined
    if (value === undefined || takes(model, name, value)) continue
    delete rest[name]
    const items: readonly unknown[] = Array.isArray(value) ? value : [value]
    for (const [index, item] of items.entries()) {
      if (faults.length >= MAX_FAULTS) break
      const path = Array.isArray(value) ? `/${name}/${index}` : `/${name}`
      const address = addressIn(item, path)
      if (typeof address !== 'string') faults.push(address)
      else if (name === 'mask') mask = address
      else pictures.push(address)
    }
    if (name === 'mask' && items.length !== 1) faults.push({ path: '/mask', message: 'must be one picture', code: 'value_error' })
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, asked: { pictures, mask, rest } }
}

/** An address as OpenAI's clients write it: alone, or in an object. */
function addressIn (item: unknown, path: string): string | FieldFault {
  const { image_url: inside = null, file_id: fileId = null }: { readonly image_url?: unknown, readonly file_id?: unknown } = typeof item === 'object' && item !== null ? item : {}
  if (fileId !== null) return { path: `${path}/file_id`, message: 'is a file at OpenAI, which nobody has here: send the picture itself, or its address as image_url', code: 'value_error' }
  const address = typeof item === 'string' ? item : inside
  if (typeof address !== 'string' || !/^(https?:\/\/|data:image\/)/i.test(address)) return { path, message: 'must be a picture: a file in a form, or its address (https: or data:)', code: 'value_error' }
  return address
}

/** Puts pictures where the model takes them. */
export function placePictures ({ pictures, mask, rest }: AskedEdit, model: Model): Placing {
  const fields = pictureFieldsOf(model)
  if (fields === null) return placeUnnamed({ pictures, mask, rest }, model)
  const changes = new Map<string, string>()
  const body: Record<string, unknown> = { ...rest }
  const [first] = pictures
  const own = rest[fields.pictures] ?? undefined
  if (first === undefined && own === undefined) return refused('image', 'is missing: send the picture that is to be changed, in a form as a file, in JSON as its address')
  if (first !== undefined) {
    if (own !== undefined) return refused('image', `stands beside ${fields.pictures}, which is the model's word for it: send one of them`)
    if (!fields.isList && pictures.length > 1) return refused('image', 'must be one picture for this model')
    body[fields.pictures] = fields.isList ? pictures : first
    changes.set('image', fields.pictures)
  }
  if (mask !== null) {
    if (fields.mask === null) return refused('mask', 'is in vain: this model takes none')
    if ((rest[fields.mask] ?? undefined) !== undefined) return refused('mask', `stands beside ${fields.mask}, which is the model's word for it: send one of them`)
    body[fields.mask] = mask
    changes.set('mask', fields.mask)
  }
  return { ok: true, body, changes }
}

/** For a model that takes no pictures, or several of which none is the usual one: callers say which is which. */
function placeUnnamed ({ pictures, mask, rest }: AskedEdit, model: Model): Placing {
  const own = picturesIn(model)
  if (own.length === 0) return refused('image', `is in vain: ${model.endpointId} takes no pictures, and ${editorIdOf(model)} is not on offer here. Ask for a model that takes some`)
  if (pictures.length === 0 && mask === null && own.some(name => (rest[name] ?? undefined) !== undefined)) return { ok: true, body: rest, changes: new Map() }
  return refused(mask === null ? 'image' : 'mask', `has no place of its own: this model takes pictures as ${own.join(', ')}. Send their addresses under these names`)
}

function refused (name: string, message: string): Placing {
  return { ok: false, faults: [{ path: `/${name}`, message, code: 'value_error' }] }
}
