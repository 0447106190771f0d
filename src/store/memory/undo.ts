// Takes back a right that was granted and could not be made to last. Nobody has heard of it, so nothing was begun with it. What was only evidence stays.

import type { Admission, Admitted, AdmittedAll, Got } from '../../generation/admission.ts'
import type { Claimed } from '../../generation/evidence.ts'
import type { Token } from '../../generation/accounts.ts'
import { withdraw } from './delivery.ts'
import { recordNotSent } from './evidence.ts'
import type { State } from './state.ts'
import { revoke } from './tokens.ts'

/** Was there something to take back? Its caller must not be answered then. */
export type Undo<Given extends unknown[], Result> = (state: State, result: Result, ...given: Given) => boolean

/** What was bought leaves the queue unspent; who joined others, or was given what there is, keeps that, but for a webhook that would not last. */
export const undoAdmission: Undo<[Admission, ...unknown[]], Admitted> = (state, admitted, admission) => undoAll(state, [admitted], [admission])

export const undoAdmissions: Undo<[readonly Admission[]], AdmittedAll> = (state, admitted, admissions) => admitted.outcome === 'all' && undoAll(state, admitted.got, admissions)

function undoAll (state: State, got: readonly (Admitted | Got)[], admissions: readonly Admission[]): boolean {
  const undone = admissions.filter(({ hook }, index) => {
    const one = got[index]
    return one?.outcome === 'bought' || (hook !== null && one !== undefined && 'row' in one && one.outcome !== 'look')
  })
  withdraw(state, undone.map(({ id, connection, hook }) => {
    const claimId = state.rows.get(id)?.hidden.claimId ?? null
    return { id, connection, ...(claimId === null ? {} : { claimId }), ...(hook === null ? {} : { hookId: hook.id }) }
  }))
  return undone.length > 0
}

export const undoClaim: Undo<unknown[], Claimed> = (state, claimed) => {
  if (claimed.outcome !== 'go') return false
  recordNotSent(state, claimed.row.id, claimed.row.attempt, { retryAfterMs: 0 })
  return true
}

export const undoMint: Undo<[Token], { readonly outcome: 'minted' | 'full' }> = (state, { outcome }, { id, tenant }) => outcome === 'minted' && revoke(state, id, tenant)

/** An operator's or a reader's word, or a token's end, holds here at once and is written with the next change; who gave it is not told that it lasts. */
export const undoWord = (_state: State, result: boolean | { readonly outcome: string }): boolean => result === true || (typeof result === 'object' && (result.outcome === 'settled' || result.outcome === 'corrected' || result.outcome === 'erased' || result.outcome === 'due'))
