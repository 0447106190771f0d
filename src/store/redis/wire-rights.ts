// How the answers to admissions, claims, evidence and decisions are read.

import { breakerStates } from '../../breaker-states.ts'
import type { AdmittedAll, End, Foreseen, Preview, RateState, Refused } from '../../generation/admission.ts'
import type { Cancelled, Claimed, Corrected, Erased, Settled, Taken, Weighed } from '../../generation/evidence.ts'
import { integerOf, recordOf, textOf, wordOf } from '../../generation/fields.ts'
import { connection, problemCodeOf } from '../../generation/generation.ts'
import type { GenerationNotice, OutboxEvent } from '../../generation/outbox.ts'
import { phases } from '../../generation/phases.ts'
import { balanceIn } from './wire-figures.ts'
import { briefIn, listIn, orNothing, rowIn, takenIn, termsIn } from './wire-rows.ts'

const noticeKinds: readonly GenerationNotice['kind'][] = ['ended', 'late', 'double', 'shared', 'found', 'corrected']

export function admittedAllIn (value: unknown): AdmittedAll {
  const answer = recordOf(value)
  const outcome = wordOf(['all', 'look', 'duplicates', 'refused'], answer['outcome'])
  switch (outcome) {
    case 'all': return { outcome, got: listIn(gotIn)(answer['got']) }
    case 'look': return { outcome, row: rowIn(answer['row']) }
    case 'duplicates': return duplicatesIn(answer)
    case 'refused': return refusedIn(answer)
  }
}

function duplicatesIn (answer: Readonly<Record<string, unknown>>): Extract<AdmittedAll, { outcome: 'duplicates' }> {
  return {
    outcome: 'duplicates',
    duplicates: listIn(recordOf)(answer['duplicates']).map(duplicate => ({ id: textOf(duplicate['id']), ...connection.read(textOf(duplicate['connection'])) }))
  }
}

export function previewIn (value: unknown): Preview {
  const { would, rate, balances, position, running } = recordOf(value)
  return { would: foreseenIn(would), rate: rateIn(rate), balances: listIn(balanceIn)(balances), position: integerOf(position), running: integerOf(running) }
}

function foreseenIn (value: unknown): Foreseen {
  const answer = recordOf(value)
  const outcome = wordOf(['replayed', 'joined', 'adopted', 'hit', 'look', 'gone', 'bought', 'duplicates', 'refused'], answer['outcome'])
  switch (outcome) {
    case 'replayed': case 'joined': case 'adopted': case 'hit': case 'look': return { outcome, row: briefIn(answer['row']) }
    case 'gone': return { outcome, end: endIn(answer['end']) }
    case 'bought': return { outcome }
    case 'duplicates': return duplicatesIn(answer)
    case 'refused': return refusedIn(answer)
  }
}

function gotIn (value: unknown): Extract<AdmittedAll, { outcome: 'all' }>['got'][number] {
  const got = recordOf(value)
  const outcome = wordOf(['replayed', 'gone', 'joined', 'adopted', 'hit', 'bought', 'refused'], got['outcome'])
  switch (outcome) {
    case 'replayed': case 'joined': case 'adopted': case 'hit': return { outcome, row: rowIn(got['row']) }
    case 'gone': return { outcome, end: endIn(got['end']) }
    case 'bought': return { outcome, row: rowIn(got['row']), rate: rateIn(got['rate']), terms: orNothing(termsIn)(got['terms']) }
    case 'refused': return { outcome, why: wordOf(['late'], got['why']) }
  }
}

function refusedIn (answer: Readonly<Record<string, unknown>>): Refused {
  const outcome = 'refused'
  const why = wordOf(['reused', 'late', 'breaker', 'prices', 'large', 'hooks', 'token', 'rate', 'full', 'budget'], answer['why'])
  switch (why) {
    case 'reused': case 'late': case 'large': case 'hooks': return { outcome, why }
    case 'breaker': return { outcome, why, breaker: wordOf(breakerStates, answer['breaker']), retryAfterSeconds: integerOf(answer['retryAfterSeconds']) }
    case 'prices': return { outcome, why, ledgerRule: textOf(answer['ledgerRule']) }
    case 'token': return { outcome, why, token: wordOf(['unknown', 'expired', 'revoked', 'exhausted'], answer['token']) }
    case 'rate': case 'full': return { outcome, why, rate: rateIn(answer['rate']) }
    case 'budget': return { outcome, why, rate: rateIn(answer['rate']), owner: textOf(answer['owner']) }
  }
}

