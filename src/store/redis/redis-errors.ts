// What a failed command means: Redis refused it, it was lost on the way, or nothing may be done on this connection. No argument of a command is in any of it.

import { Problem } from '../../errors.ts'

/** Redis' words for "not now" and "not you": it refused before it ran anything. */
const refusals = new Set([
  'OOM', 'NOREPLICAS', 'READONLY', 'LOADING', 'BUSY', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'MOVED', 'ASK', 'MISCONF', 'NOAUTH', 'WRONGPASS', 'NOPERM'
])

/**
 * The cluster is moving the slot: its keys are here and there. TRYAGAIN is told before a script begins (see `KEYS` in `caller.ts`), and ioredis gives it up in
 * words of its own; the last is what a script hears that meets a key which is not here, as Redis and as Valkey put it.
 */
const moving = /^TRYAGAIN |^Too many Cluster redirections\..*(TRYAGAIN|MOVED|ASK) |[Aa]ttempted to access a non local key/

/** What a caller gets when Redis cannot be reached, hangs or refuses. */
export function unavailable (cause: unknown): Problem {
  return new Problem(cause instanceof Unusable ? cause.code : 'store-unavailable', { retryAfterSeconds: 1, cause })
}

/** Marks the cause of a call that was sent and got no answer: it may have been run. */
export class Unanswered extends Error {
  override readonly name: string = 'Unanswered'
}

/** It got none because its connection was lost, so there may be time to ask again over another one. */
export class ConnectionLost extends Unanswered {
  override readonly name = 'ConnectionLost'

  constructor (cause: unknown) {
    super('The connection to Redis was lost before an answer came.', { cause })
  }
}

/** Redis answered, and its answer means that nothing may be done on this connection. The message says what to do. */
export class Unusable extends Error {
  override readonly name = 'Unusable'
  /** It was told already, when it was found. */
  readonly isTold: boolean
  /** What callers hear meanwhile. */
  readonly code: 'store-unavailable' | 'store-unfit'
  /** It ends by itself, and the connection is as good as another. */
  readonly isPassing: boolean
  /** Somebody set what this Redis cannot give: a process that begins with that does not start. */
  readonly isSetting: boolean

  constructor (message: string, { isTold = false, code = 'store-unavailable', isPassing = false, isSetting = false }: { readonly isTold?: boolean, readonly code?: Unusable['code'], readonly isPassing?: boolean, readonly isSetting?: boolean } = {}) {
    super(message)
    this.isTold = isTold
    this.code = code
    this.isPassing = isPassing
    this.isSetting = isSetting
  }
}

/** What an error means to the sender of a command: {@link Unusable} when the cluster is moving the slot; other errors as they are. */
export function meaningOf (error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Problem || !moving.test(error.message)) return error
  return new Unusable('the cluster moves the slot of the ledger to another node; until it is there nothing can be read or bought', { isPassing: true })
}

/** Did the command fail without an answer? Whatever is no answer of Redis and no word of ours comes from ioredis. */
export function isLoss (error: unknown): boolean {
  return error instanceof Error && error.name !== 'ReplyError' && !(error instanceof Problem) && !(error instanceof Unusable)
}

/** What a failed command means. A fault in a script is no outage but ours, and stays what it is. */
export function problemOf (error: unknown): unknown {
  if (error instanceof Problem) return error
  const cause = withoutCommand(error)
  if (cause instanceof Unusable) return unavailable(cause)
  if (isLoss(error)) return unavailable(new ConnectionLost(cause))
  const [word = ''] = cause.message.split(' ')
  return refusals.has(word) ? unavailable(cause) : cause
}

/** ioredis hangs the command on its errors, with all arguments: passwords, prompts, results. None of that may reach a log. */
export function withoutCommand (error: unknown): Error {
  if (!(error instanceof Error)) return new Error('Redis failed in an unknown way.')
  if (error instanceof Problem || error instanceof Unusable) return error
  // That no node of a cluster could be asked says nothing; why the last one could not does.
  const plain = new Error('lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError.message : error.message)
  plain.name = error.name
  if ('code' in error) Object.assign(plain, { code: error.code })
  return plain
}
