// What a validator found wrong with an input, as a 422 lists it. Values are never quoted.

import type { FieldFault } from '../errors.ts'
import { placeOf, type ValidatorError } from '../schema.ts'

/** More faults than these are not listed. */
export const MAX_FAULTS = 20

/** The faults that a validator found, as a 422 lists them. Values are never quoted. */
export function faultsOf (errors: readonly ValidatorError[]): FieldFault[] {
  return errors.slice(0, MAX_FAULTS).map(error => {
    return {
      path: placeOf(error),
      message: messageOf(error),
      code: isBlank(error) ? 'blank' : codes[error.keyword] ?? error.keyword
    }
  })
}

/** Machine names of faults: fal's own words where it has one for the case. */
const codes: Readonly<Record<string, string>> = {
  required: 'missing',
  additionalProperties: 'unknown_field',
  type: 'wrong_type',
  enum: 'one_of',
  minLength: 'sequence_too_short',
  maxLength: 'sequence_too_long',
  minimum: 'greater_than_equal',
  maximum: 'less_than_equal',
  format: 'not_well_formed'
}

/** A text of white space alone, where a model wants more. Other patterns tell themselves. */
function isBlank ({ keyword, params }: ValidatorError): boolean {
  return keyword === 'pattern' && params['pattern'] === '\\S'
}

function messageOf (fault: ValidatorError): string {
  const { keyword, params, message } = fault
  if (isBlank(fault)) return 'must not be blank'
  switch (keyword) {
    case 'required': return 'is missing'
    case 'additionalProperties': return 'is not a field of this model'
    case 'type': return params['type'] === 'integer' ? 'must be a whole number' : `must be of type ${String(params['type'])}`
    case 'enum': return `must be one of ${JSON.stringify(params['allowedValues'])}`
    case 'format': return 'must be well-formed Unicode, without lone surrogates'
    default: return message ?? 'is not valid'
  }
}
