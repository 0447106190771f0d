// Who calls with a browser token. What the ledger says of one is believed for a little less than a second, counted from the question, so that a revocation holds everywhere within one.

import { hash, timingSafeEqual } from 'node:crypto'
import { Problem } from '../errors.ts'
import type { Token } from '../generation/accounts.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { TenantBook } from '../tenants/book.ts'
import { isInForce } from '../tenants/keys.ts'
import { isSealed, narrowed, readTerms, type TokenTerms } from '../tenants/tokens.ts'
import type { Caller } from './request-facts.ts'

/** For how long a token's state is believed; the rest of the second is for a request that is already on its way. */
const BELIEF_MS = 800

/** For how long that of one with open event streams is: they are looked at four times a second, and end within a second, too. */
const STREAM_BELIEF_MS = 400

/** Tokens whose state is remembered at once; the one that was asked for longest ago makes room. */
const MAX_BELIEFS = 10_000

/** Stands in for the hash of a token that does not exist. No secret has it. */
const NO_DIGEST = Buffer.alloc(32)

interface Belief {
  readonly known: { readonly token: Token, readonly terms: TokenTerms, readonly digest: Buffer } | null
  /** When the ledger was asked; monotonic. */
  readonly askedAtMs: number
}

/** A caller with a token, and until when that is believed, by the monotonic clock and by the ledger's. */
export interface TokenCaller { readonly caller: Caller, readonly believedUntilMs: number, readonly expiresAtMs: number }

/** The tokens of this process' callers. */
export interface TokenCallers {
  /** Who calls with this token. Throws a `Problem` when it is not in force; a promise where the ledger has to be asked. */
  readonly recognise: (book: TenantBook, said: { readonly id: string, readonly secret: string }) => TokenCaller | Promise<TokenCaller>
  /** Who holds the token with this id, which was checked before. As `recognise`, always a promise. */
  readonly find: (book: TenantBook, id: string) => Promise<TokenCaller>
  /** Is the token still in force, as far as is known? Asks the ledger again meanwhile, for the next time. */
  readonly isInForce: (book: TenantBook, id: string) => boolean
}

export function createTokenCallers (ledger: Pick<Ledger, 'token' | 'now'>): TokenCallers {
  const beliefs = new Map<string, Belief>()
  const asked = new Map<string, Promise<Belief>>()

  function ask (id: string): Promise<Belief> {
    let answer = asked.get(id)
    if (answer === undefined) asked.set(id, answer = askOnce(id).finally(() => { asked.delete(id) }))
    return answer
  }

  async function askOnce (id: string): Promise<Belief> {
    const askedAtMs = performance.now()
    const token = await ledger.token(id)
    const belief = { known: token === null ? null : { token, terms: readTerms(token.terms), digest: Buffer.from(token.secretSha256, 'hex') }, askedAtMs }
    beliefs.delete(id)
    beliefs.set(id, belief)
    const [oldest] = beliefs.keys()
    if (beliefs.size > MAX_BELIEFS && oldest !== undefined) beliefs.delete(oldest)
    return belief
  }

  function isHeld ({ askedAtMs }: Belief): boolean {
    return performance.now() < askedAtMs + BELIEF_MS
  }

  function judge (book: TenantBook, belief: Belief, secret: string): TokenCaller {
    if (!isSecretOf(belief, secret)) throw unknownToken()
    return callerWith(book, belief)
  }

  /** The ledger is asked about what a key of this book gave out and nothing else, so that strangers who make up tokens cost it nothing. */
  function askAbout (book: TenantBook, id: string, secret: string): Promise<Belief> {
    if (isSealed(book, id, secret)) return ask(id)
    const belief = beliefs.get(id)
    throw belief !== undefined && isSecretOf(belief, secret) ? keyEnded() : unknownToken()
  }

  function callerWith (book: TenantBook, { known, askedAtMs }: Belief): TokenCaller {
    if (known === null) throw unknownToken()
    const problem = endOf(book, known)
    if (problem !== null) throw problem
    const { token, terms } = known
    const tenant = book.tenants.get(token.tenant)
    if (tenant === undefined) throw new Problem('token-revoked')
    const { id, origins, expiresAtMs } = token
    return { caller: { tenant: narrowed(tenant, terms), keyId: terms.keyId, subject: id, token: { id, origins, label: terms.label, cache: terms.cache } }, believedUntilMs: askedAtMs + BELIEF_MS, expiresAtMs }
  }

  /** Why a token that exists is not in force, if it is not. It ends with its tenant, and with the key that asked for it. */
  function endOf (book: TenantBook, { token, terms }: NonNullable<Belief['known']>): Problem | null {
    if (token.revoked) return new Problem('token-revoked')
    if (ledger.now() >= token.expiresAtMs) return new Problem('token-expired')
    return isInForce(book, terms.keyId, token.tenant, Date.now()) ? null : keyEnded()
  }

  return {
    recognise (book, { id, secret }) {
      const belief = beliefs.get(id)
      return belief !== undefined && isHeld(belief) ? judge(book, belief, secret) : askAbout(book, id, secret).then(answer => judge(book, answer, secret))
    },
    async find (book, id) {
      const belief = beliefs.get(id)
      return callerWith(book, belief !== undefined && isHeld(belief) ? belief : await ask(id))
    },
    isInForce (book, id) {
      const belief = beliefs.get(id)
      if (belief === undefined || performance.now() >= belief.askedAtMs + STREAM_BELIEF_MS) ask(id).catch(() => {}) // a store that is away is told of by itself
      return belief === undefined || (belief.known !== null && endOf(book, belief.known) === null)
    }
  }
}

function isSecretOf ({ known }: Belief, secret: string): boolean {
  return timingSafeEqual(hash('sha256', secret, 'buffer'), known?.digest ?? NO_DIGEST)
}

function unknownToken (): Problem {
  return new Problem('key-unknown', { detail: 'No such token is known. Tokens are forgotten an hour after their end, and when their key is taken out.' })
}

function keyEnded (): Problem {
  return new Problem('token-revoked', { detail: 'The key that asked for it is not in force any more.' })
}
