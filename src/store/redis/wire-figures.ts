// How changes, breakers, tokens, tickets, money and figures are read.

import { breakerStates } from '../../breaker-states.ts'
import type { Balance, JournalEntry, OpenUnknown, Ticket, Token, TokenPage } from '../../generation/accounts.ts'
import type { Breaker } from '../../generation/breaker-state.ts'
import type { Change, Published } from '../../generation/changes.ts'
import { integerOf, recordOf, textOf, unreadable, wordOf } from '../../generation/fields.ts'
import { accountsIn, problemCodeOf } from '../../generation/generation.ts'
import type { CondemnedFile, Expectation, KeptFile, KeptPage } from '../../generation/kept-files.ts'
import type { AccountGauge, Gauges } from '../../generation/ledger.ts'
import { logLineOf } from '../../generation/log-text.ts'
import type { FailedGeneration, SeenReplica, Standing } from '../../generation/overview.ts'
import { phases } from '../../generation/phases.ts'
import type { Difference } from '../../generation/recount.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import { movingWords } from '../../upstream-account.ts'
import { briefIn, integerOrNull, listIn, textOrNull, textsIn } from './wire-rows.ts'

const differing: readonly Difference['what'][] = ['slots', 'aside', 'kept', 'running', 'waiting', 'held', 'spent', 'pictures', 'money', 'turn', 'row', 'stray', 'file']
const journalKinds: readonly JournalEntry['kind'][] = ['purchase', 'unknown', 'correction', 'double']

export function changeIn (value: unknown): Change {
  const change = recordOf(value)
  return {
    id: textOf(change['id']),
    version: integerOf(change['version']),
    phase: wordOf(phases, change['phase']),
    cancelWished: change['cancelWished'] === '1',
    queuePosition: integerOrNull(change['queuePosition']),
    startedAtMs: integerOrNull(change['startedAtMs']),
    doubtSinceMs: integerOrNull(change['doubtSinceMs']),
    logged: integerOrNull(change['logged']) ?? 0
  }
}

/** A published change. */
export function publishedIn (message: string): Published {
  const published: unknown = JSON.parse(message)
  // An older replica says nothing of the queue: then it is worth a look.
  const { isQueueEmpty, isErased } = recordOf(published)
  return { ...changeIn(published), isQueueEmpty: isQueueEmpty === '1', ...(isErased === '1' ? { isErased: true } : {}) }
}

export function logPieceIn (value: unknown): LogPiece {
  const { from, lines } = recordOf(value)
  return { from: integerOf(from), lines: textsIn(lines).map(logLineOf) }
}

export function breakerIn (value: unknown): Breaker {
  const breaker = recordOf(value)
  return {
    scope: textOf(breaker['scope']),
    account: textOrNull(breaker['account']),
    state: wordOf(breakerStates, breaker['state']),
    sinceMs: integerOf(breaker['sinceMs']),
    retryAtMs: integerOf(breaker['retryAtMs']),
    probe: textOrNull(breaker['probe']),
    failures: integerOf(breaker['failures'])
  }
}

export function tokenIn (value: unknown): Token {
  const token = recordOf(value)
  return {
    id: textOf(token['id']),
    tenant: textOf(token['tenant']),
    subject: textOf(token['subject']),
    secretSha256: textOf(token['secretSha256']),
    origins: textsIn(JSON.parse(textOf(token['origins']))),
    terms: textOf(token['terms']),
    expiresAtMs: integerOf(token['expiresAtMs']),
    revoked: token['revoked'] === '1',
    picturesLeft: integerOf(token['picturesLeft']),
    moneyLeft: sumIn(token['moneyLeft'])
  }
}

export function ticketIn (value: unknown): Ticket {
  const ticket = recordOf(value)
  return {
    sha256: textOf(ticket['sha256']),
    tenant: textOf(ticket['tenant']),
    subject: textOf(ticket['subject']),
    generation: textOf(ticket['generation']),
    terms: textOf(ticket['terms']),
    expiresAtMs: integerOf(ticket['expiresAtMs'])
  }
}

