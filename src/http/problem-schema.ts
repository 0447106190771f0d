// The documentation of problem bodies; `problem.ts` writes them.

import { Type, type TSchema } from '@sinclair/typebox'
import { problems, problemsMetBy, type ProblemCode } from '../errors.ts'
import { headersAt } from './headers.ts'

export const FieldFaultSchema = Type.Object({
  path: Type.String({ description: 'JSON pointer into the body.' }),
  message: Type.String(),
  code: Type.String(),
  ctx: Type.Optional(Type.Object({}, { additionalProperties: true, description: 'Limits that belong to the code.' }))
})

/** New versions add codes, so that it is a text, and no client may fail on one that it does not know. The known ones stand beside it. */
export const CodeSchema = Type.Unsafe<ProblemCode>({ type: 'string', description: 'Any text: later versions have more. `docs/errors.md` tells of each what it means.', 'x-extensible-enum': Object.keys(problems) })

export const ProblemSchema = Type.Object({
  type: Type.String({ description: '`urn:falgate:problem:` and the code.' }),
  title: Type.String(),
  status: Type.Integer({ minimum: 100, maximum: 599 }),
  detail: Type.Optional(Type.String()),
  code: CodeSchema,
  request_id: Type.String({ description: 'Name it when you ask for help.' }),
  errors: Type.Optional(Type.Array(FieldFaultSchema, { maxItems: 20 })),
  generation_id: Type.Optional(Type.String()),
  cost_usd: Type.Optional(Type.Number({ description: 'What that generation cost, where its result is not kept any more.' }))
}, { title: 'Problem', description: 'RFC 9457.' })

/** Response schemas, one a status, for the documentation of a route: what its kind of request can meet, and `certain` problems of its own. */
export function problemResponses (kind: Parameters<typeof problemsMetBy>[0], ...certain: readonly ProblemCode[]): Record<number, TSchema> {
  return responsesOf([...problemsMetBy(kind), ...certain])
}

/** The same of a route that takes no key: these problems alone. */
export function responsesOf (codes: readonly ProblemCode[]): Record<number, TSchema> {
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) {
    const { status } = problems[code]
    byStatus.set(status, [...byStatus.get(status) ?? [], code])
  }
  const responses: Record<number, TSchema> = {}
  for (const [status, of] of byStatus) {
    const description = of.map(code => `\`${code}\`: ${problems[code].title}.`).join(' ')
    const headers = headersAt(status)
    responses[status] = Type.Unsafe<unknown>({ description, ...(Object.keys(headers).length === 0 ? {} : { headers }), content: { 'application/problem+json': { schema: Type.Ref('Problem') } } })
  }
  return responses
}
