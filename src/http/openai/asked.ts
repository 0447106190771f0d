// What a request in OpenAI's words asks for, read from its headers and its body.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Follow } from '../../generation/watch/follow.ts'
import { mapImageRequest, type Mapped } from '../../models/image-request.ts'
import type { ModelBook } from '../../models/models.ts'
import { isObject } from '../../schema.ts'
import type { TenantBook } from '../../tenants/book.ts'
import { missed } from '../answer.ts'
import type { AskDeps, UploadFiles } from '../ask.ts'
import type { HeaderOptions } from '../call-options.ts'
import type { EventStreams } from '../event-stream.ts'
import { purchaseOptionsOf } from '../generate-headers.ts'
import { answerHeaders, requestHeaders } from '../headers.ts'
import { namedModel } from './asked-model.ts'
import type { AskedPictures, PicturesDeps } from './pictures.ts'

export interface ImagesDeps extends AskDeps, PicturesDeps {
  /** What is on offer now. */
  readonly models: () => ModelBook
  readonly tenants: () => TenantBook
  readonly waitMs: number
  readonly follow: Follow
  readonly eventStreams: EventStreams
}

/** A request as it is understood. */
export interface AskedImages extends AskedPictures {
  readonly mapped: Mapped
  readonly headers: HeaderOptions
  /** What the events of its stream begin with. */
  readonly event: 'image_generation' | 'image_edit'
  /** Uploads its files to where fal finds them; `null`: it has none. */
  readonly uploadFiles: UploadFiles | null
}

/** Reads headers and body of a request for new pictures. Bytes that were answered out of this process' memory a moment ago are not read again. */
export function askedOf (request: FastifyRequest, reply: FastifyReply, { models, tenants, waitMs }: ImagesDeps): AskedImages {
  const headers = headersOf(request, reply, waitMs)
  const body = objectIn(request.body)
  const { model, isWithBase64 } = namedModel(request, body['model'], models(), tenants())
  const { knownBody } = request.facts
  const known = knownBody?.readFor.model === model ? knownBody.readFor.mapped : null
  const mapped = known ?? mappedFor(body, model)
  tellMapped(reply, mapped)
  return { model, mapped, headers, format: formatOf(mapped, isWithBase64), event: 'image_generation', uploadFiles: null }
}

/** Reads the headers. Throws what is none of this door. */
export function headersOf (request: FastifyRequest, reply: FastifyReply, waitMs: number): HeaderOptions {
  const { mode, idempotencyKey, callerRetry } = purchaseOptionsOf(request.headers)
  const headers: HeaderOptions = { mode, idempotencyKey, callerRetry, async: false, waitMs, preferenceApplied: null, priority: 'interactive', startWithinMs: null, needsId: false, hook: null }
  reply.header(answerHeaders.cacheStatus, missed(mode))
  if (request.headers[requestHeaders.dryRun] !== undefined) throw new Problem('bad-header', { detail: 'Falgate-Dry-Run is for POST /generate.' })
  if (request.headers[requestHeaders.webhook] !== undefined) throw new Problem('bad-header', { detail: 'Falgate-Webhook is for POST /generate and POST /generations.' })
  return headers
}

/** A body that is an object. */
export function objectIn (body: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(body)) throw new Problem('invalid-input', { errors: [{ path: '', message: 'must be an object', code: 'wrong_type' }] })
  return body
}

/** How pictures are sent, when the request does not say it. */
export function formatOf (mapped: Mapped, isWithBase64: boolean): AskedImages['format'] {
  return mapped.format ?? (isWithBase64 || mapped.isStream ? 'b64_json' : 'url')
}

/** Tells what was meant in other words. */
export function tellMapped (reply: FastifyReply, mapped: Mapped): void {
  if (mapped.changes.size > 0) reply.header(answerHeaders.mapped, mappedField(mapped))
}

/** What a model makes of a body. */
export function mappedFor (...[body, model]: Parameters<typeof mapImageRequest>): Mapped {
  const mapping = mapImageRequest(body, model)
  if (!mapping.ok) throw new Problem('invalid-input', { errors: mapping.faults })
  return mapping.mapped
}

/** A structured field (RFC 9651): a dictionary of texts. */
function mappedField ({ changes }: Mapped): string {
  return [...changes].map(([name, text]) => `${name}="${text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\\$&')}"`).join(', ')
}
