// Browser tokens: minted, revoked, and drawn from in admission like a budget. What is held and spent is booked in `books.ts`.

import type { Token, TokenPage } from '../../generation/accounts.ts'
import type { Admission } from '../../generation/admission.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { SortedSet } from './sorted-set.ts'
import type { State, TokenState } from './state.ts'

/** How many ended tokens of a tenant are dropped from its list by one mint: more than it adds, so that the list is bounded by what is alive. */
const ENDED_PER_MINT = 10

/** Keeps a new token for a while longer than it lasts, so that its holder is told of its end; a second mint of the same id changes nothing. */
export function mint (state: State, token: Token): { readonly outcome: 'minted' | 'full' } {
  if (state.tokens.get(token.id) !== undefined) return { outcome: 'minted' }
  const alive = state.liveTokens.get(token.tenant) ?? new SortedSet()
  for (const id of alive.first(ENDED_PER_MINT, state.now())) alive.delete(id)
  if (alive.size() - alive.countBelow(state.now() + 1) >= ledgerConstants.maxTokens) return { outcome: 'full' }
  state.liveTokens.set(token.tenant, alive)
  if (!token.revoked) alive.set(token.id, token.expiresAtMs)
  const fresh: TokenState = { token, heldPictures: 0, heldMoney: 0, spentPictures: 0, spentMoney: 0 }
  state.tokens.set(token.id, fresh, token.expiresAtMs + ledgerConstants.tokenKeptMs)
  return { outcome: 'minted' }
}

/** A page of the tenant's tokens that are alive, the first to end first; `after` is the id of the last one on the page before. */
export function listTokens (state: State, tenant: string, { limit, after }: { readonly limit: number, readonly after: string | null }): TokenPage {
  const alive = state.liveTokens.get(tenant)
  const endMs = after === null ? state.now() + 1 : alive?.score(after)
  if (alive === undefined || endMs === undefined) return { tokens: [], isMore: false, isCursorUnknown: after !== null }
  const ids = alive.entries().map(([id]) => id)
  const from = Math.max(alive.countBelow(state.now() + 1), after === null ? 0 : ids.indexOf(after) + 1)
  const tokens = ids.slice(from, from + limit).flatMap(id => readToken(state, id) ?? [])
  return { tokens, isMore: ids.length > from + limit, isCursorUnknown: false }
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

/** Ends a tenant's token at once, which is kept for a while longer as any other. False when the tenant has no such token; true again when it was revoked before. */
export function revoke (state: State, id: string, tenant: string): boolean {
  const known = state.tokens.get(id)
  if (known === undefined || known.token.tenant !== tenant) return false
  if (known.token.revoked) return true
  known.token = { ...known.token, revoked: true }
  state.tokens.set(id, known, Math.min(known.token.expiresAtMs, state.now()) + ledgerConstants.tokenKeptMs)
  state.liveTokens.get(tenant)?.delete(id)
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
