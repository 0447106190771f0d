// What the core needs of fal: submit, read the status, fetch the result, cancel.

import type { Bases } from './bases.ts'
import type { Failure } from './generation.ts'
import type { Media } from './media.ts'
import type { Whose } from './whose.ts'

/**
 * What became of a submit. Anything that may have reached fal and was not clearly answered is `lost`.
 * - `accepted`: fal has it under `requestId`.
 * - `unsent`: it certainly was not accepted, and may be tried again. `busy`: it was told to come later (429), which is no failure of fal's (rule 14).
 *   `requestId`: the answer named one all the same, whose status is better asked for first.
 * - `refused`: it certainly was not accepted, and trying again would not help.
 * - `lost`: it may have been accepted; `requestId` is set when an error answer named one whose status can be asked for.
 *
 * `suspect`: whose doing the trouble is (rule 37). After the body went out, no answer and fal's own errors may be the request's; a connection that was not
 * made, and an answer that is not of fal's form, are nobody's in particular.
 */
export type Submitted =
  | { readonly kind: 'accepted', readonly requestId: string, readonly position: number | null }
  | { readonly kind: 'unsent', readonly failure: Failure, readonly retryAfterMs: number | null, readonly suspect: Suspect, readonly busy?: true, readonly requestId?: string }
  | { readonly kind: 'refused', readonly failure: Failure }
  | { readonly kind: 'lost', readonly requestId: string | null, readonly suspect: Suspect, readonly cause: string }

/** Whose doing it may be that a submit was not accepted. */
export type Suspect = 'account' | 'request'

/** One thing seen while following a generation. `missing`: fal does not know the id (any more). */
export type Sighting =
  | { readonly kind: 'queued', readonly position: number | null, readonly log: LogPiece }
  | { readonly kind: 'running', readonly log: LogPiece }
  | { readonly kind: 'completed', readonly log: LogPiece }
  | { readonly kind: 'missing' }

/** Waiting was cut short, and nothing was seen. */
export interface Interrupted { readonly kind: 'interrupted' }

/** A line that the model logged, as fal tells it. Time and level are its words. */
export interface LogLine { readonly message: string, readonly timestamp: string | null, readonly level: string | null }

/**
 * Consecutive lines of one generation's log; the first of them is its `from`th (0 is the first of all). Places make lines the same on all replicas:
 * a line that the ledger is told again adds none, and a reader that has read up to a place goes on from there anywhere.
 */
export interface LogPiece { readonly from: number, readonly lines: readonly LogLine[] }

/** Follows one generation by status stream, by polling where that breaks. */
export interface StatusReader {
  /**
   * The next sighting that differs from the last one. Waits as long as it takes, or until the signal fires; upstream troubles are waited out with growing
   * pauses. Rejects only when the reader is closed.
   */
  next: (signal: AbortSignal) => Promise<Sighting | Interrupted>
  close: () => void
}

/**
 * `units` is the text of `x-fal-billable-units`, or null. `bases`: where the addresses of files stand that this gateway made itself; `media`: where
 * those of all files stand, when they are to be stored. `pending` and `unavailable` say nothing of the picture. `no-output` (a 200 that is no output of the
 * model), `cancelled` and `expired` (the result is gone) would throw a paid picture away; `isClear`: said in fal's own form, and not perhaps by something in
 * front of fal.
 */
export type Result =
  | { readonly kind: 'succeeded', readonly body: string, readonly seed: string | null, readonly units: string | null, readonly bases?: Bases, readonly media?: Media }
  | { readonly kind: 'failed', readonly failure: Failure, readonly units: string | null, readonly free: boolean }
  | { readonly kind: 'no-output' | 'cancelled', readonly units: string | null, readonly isClear: boolean }
  | { readonly kind: 'expired', readonly isClear: boolean }
  | { readonly kind: 'pending' }
  | { readonly kind: 'unavailable', readonly retryAfterMs: number | null }

/**
 * fal's queue, with the key of one account. No operation rejects for what the network or fal does; each has a deadline of its own. `whose`: the generation that
 * it is for, in log lines and spans; fal is told nothing of it.
 */
export interface Upstream {
  /** Never aborted from outside: its answer is the only trace of a purchase. */
  submit: (model: string, input: string, whose?: Whose) => Promise<Submitted>
  openStatusReader: (model: string, requestId: string, whose?: Whose) => StatusReader
  /** Where it stands, asked once. */
  state: (model: string, requestId: string, signal: AbortSignal, whose?: Whose) => Promise<Sighting['kind'] | 'unavailable'>
  result: (model: string, requestId: string, signal: AbortSignal, whose?: Whose) => Promise<Result>
  cancel: (model: string, requestId: string, whose?: Whose) => Promise<'asked' | 'too-late' | 'missing' | 'unavailable'>
}

/**
 * fal's queue by account, as rows name it (`null`: the one of rows that name none). An account's requests are known to nobody else: asked for with another key
 * they are not there. Of an account whose key this process does not have everything is unavailable.
 */
export type UpstreamOf = (account: string | null) => Upstream
