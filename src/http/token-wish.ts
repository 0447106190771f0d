// A backend's wish for a token: the body of `POST /tokens`, and what is wrong with one.

import { Type, type Static } from '@sinclair/typebox'
import { Problem, type FieldFault } from '../errors.ts'
import { faultsOf } from '../models/faults.ts'
import { fieldNamesOf } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { parseUsd, type MicroUsd } from '../money.ts'
import { hintOf } from '../nearest.ts'
import { createValidator, pointerTo } from '../schema.ts'
import { mayUse, type Tenant } from '../tenants/book.ts'
import { isOrigin, matchesOrigin } from '../tenants/origins.ts'

/** Seconds that a token lasts, where nobody says. */
const DEFAULT_SECONDS = 600

/** Faults of one wish that are told. */
const MAX_FAULTS = 20

/** The longest path of a fault; names in a wish may be anything. */
const MAX_PATH_CHARACTERS = 200

/** What models and values together may take, in bytes: every call with the token reads them again. */
const MAX_LIMITS_BYTES = 8 * 1024

const Scalar = Type.Union([Type.String({ maxLength: 1000 }), Type.Number(), Type.Boolean()])
// Every name is checked, also one that no pattern of TypeBox's would match.
const Allow = Type.Unsafe<Record<string, Static<typeof Scalar>[]>>({
  type: 'object',
  additionalProperties: Type.Array(Scalar, { minItems: 1, maxItems: 100 }),
  maxProperties: 20,
  description: 'Parameters that are limited to some values, as in the tenants file. Some model that the token may use has each of them.'
})
// Texts, and no set of known ones: generated clients in Java do not compile with an array of those.
const Cache = Type.Array(Type.Unsafe<'refresh' | 'bypass'>({ type: 'string', pattern: '^(?:refresh|bypass)$' }), { maxItems: 2, description: '`refresh`, `bypass`: modes of `Falgate-Cache` that pay for what is stored, and that it may name. None by default.' })

export const TokenWishSchema = Type.Object({
  pictures: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'How many files may be bought with it. `num_images: 4` counts four: as many as it can be while it is made, and as many as there are after that.' }),
  expires_in: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400, default: DEFAULT_SECONDS, description: 'Seconds.' })),
  usd: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000, description: 'Dollars that may be spent with it. Without, only the files are counted.' })),
  origins: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 20, description: 'Origins whose pages may use it, out of the tenant\'s. All of these by default.' })),
  models: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 100, description: 'Endpoint ids, out of the tenant\'s models. All of these by default.' })),
  allow: Type.Optional(Allow),
  cache: Type.Optional(Cache),
  subject: Type.Optional(Type.String({ minLength: 1, maxLength: 128, format: 'well-formed', pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]+$', description: 'Whom it is for, as a text for the gateway\'s logs.' }))
}, { additionalProperties: false, title: 'TokenWish' })

type Body = Static<typeof TokenWishSchema>

/** A wish that can be met, with every default filled in. */
export interface TokenWish extends Pick<Body, 'pictures'> {
  readonly seconds: number
  /** `null`: only the files are counted. */
  readonly money: MicroUsd | null
  readonly origins: readonly string[]
  /** `null`: all that the tenant may use. */
  readonly models: string[] | null
  readonly allow: Record<string, Static<typeof Scalar>[]>
  readonly cache: ('refresh' | 'bypass')[]
  /** Whom it is for, for logs. */
  readonly label: string | null
}

const compile = () => createValidator({ allErrors: true }).compile<Body>(TokenWishSchema)
/** Made when the first wish comes. */
let check: ReturnType<typeof compile> | null = null

/** Reads a wish of this tenant. Throws `bad-token-wish` with what is wrong, field by field. */
export function readWish (body: unknown, tenant: Tenant, models: ModelBook): TokenWish {
  check ??= compile()
  if (!check(body)) throw refusalOf(faultsOf(check.errors ?? []))
  const money = body.usd === undefined ? null : parseUsd(body.usd)
  const faults = faultsBeyondSchema(body, tenant, models)
  if (body.usd !== undefined && money === null) faults.push({ path: '/usd', message: 'must be dollars, as a plain number', code: 'bad_number' })
  if (faults.length > 0) throw refusalOf(faults)
  const { pictures, expires_in: seconds = DEFAULT_SECONDS, origins = tenant.origins, models: ids = null, allow = {}, cache = [], subject: label = null } = body
  return { pictures, seconds, money, origins, models: ids, allow, cache, label }
}

/** What a schema cannot say: a token gives no more than its tenant has, and its limits are those of models that it may use. */
function faultsBeyondSchema ({ origins = [], models: ids, allow = {} }: Body, tenant: Tenant, models: ModelBook): FieldFault[] {
  const faults: FieldFault[] = []
  origins.forEach((origin, index) => {
    const isListed = isOrigin(origin) && tenant.origins.some(listed => listed === origin || matchesOrigin(listed, origin))
    if (!isListed) faults.push({ path: `/origins/${index}`, message: 'must be one of the tenant\'s origins', code: 'not_allowed' })
  })
  ids?.forEach((id, index) => {
    if (models.find(id) === undefined || !mayUse(tenant, id)) faults.push({ path: `/models/${index}`, message: 'must be one of the tenant\'s models', code: 'not_allowed' })
  })
  const parameters = Object.keys(allow).length === 0 ? new Set<string>() : parametersOf(ids, tenant, models)
  for (const [parameter, values] of Object.entries(allow)) {
    const path = `/allow/${pointerTo(parameter)}`.slice(0, MAX_PATH_CHARACTERS)
    if (!parameters.has(parameter)) {
      faults.push({ path, message: `is a parameter of none of the models that the token may use${hintOf(parameter, parameters)}`, code: 'unknown_field' })
      continue
    }
    const listed = tenant.allow.get(parameter)
    values.forEach((value, index) => {
      if (listed?.includes(value) === false) faults.push({ path: `${path}/${index}`, message: 'must be a value that the tenant may set', code: 'not_allowed' })
    })
  }
  if (Buffer.byteLength(JSON.stringify([ids, allow])) > MAX_LIMITS_BYTES) faults.push({ path: '', message: `may have models and values of ${MAX_LIMITS_BYTES} bytes in all, as JSON`, code: 'too_long' })
  return faults
}

/** The parameters of the models that the token may use. */
function parametersOf (ids: readonly string[] | undefined, tenant: Tenant, { all }: ModelBook): ReadonlySet<string> {
  const usable = all.filter(({ endpointId }) => mayUse(tenant, endpointId) && ids?.includes(endpointId) !== false)
  return new Set(usable.flatMap(fieldNamesOf))
}

/** Of the faults the first are told. Some words for faults are those of models, and this is none; patterns are told in words. */
function refusalOf (faults: readonly FieldFault[]): Problem {
  const errors = faults.slice(0, MAX_FAULTS).map(fault => ({ ...fault, message: messageOf(fault) }))
  return new Problem('bad-token-wish', { detail: 'See `errors` for each field.', errors })
}

function messageOf ({ path, message, code }: FieldFault): string {
  if (code === 'pattern') return path === '/subject' ? 'must not hold control characters' : 'must be refresh or bypass'
  return code === 'unknown_field' && !path.startsWith('/allow/') ? `is not a field of a wish for a token${hintOf(path.slice(1), Object.keys(TokenWishSchema.properties))}` : message
}