export function tokenPageIn (value: unknown): TokenPage {
  const { tokens, isMore, isCursorUnknown } = recordOf(value)
  return { tokens: listIn(tokenIn)(tokens), isMore: isMore === '1', isCursorUnknown: isCursorUnknown === '1' }
}

export function mintedIn (value: unknown): { readonly outcome: 'minted' | 'full' } {
  return { outcome: wordOf(['minted', 'full'], recordOf(value)['outcome']) }
}

/** A sum of money. Older versions booked whatever fal's header said; what is beyond exact integers is told as the last of them, so that it can be read and corrected. */
function sumIn (value: unknown): number {
  const text = textOf(value)
  if (!/^-?\d+$/.test(text)) throw unreadable('a whole number', value)
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(text)))
}

export function balanceIn (value: unknown): Balance {
  const { owner, period, held, spent } = recordOf(value)
  return { owner: textOf(owner), period: textOf(period), held: sumIn(held), spent: sumIn(spent) }
}

export function unknownIn (value: unknown): OpenUnknown {
  const { sinceMs, row } = recordOf(value)
  return { ...briefIn(row), sinceMs: integerOf(sinceMs) }
}

/** A line of the journal; its time is that of its entry's id. */
export function journalEntryIn (value: unknown): JournalEntry {
  const line = recordOf(value)
  const cursor = textOf(line['cursor'])
  const requestId = textOf(line['requestId'])
  return {
    cursor,
    atMs: integerOf(cursor.split('-')[0]),
    kind: wordOf(journalKinds, line['kind']),
    id: textOf(line['id']),
    tenant: textOf(line['tenant']),
    model: textOf(line['model']),
    requestId: requestId === '' ? null : requestId,
    accounts: accountsIn(JSON.parse(textOf(line['accounts']))),
    amount: integerOf(line['amount']),
    assumed: line['assumed'] === '1'
  }
}

function accountGaugeIn (value: unknown): AccountGauge {
  const { upstream, used, open } = recordOf(value)
  return { upstream: textOrNull(upstream), used: integerOf(used), open: integerOrNull(open) }
}

/** The gauges with some of the tenants that wait, and where to go on for others: `0` when these are the last. */
export function gaugesIn (value: unknown): Gauges & { readonly cursor: string } {
  const { waiting, cursor, accounts, unknownOpen, unknownOldestMs, asideBytes, keptFiles, keptBytes, orphans, hooksDue, hooksOldestMs, hooksGivenUp } = recordOf(value)
  const gauges = listIn(accountGaugeIn)(accounts)
  return {
    cursor: textOf(cursor),
    waiting: new Map(Object.entries(recordOf(waiting)).map(([tenant, count]) => [tenant, integerOf(count)])),
    atUpstream: gauges.reduce((sum, { used }) => sum + used, 0),
    accounts: gauges,
    unknownOpen: integerOf(unknownOpen),
    unknownOldestMs: integerOrNull(unknownOldestMs),
    asideBytes: integerOf(asideBytes),
    keptFiles: integerOf(keptFiles),
    keptBytes: integerOf(keptBytes),
    orphans: integerOf(orphans),
    hooksDue: integerOf(hooksDue),
    hooksOldestMs: integerOrNull(hooksOldestMs),
    hooksGivenUp: integerOf(hooksGivenUp)
  }
}

export function keptPageIn (value: unknown): KeptPage {
  const { files, next, nowMs } = recordOf(value)
  return { files: listIn(keptFileIn)(files), next: textOrNull(next), nowMs: integerOf(nowMs) }
}

