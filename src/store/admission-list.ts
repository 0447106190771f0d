// What both stores know of admitting a list: one request is a list of one.

import type { Admission, Admitted, AdmittedAll } from '../generation/admission.ts'
import { ledgerConstants } from '../generation/ledger-constants.ts'

/** Throws for a list that no caller may hand over: the index of each is in its names, so none is another's duplicate or repetition. */
export function assertListable (admissions: readonly Admission[]): void {
  const { length } = admissions
  if (length < 1 || length > ledgerConstants.maxAdmissions) throw new RangeError(`The ledger admits 1 to ${ledgerConstants.maxAdmissions} requests at once, not ${length}.`)
  if (length === 1) return
  const names = admissions.flatMap(({ id, idempotency, duplicateName }) => [id, idempotency?.name ?? [], duplicateName ?? []].flat())
  if (new Set(names).size < names.length) throw new RangeError('Two requests of one list have the same id, idempotency name or duplicate name.')
}

/** What a list of one got. */
export function admittedAlone (all: AdmittedAll): Admitted {
  if (all.outcome !== 'all') return all
  const [only] = all.got
  if (only === undefined) throw new Error('The ledger admitted one request and answered none.')
  return only
}
