// A form with pictures (`multipart/form-data`), as OpenAI's libraries send it: its texts, and its files, which are read to their end as they come.

import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Refusal, SentFile, SentFiles } from '../../generation/sent-file.ts'
import { BODY_LIMIT_BYTES, BodyOverdue, problemOfStream, type LongBodies } from '../body-bytes.ts'
import { nextPart } from './form-parts.ts'

export interface Form {
  /** In the order in which they came. */
  readonly texts: readonly FormText[]
  readonly pictures: readonly SentFile[]
  readonly mask: SentFile | null
}

export interface FormText { readonly name: string, readonly text: string }

export interface FormDeps {
  readonly sentFiles: SentFiles
  readonly longBodies: LongBodies
}

/** OpenAI's own bound of pictures, and one for the mask. */
const MAX_FILES = 17

/** More than any request of a model has; Node's library sends a `Buffer` as one text for each of its bytes. */
const MAX_TEXTS = 200

/** What texts may come to, with their names. */
const MAX_TEXT_BYTES = BODY_LIMIT_BYTES

const MAX_NAME_BYTES = 200

/** Python and Node name a picture alone `image`, and each of a list `image[]`. */
const PICTURE = /^images?(\[\d{0,2}\])?$/

/** Reads a form. Whatever becomes of it, `hold` is given each of its files as soon as it is taken. */
export async function readForm (request: FastifyRequest, deps: FormDeps, hold: (file: SentFile) => void): Promise<Form> {
  try {
    return await read(request, deps, hold)
  } catch (error) {
    // What comes after a refusal is not kept for anybody.
    request.raw.unpipe().resume()
    throw error
  }
}

async function read (request: FastifyRequest, { sentFiles, longBodies }: FormDeps, hold: (file: SentFile) => void): Promise<Form> {
  // Of a caller that left while it was recognised nothing comes any more, not even an end.
  if (!request.facts.connection.isOpen()) throw problemOfStream(null)
  const { 'content-length': said, 'content-encoding': packedAs = 'identity' } = request.headers
  if (packedAs !== 'identity') throw refused('Send the form without Content-Encoding.')
  const length = said === undefined ? null : Number(said)
  // What says that it is too long is not read.
  if (length !== null && length > sentFiles.maxBytes + MAX_TEXT_BYTES) throw tooLong(sentFiles.maxBytes)
  const full = length === null || length > BODY_LIMIT_BYTES ? longBodies.enter(request) : null
  if (full !== null) throw full

  const parts = request.parts({ limits: { fieldSize: MAX_TEXT_BYTES, fields: MAX_TEXTS, files: MAX_FILES, parts: MAX_TEXTS + MAX_FILES, fileSize: Infinity, headerPairs: 20 } })

  const texts: FormText[] = []
  const pictures: SentFile[] = []
  let mask: SentFile | null = null
  let textBytes = 0
  let leftBytes = sentFiles.maxBytes
  for (let next = await nextOf(parts, request); next !== null; next = await nextOf(parts, request)) {
    assertPlain(next)
    if (next.type === 'file') {
      const file = await take(next)
      hold(file)
      leftBytes -= file.bytes
      if (next.fieldname === 'mask') mask = file
      else pictures.push(file)
      continue
    }
    const { fieldname: name, value: text } = next
    // Its digits are lost by then.
    if (typeof text !== 'string' || next.mimetype === JSON_TYPE) throw refused(sentences.FST_INVALID_JSON_FIELD_ERROR)
    // It stands for what could not be read, so that different texts would be the same one.
    if (text.includes('\ufffd')) throw fault(name, 'must be UTF-8')
    textBytes += Buffer.byteLength(name) + Buffer.byteLength(text)
    if (next.valueTruncated || textBytes > MAX_TEXT_BYTES) throw new Problem('body-too-large', { detail: `The texts of a form may be ${MAX_TEXT_BYTES / 1024} KiB together here. Pictures are sent as files.` })
    texts.push({ name, text })
  }
  return { texts, pictures, mask }

  async function take ({ fieldname: name, file: content }: MultipartFile): Promise<SentFile> {
    if (name !== 'mask' && !PICTURE.test(name)) throw fault(name, 'is a file: pictures are sent as image or image[], and a mask as mask')
    if (name === 'mask' && mask !== null) throw fault(name, 'must be one picture')
    const taken = await sentFiles.take(content, leftBytes)
    if (typeof taken !== 'string') return taken
    // What cut it off is told by what reads the form.
    if (taken === 'cut-off') await nextOf(parts, request)
    throw refusalOf(taken, name)
  }

  function refusalOf (refusal: Refusal, name: string): Problem {
    switch (refusal) {
      case 'cut-off': return problemOfStream(null)
      case 'too-long': return tooLong(sentFiles.maxBytes)
      case 'empty': return fault(name, 'is an empty file')
      case 'no-picture': return fault(name, 'must be a picture: what it holds is of no kind that is known here, such as PNG, JPEG or WebP')
    }
  }
}

function tooLong (maxBytes: number): Problem {
  return new Problem('body-too-large', { detail: `The files of one request may be ${maxBytes / (1024 * 1024)} MiB together here. Send smaller ones, or addresses of files that lie elsewhere.` })
}

const JSON_TYPE = 'application/json'

/** Throws what is told of a part that would be read in another way than it was meant. */
function assertPlain (part: Part): void {
  if (!hasName(part)) throw refused('The form has a part without a name.')
  const { fieldname: name, encoding } = part
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw refused(`The form has a part with a name of more than ${MAX_NAME_BYTES} bytes.`)
  if (encoding === 'base64' || encoding === 'quoted-printable') throw refused('The form has a part that would have to be unpacked: send it as it is, without Content-Transfer-Encoding.')
}

/** The parser hands on what it finds, whatever its types say. */
function hasName ({ fieldname }: { readonly fieldname: unknown }): boolean {
  return typeof fieldname === 'string' && fieldname !== ''
}

type Part = Awaited<ReturnType<ReturnType<FastifyRequest['parts']>['next']>>['value']

/** The next part; `null`: that was all. Rejects with what is wrong with the form. */
async function nextOf (parts: ReturnType<FastifyRequest['parts']>, { raw }: FastifyRequest): Promise<Part | null> {
  try {
    return await nextPart(parts, raw)
  } catch (error) {
    throw problemOfForm(error)
  }
}

/** By the codes of @fastify/multipart; what has none comes of the stream or of what parses it. */
const sentences = {
  FST_PARTS_LIMIT: `The form has more than ${MAX_TEXTS + MAX_FILES} parts.`,
  FST_FIELDS_LIMIT: `The form has more than ${MAX_TEXTS} texts: pictures are sent as files.`,
  FST_FILES_LIMIT: `The form has more than ${MAX_FILES} files.`,
  FST_PROTO_VIOLATION: 'The form has a part with a name that no field has.',
  FST_INVALID_JSON_FIELD_ERROR: 'The form has a part with JSON in it. Send texts and files, or the whole request as JSON.'
} as const

function problemOfForm (error: unknown): Problem {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : null
  if (isToldOf(code)) return refused(sentences[code])
  return error instanceof BodyOverdue ? problemOfStream(error) : refused('The form cannot be read to its end: it was cut off, or is no multipart/form-data.')
}

function isToldOf (code: unknown): code is keyof typeof sentences {
  return typeof code === 'string' && Object.hasOwn(sentences, code)
}

function refused (detail: string): Problem {
  return new Problem('bad-request', { detail })
}

function fault (name: string, message: string): Problem {
  return new Problem('invalid-input', { errors: [{ path: `/${name}`, message, code: 'value_error' }] })
}
