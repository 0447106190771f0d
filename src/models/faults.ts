// What a validator found wrong with an input, as a 422 lists it. Values are never quoted.

import type { FieldFault } from '../errors.ts'
import { placeOf, type ValidatorError } from '../schema.ts'

/** More faults than these are not listed. */
export const MAX_FAULTS = 20

/** The longest list of allowed values that a sentence holds. */
const MAX_LIST_CHARACTERS = 500

/** The faults that a validator found, as a 422 lists them; `at` is the JSON pointer of what was checked. Values are never quoted. */
export function faultsOf (errors: readonly ValidatorError[], at = ''): FieldFault[] {
  return oneOfEach(withoutBranches(errors)).slice(0, MAX_FAULTS).map(error => ({ path: at + placeOf(error), message: messageOf(error), code: codeOf(error) }))
}

/** A union of which the value fits no branch, with what its branches would have taken in its place. */
interface MissedUnion extends ValidatorError { readonly alternatives?: readonly ValidatorError[] }

/**
 * The errors without those of branches that were never meant. Where a value has the type of a branch, what is wrong inside it is told; where it has that of
 * none, one error says what all of them take.
 */
function withoutBranches (errors: readonly ValidatorError[]): readonly MissedUnion[] {
  const told: MissedUnion[] = []
  for (const error of errors) {
    // The errors of the branches come right before that of the union.
    if (!isMissedUnion(error)) {
      told.push(error)
      continue
    }
    let start = told.length
    while (start > 0 && isWithin(told[start - 1]?.instancePath ?? '', error.instancePath)) start--
    const branches = told.splice(start)
    const inside = branches.filter(branch => !isOfKind(branch, error.instancePath))
    if (inside.length > 0) told.push(...inside)
    else told.push({ ...error, alternatives: branches.flatMap(branch => branch.alternatives ?? [branch]) })
  }
  return told
}

/**
 * The errors without what follows from another one at the same place: a value that is of another kind altogether breaks every other rule, too, and what has no
 * character at all is blank.
 */
function oneOfEach (errors: readonly MissedUnion[]): readonly MissedUnion[] {
  if (errors.length < 2) return errors
  const chief = new Map<string, { readonly error: MissedUnion, readonly rank: number }>()
  for (const error of errors) {
    const rank = rankOf(error)
    const known = chief.get(placeOf(error))
    if (rank > (known?.rank ?? 0)) chief.set(placeOf(error), { error, rank })
  }
  return errors.filter(error => (chief.get(placeOf(error))?.error ?? error) === error)
}

/** Above 0: it says all that there is to say of its place; the highest does. */
function rankOf (error: MissedUnion): number {
  if (error.keyword === 'enum' || error.keyword === 'const') return 3
  if (error.keyword === 'type') return 2
  return isBlank(error) ? 1 : 0
}

function isMissedUnion ({ keyword, params }: ValidatorError): boolean {
  // `oneOf` also fails where two fit.
  return keyword === 'anyOf' || (keyword === 'oneOf' && !Array.isArray(params['passingSchemas']))
}

/** Does an error say that a value is of another kind altogether? */
function isOfKind ({ keyword, instancePath, alternatives }: MissedUnion, path: string): boolean {
  return instancePath === path && (alternatives !== undefined || ['type', 'enum', 'const'].includes(keyword))
}

function isWithin (path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`)
}

/** Machine names of faults: fal's own words where it has one for the case. */
const codes: Readonly<Record<string, string>> = {
  required: 'missing',
  dependentRequired: 'missing',
  additionalProperties: 'unknown_field',
  type: 'wrong_type',
  enum: 'one_of',
  const: 'one_of',
  minLength: 'sequence_too_short',
  maxLength: 'sequence_too_long',
  minItems: 'sequence_too_short',
  maxItems: 'sequence_too_long',
  minimum: 'greater_than_equal',
  maximum: 'less_than_equal',
  exclusiveMinimum: 'greater_than',
  exclusiveMaximum: 'less_than',
  multipleOf: 'multiple_of',
  format: 'not_well_formed'
}

function codeOf (error: MissedUnion): string {
  if (isBlank(error)) return blankFault('').code
  if (error.alternatives !== undefined) return valuesOf(error.alternatives).length > 0 ? 'one_of' : 'wrong_type'
  return codes[error.keyword] ?? error.keyword
}

/** How a schema says that a text must not be blank. Other patterns tell themselves. */
export const NOT_BLANK = '\\S'

/** A text that shows nothing, where a model wants more. */
export function blankFault (path: string): FieldFault {
  return { path, message: 'must not be blank', code: 'blank' }
}

/** Does a text show nothing? Beside white space that is what is not drawn: control characters, joiners and marks without a width, fillers. */
export function isBlankText (text: string): boolean {
  return !/[^\p{Z}\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]/u.test(text)
}

function isBlank ({ keyword, params }: ValidatorError): boolean {
  return keyword === 'pattern' && params['pattern'] === NOT_BLANK
}

function messageOf (error: MissedUnion): string {
  const { keyword, params, message, alternatives } = error
  if (isBlank(error)) return blankFault('').message
  if (alternatives !== undefined) return messageOfUnion(alternatives)
  switch (keyword) {
    case 'required': case 'dependentRequired': return 'is missing'
    case 'additionalProperties': return 'is not a field of this model'
    case 'type': return params['type'] === 'integer' ? 'must be a whole number' : `must be of type ${typesOf([error]).join(' or ')}`
    case 'enum': return `must be one of ${listed(params['allowedValues'])}`
    case 'const': return `must be ${listed(params['allowedValue'])}`
    case 'format': return 'must be well-formed Unicode, without lone surrogates'
    case 'false schema': case 'not': return 'must not be given like this'
    default: return message ?? 'is not valid'
  }
}

function messageOfUnion (alternatives: readonly ValidatorError[]): string {
  const values = valuesOf(alternatives)
  const types = typesOf(alternatives)
  // A branch without a type of its own says its values alone.
  const kinds = types.length > 0 ? `of type ${types.join(' or ')}` : ''
  if (values.length === 0) return kinds === '' ? 'fits none of the forms that this field takes' : `must be ${kinds}`
  return `must be one of ${listed(values)}${kinds === '' ? '' : `, or ${kinds}`}`
}

function valuesOf (errors: readonly ValidatorError[]): readonly unknown[] {
  const texts = new Map<string, unknown>()
  for (const { keyword, params } of errors) {
    const values: readonly unknown[] = keyword === 'const' ? [params['allowedValue']] : keyword === 'enum' && Array.isArray(params['allowedValues']) ? params['allowedValues'] : []
    for (const value of values) texts.set(JSON.stringify(value), value)
  }
  return [...texts.values()]
}

/** The types that errors ask for; not those of an enum beside them, which says more. */
function typesOf (errors: readonly ValidatorError[]): readonly string[] {
  const enums = errors.filter(({ keyword }) => keyword === 'enum' || keyword === 'const').map(schemaOf)
  return [...new Set(errors.filter(error => error.keyword === 'type' && !enums.includes(schemaOf(error))).flatMap(({ params }) => params['type']).map(String))]
}

/** Which schema an error is of. */
function schemaOf ({ schemaPath }: ValidatorError): string {
  return schemaPath.slice(0, schemaPath.lastIndexOf('/'))
}

function listed (values: unknown): string {
  const text = JSON.stringify(values)
  return text.length <= MAX_LIST_CHARACTERS ? text : text.slice(0, MAX_LIST_CHARACTERS) + ' …'
}