function keptFileIn (value: unknown): KeptFile {
  const { name, bytes, references, sinceMs, orphanSinceMs, isWithdrawn } = recordOf(value)
  return { name: textOf(name), bytes: integerOf(bytes), references: integerOf(references), sinceMs: integerOf(sinceMs), orphanSinceMs: integerOrNull(orphanSinceMs), isWithdrawn: isWithdrawn === '1' }
}

export function condemnedIn (value: unknown): CondemnedFile {
  const { name, bytes, untilMs } = recordOf(value)
  return { name: textOf(name), bytes: integerOf(bytes), untilMs: integerOf(untilMs) }
}

const expectations: readonly Expectation[] = ['expected', 'busy', 'full', 'withdrawn']

export function expectationIn (value: unknown): Expectation {
  return wordOf(expectations, recordOf(value)['outcome'])
}

export function standingIn (value: unknown): Standing {
  const { tenant, running, waiting, oldestMs } = recordOf(value)
  return { tenant: textOf(tenant), running: integerOf(running), waiting: integerOf(waiting), oldestMs: integerOrNull(oldestMs) }
}

export function failedIn (value: unknown): FailedGeneration {
  const { id, tenant, model, code, finishedAtMs, cost } = recordOf(value)
  return { id: textOf(id), tenant: textOf(tenant), model: textOf(model), code: problemCodeOf(textOrNull(code) ?? ''), finishedAtMs: integerOf(finishedAtMs), cost: sumIn(cost) }
}

export function seenReplicaIn (value: unknown): SeenReplica {
  const { replica, beatAtMs, following } = recordOf(value)
  return { replica: textOf(replica), beatAtMs: integerOf(beatAtMs), following: integerOf(following) }
}

/** A step of counting again; see `recount.lua`. What a step does not give is empty. */
export interface RecountStep {
  readonly differences: readonly Omit<Difference, 'isMended'>[]
  /** Another count has begun, or this one was left alone for too long. */
  readonly isOver: boolean
  readonly cursor: string
  readonly names: readonly string[]
  readonly books: readonly { readonly name: string, readonly spent: number, readonly lastLine: string | null }[]
  readonly isTrimmed: boolean
  /** Commands that the user may not run. */
  readonly missing: readonly string[]
}

export function recountIn (value: unknown): RecountStep {
  const { differences, isOver, cursor, names, books, isTrimmed, missing } = recordOf(value)
  return {
    differences: listIn(differenceIn)(differences),
    isOver: isOver === '1',
    cursor: textOrNull(cursor) ?? '0',
    names: names === undefined ? [] : textsIn(names),
    books: books === undefined ? [] : listIn(recordOf)(books).map(({ name, spent, lastLine }) => ({ name: textOf(name), spent: sumIn(spent), lastLine: textOrNull(lastLine) })),
    isTrimmed: isTrimmed === '1',
    missing: missing === undefined ? [] : textsIn(missing)
  }
}

/** A step of an export or an import; see `moving.lua`. */
export interface MoveStep {
  readonly outcome: typeof moveOutcomes[number]
  /** Whose ledger it is. */
  readonly upstream: string | null
  /** Those that were there within the last lease. */
  readonly replicas: readonly string[]
  /** Commands that the user may not run. */
  readonly missing: readonly string[]
}

const moveOutcomes = [...movingWords, 'refused', 'empty', 'filled', 'alive', 'there', 'left', 'taken-back', 'not-moved', 'over', 'kept', 'arrived'] as const

export function moveIn (value: unknown): MoveStep {
  const { outcome, upstream, replicas, missing } = recordOf(value)
  return { outcome: wordOf(moveOutcomes, outcome), upstream: textOrNull(upstream), replicas: replicas === undefined ? [] : textsIn(replicas), missing: missing === undefined ? [] : textsIn(missing) }
}

function differenceIn (value: unknown): RecountStep['differences'][number] {
  const { what, name, found, expected } = recordOf(value)
  return { what: wordOf(differing, what), name: textOf(name), found: textOrNull(found), expected: textOrNull(expected) }
}
