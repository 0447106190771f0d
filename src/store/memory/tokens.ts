// Browser tokens: minted, revoked, and drawn from in admission like a budget. What is held and spent is booked in `books.ts`.

import type { Token } from '../../generation/accounts.ts'
import type { Admission } from '../../generation/admission.ts'
import type { State, TokenState } from './state.ts'

/** Keeps a new token until its results may be forgotten; a second mint of the same id changes nothing. */
export function mint (state: State, token: Token): void {
  if (state.tokens.get(token.id) !== undefined) return
  const fresh: TokenState = { token, heldPictures: 0, heldMoney: 0, spentPictures: 0, spentMoney: 0 }
  state.tokens.set(token.id, fresh, token.expiresAtMs + state.times.resultTtlMs)
}

/** The token with what is left in it; less than nothing when a picture cost more than its reservation. */
export function readToken (state: State, id: string): Token | null {
  const known = state.tokens.get(id)
  if (known === undefined) return null
  return {
    ...known.token,
    picturesLeft: known.token.picturesLeft - known.heldPictures - known.spentPictures,
    moneyLeft: known.token.moneyLeft - known.heldMoney - known.spentMoney
  }
}

/** Ends a tenant's token at once. False when the tenant has no such token; true again when it was revoked before. */
export function revoke (state: State, id: string, tenant: string): boolean {
  const known = state.tokens.get(id)
  if (known === undefined || known.token.tenant !== tenant) return false
  known.token = { ...known.token, revoked: true }
  return true
}

/** Why an admission may not draw this much on its token, if there is a reason. */
export function refuseToken (state: State, admission: Admission, { price, files }: Pick<Admission, 'price' | 'files'>): 'unknown' | 'expired' | 'revoked' | 'exhausted' | null {
  if (admission.token === null) return null
  const token = readToken(state, admission.token)
  if (token === null || token.tenant !== admission.tenant || token.subject !== admission.subject) return 'unknown'
  if (token.revoked) return 'revoked'
  if (state.now() >= token.expiresAtMs) return 'expired'
  return token.picturesLeft < files || token.moneyLeft < price ? 'exhausted' : null
}
