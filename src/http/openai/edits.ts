// `POST /v1/images/edits`: pictures made of pictures, in OpenAI's form. They come as files in a form, or as addresses in JSON.

import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { SentFile } from '../../generation/sent-file.ts'
import { editorIdOf, pictureFieldsOf, placePictures, readEdit, type AskedEdit } from '../../models/edit-request.ts'
import type { Mapped } from '../../models/image-request.ts'
import type { Model, ModelInput } from '../../models/model.ts'
import type { ModelBook } from '../../models/models.ts'
import { FILE_BODY_LIMIT_BYTES } from '../body-bytes.ts'
import { refuseNamesOfFiles } from '../call-options.ts'
import { parseJson } from '../json-body.ts'
import { namedModel } from './asked-model.ts'
import { formatOf, headersOf, mappedFor, objectIn, tellMapped, type AskedImages, type ImagesDeps } from './asked.ts'
import { bodyOfFields, readFields, type FormFields } from './form-body.ts'
import { readForm, type Form, type FormDeps } from './form.ts'
import { makeImages } from './images.ts'
import { editsSchema } from './schema.ts'

export interface EditsDeps extends ImagesDeps, FormDeps {}

/** Forms are read in this scope alone. */
export async function editRoutes (scope: FastifyInstance, deps: EditsDeps): Promise<void> {
  await scope.register(async edits => {
    await edits.register(multipart)
    edits.removeContentTypeParser('*')
    edits.addContentTypeParser('*', (_request, _payload, done) => { done(new Problem('not-json', { detail: 'Or it is a form: multipart/form-data.' })) })
    // What reads the form would tell every header, and with these the key.
    edits.post('/images/edits', { logLevel: 'warn', config: { saysCacheStatus: true, bodyLimitOf: () => FILE_BODY_LIMIT_BYTES }, schema: editsSchema }, async (request, reply) => {
      const files: SentFile[] = []
      try {
        const form = request.isMultipart() ? await readForm(request, deps, file => { files.push(file) }) : null
        return await makeImages(request, reply, askedEditOf(request, reply, form, deps), deps)
      } finally {
        await Promise.all(files.map(({ remove }) => remove()))
      }
    })
  })
}

function askedEditOf (request: FastifyRequest, reply: FastifyReply, form: Form | null, { models, tenants, waitMs, longBodies }: EditsDeps): AskedImages {
  const headers = headersOf(request, reply, waitMs)
  const fields = form === null ? null : fieldsIn(form)
  const named = fields === null ? objectIn(request.body)['model'] : nameIn(fields)
  const { model: asked, isWithBase64 } = namedModel(request, named, models(), tenants())
  const model = editorOf(asked, models())
  const edit = editIn(fields === null ? objectIn(request.body) : formBody(request, fields, model), model)
  if (edit.mask !== null && (form?.mask ?? null) !== null) throw new Problem('invalid-input', { errors: [{ path: '/mask', message: 'must be one picture', code: 'value_error' }] })
  refuseNamesOfFiles({ ...edit.rest, image: edit.pictures, mask: edit.mask })
  const mappedWith = (addresses: Pick<AskedEdit, 'pictures' | 'mask'>): Mapped => {
    // Those that were sent as texts stand before those that came as files.
    const mapped = mappedEdit({ pictures: [...edit.pictures, ...addresses.pictures], mask: addresses.mask ?? edit.mask, rest: edit.rest }, model)
    return model === asked ? mapped : { ...mapped, changes: new Map([['model', model.endpointId], ...mapped.changes]) }
  }
  const mapped = mappedWith({ pictures: form?.pictures.map(({ address }) => address) ?? [], mask: form?.mask?.address ?? null })
  tellMapped(reply, mapped)
  // What the same bytes mean at other doors has nothing of an edit.
  request.facts.bodyName = null
  const uploadAll = async (form: Form): Promise<Mapped> => {
    const addresses = await uploadedIn(form, request.facts.connection.untilOver())
    // Who waits for a picture holds none by then.
    await Promise.all(filesOf(form).map(({ remove }) => remove()))
    longBodies.leave(request)
    return mappedWith(addresses)
  }
  const uploadFiles = form === null || filesOf(form).every(file => file.upload === null) ? null : async () => await uploadAll(form)
  return { model, mapped, headers, format: formatOf(mapped, isWithBase64), event: 'image_edit', uploadFiles }
}

/** The one that was named, or, where that takes no pictures, the one beside it that does. Whether the caller may use it is looked at as for every model. */
function editorOf (model: Model, models: ModelBook): Model {
  if (pictureFieldsOf(model) !== null) return model
  const editor = models.find(editorIdOf(model))
  return editor === undefined || pictureFieldsOf(editor) === null ? model : editor
}

function fieldsIn ({ texts }: Form): FormFields {
  const reading = readFields(texts)
  if (!reading.ok) throw new Problem('invalid-input', { errors: reading.faults })
  return reading.fields
}

/** Programs that have a setting for the model send it when it is empty, too: that names none. */
function nameIn (fields: FormFields): unknown {
  const named = fields.get('model')
  return named === '' ? undefined : named
}

/** The texts of a form, as if they had come as JSON. */
function formBody ({ facts }: FastifyRequest, fields: FormFields, model: Model): ModelInput {
  const { value, seed, numbers } = parseJson(bodyOfFields(fields, model))
  facts.seed = seed
  facts.numbers = numbers
  return objectIn(value)
}

function editIn (body: ModelInput, model: Model): AskedEdit {
  const reading = readEdit(body, model)
  if (!reading.ok) throw new Problem('invalid-input', { errors: reading.faults })
  return reading.asked
}

function mappedEdit (edit: AskedEdit, model: Model): Mapped {
  const placed = placePictures(edit, model)
  if (!placed.ok) throw new Problem('invalid-input', { errors: placed.faults })
  const mapped = mappedFor(placed.body, model)
  return { ...mapped, changes: new Map([...placed.changes, ...mapped.changes]) }
}

function filesOf ({ pictures, mask }: Form): readonly SentFile[] {
  return mask === null ? pictures : [...pictures, mask]
}

/** Uploads the files of a form to fal, all at once and each once, and gives their addresses there. Where one fails, the others are given up. */
async function uploadedIn ({ pictures, mask }: Form, over: AbortSignal): Promise<Pick<AskedEdit, 'pictures' | 'mask'>> {
  const failed = new AbortController()
  const signal = AbortSignal.any([over, failed.signal])
  let failure: unknown = null
  const uploading = new Map<string, Promise<string>>()
  const uploaded = (file: SentFile): Promise<string> => {
    const coming = uploading.get(file.address) ?? uploadOne(file)
    uploading.set(file.address, coming)
    return coming
  }
  const uploadOne = async ({ address, upload }: SentFile): Promise<string> => {
    try {
      return upload === null ? address : await upload(signal)
    } catch (error) {
      failure ??= error
      failed.abort()
      return address
    }
  }
  const [addresses, maskAddress] = await Promise.all([Promise.all(pictures.map(uploaded)), mask === null ? null : uploaded(mask)])
  if (failure !== null) throw failure
  return { pictures: addresses, mask: maskAddress }
}
