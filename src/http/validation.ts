// Schema checks of what callers send beside a body: query strings and paths, with numbers read from text. Bodies are a model's business (`call-options.ts`).

import type { FastifySchemaCompiler } from 'fastify'
import { createValidator } from '../schema.ts'

const strings = createValidator({ allErrors: true, coerceTypes: true, useDefaults: true })

/** Fastify's validator compiler. The schema of a body only documents it. */
export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }) =>
  httpPart === 'body' ? () => true : strings.compile(schema)
