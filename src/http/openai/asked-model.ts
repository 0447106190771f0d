// Which model OpenAI's clients mean: an endpoint id, one of the names that the tenants file gives them, or none, which is the default model.

import type { FastifyRequest } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Model } from '../../models/model.ts'
import type { ModelBook } from '../../models/models.ts'
import type { TenantBook } from '../../tenants/book.ts'
import { askedModel } from '../asked-model.ts'

/** Names by which all of OpenAI's models that make pictures of their own are called; their callers read `b64_json` and ask for nothing. */
const WITH_BASE64 = /^gpt-image/

export interface NamedModel { readonly model: Model, readonly isWithBase64: boolean }

/** The model that a body names. Throws `model-unknown`: another name never means the default. */
export function namedModel (request: FastifyRequest, named: unknown, models: ModelBook, { aliases }: Pick<TenantBook, 'aliases'>): NamedModel {
  if (named === undefined || named === null) return { model: models.default, isWithBase64: false }
  if (typeof named !== 'string') throw new Problem('invalid-input', { errors: [{ path: '/model', message: 'must be a text', code: 'wrong_type' }] })
  return { model: askedModel(request, aliases.get(named) ?? named, models), isWithBase64: WITH_BASE64.test(named) }
}
