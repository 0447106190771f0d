// What a request in OpenAI's words asks for, read from its headers and its body.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Upload } from '../../generation/uploads.ts'
import type { Follow } from '../../generation/watch/follow.ts'
import { mapImageRequest, type Mapped } from '../../models/image-request.ts'
import type { ModelBook } from '../../models/models.ts'
import { isObject } from '../../schema.ts'
import type { TenantBook } from '../../tenants/book.ts'
import { missed } from '../answer.ts'
import type { AskDeps } from '../ask.ts'
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
  /** Carries files of callers to where models read them; `null`: they cannot send any. */
  readonly upload: Upload | null
  readonly follow: Follow
  readonly eventStreams: EventStreams
}

/** A request as it is understood. */
export interface AskedImages extends AskedPictures {
  readonly mapped: Mapped
  readonly headers: HeaderOptions
}

/** Reads headers and body. Bytes that were answered out of this process' memory a moment ago are not read again. */
export function askedOf (request: FastifyRequest, reply: FastifyReply, { models, tenants, waitMs }: ImagesDeps): AskedImages {
  const { mode, idempotencyKey, callerRetry } = purchaseOptionsOf(request.headers)
  const headers: HeaderOptions = { mode, idempotencyKey, callerRetry, async: false, waitMs, preferenceApplied: null, priority: 'interactive', startWithinMs: null, needsId: false, hook: null }
  reply.header(answerHeaders.cacheStatus, missed(mode))
  if (request.headers[requestHeaders.dryRun] !== undefined) throw new Problem('bad-header', { detail: 'Falgate-Dry-Run is for POST /generate.' })
  if (request.headers[requestHeaders.webhook] !== undefined) throw new Problem('bad-header', { detail: 'Falgate-Webhook is for POST /generate and POST /generations.' })
  const { body, facts: { knownBody } } = request
  if (!isObject(body)) throw new Problem('invalid-input', { errors: [{ path: '', message: 'must be an object', code: 'wrong_type' }] })
  const { model, isWithBase64 } = namedModel(request, body['model'], models(), tenants())
  const known = knownBody?.readFor.model === model ? knownBody.readFor.mapped : null
  const mapped = known ?? mappedFor(body, model)
  if (mapped.changes.size > 0) reply.header(answerHeaders.mapped, mappedField(mapped))
  return { model, mapped, headers, format: mapped.format ?? (isWithBase64 || mapped.isStream ? 'b64_json' : 'url') }
}

function mappedFor (...[body, model]: Parameters<typeof mapImageRequest>): Mapped {
  const mapping = mapImageRequest(body, model)
  if (!mapping.ok) throw new Problem('invalid-input', { errors: mapping.faults })
  return mapping.mapped
}

/** A structured field (RFC 9651): a dictionary of texts. */
function mappedField ({ changes }: Mapped): string {
  return [...changes].map(([name, text]) => `${name}="${text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\\$&')}"`).join(', ')
}