function endIn (value: unknown): End {
  const { id, code, cost, finishedAtMs } = recordOf(value)
  return { id: textOf(id), code: problemCodeOf(textOf(code)), cost: integerOf(cost), finishedAtMs: integerOf(finishedAtMs) }
}

function rateIn (value: unknown): RateState {
  const rate = recordOf(value)
  return { max: integerOf(rate['max']), windowSeconds: integerOf(rate['windowSeconds']), used: integerOf(rate['used']), resetSeconds: integerOf(rate['resetSeconds']) }
}

export function claimedIn (value: unknown): Claimed {
  const { outcome, isQueueEmpty, untilMs } = recordOf(value)
  if (outcome === 'go') return { outcome, ...takenIn(value), isQueueEmpty: isQueueEmpty === '1' }
  if (outcome === 'wait') return { outcome, untilMs: integerOf(untilMs) }
  return { outcome: wordOf(['busy', 'empty', 'breaker', 'late'], outcome) }
}

/** The phase that a piece of evidence found, and the row. */
export function weighedIn (value: unknown): Weighed {
  const { from, row } = recordOf(value)
  return Object.assign(rowIn(row), { from: wordOf(phases, from) })
}

/** Rows that are given to a replica, and whether there may be others. */
export function takenAllIn (value: unknown): { readonly taken: readonly Taken[], readonly isMore: boolean } {
  const { taken, isMore } = recordOf(value)
  return { taken: listIn(takenIn)(taken), isMore: isMore === '1' }
}

export function putAsideIn (value: unknown): { readonly outcome: 'kept' | 'full' } {
  return { outcome: wordOf(['kept', 'full'], recordOf(value)['outcome']) }
}

/** Where the pieces of an output lie. */
export function asideIn (value: unknown): { readonly key: string, readonly pieces: number, readonly sha256: string } {
  const { key, pieces, sha256 } = recordOf(value)
  return { key: textOf(key), pieces: integerOf(pieces), sha256: textOf(sha256) }
}

export function outboxTakenIn (value: unknown): { readonly events: readonly OutboxEvent[], readonly isMore: boolean } {
  const { events, isMore } = recordOf(value)
  return { events: listIn(outboxEventIn)(events), isMore: isMore === '1' }
}

function outboxEventIn (value: unknown): OutboxEvent {
  const { kind, from, scope, state, booked, row } = recordOf(value)
  if (kind === 'breaker') return { kind, scope: textOf(scope), from: wordOf(breakerStates, from), state: wordOf(breakerStates, state) }
  return { kind: wordOf(noticeKinds, kind), from: wordOf(phases, from), booked: integerOf(booked), row: briefIn(row) }
}

export function cancelledIn (value: unknown): Cancelled {
  const { outcome, row } = recordOf(value)
  if (outcome === 'no-such-generation') return { outcome }
  return { outcome: wordOf(['cancelled', 'asked', 'already-cancelled', 'others-waiting', 'already-finished'], outcome), row: rowIn(row) }
}

export function erasedIn (value: unknown): Erased {
  const { outcome, phase } = recordOf(value)
  return outcome === 'not-ended' ? { outcome, phase: wordOf(phases, phase) } : { outcome: wordOf(['erased', 'no-such-generation'], outcome) }
}

export function settledIn (value: unknown): Settled {
  const { outcome, row } = recordOf(value)
  return outcome === 'settled' ? { outcome, row: rowIn(row) } : { outcome: wordOf(['too-young', 'not-unknown', 'no-such-generation'], outcome) }
}

export function correctedIn (value: unknown): Corrected {
  const { outcome, row, booked, reopened } = recordOf(value)
  if (outcome === 'corrected') return { outcome, row: rowIn(row), booked: integerOf(booked), reopened: reopened === '1' }
  return { outcome: wordOf(['not-ended', 'no-such-generation'], outcome) }
}
