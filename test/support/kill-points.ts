// The points at which the kill matrix has a gateway die, the same for every store that keeps the ledger.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Phase } from '../../src/generation/phases.ts'
import type { Fault, Operation } from '../../src/sandbox/fault-schema.ts'
import { projectDir } from './paths.ts'

/**
 * Who asks: with a seed, or with `Falgate-Cache: reuse`, and then a second caller joins, on the other replica where there is one; or with an `Idempotency-Key`,
 * and then the second call is the first one once more; or without any of these, and a single caller, also one of OpenAI's, who asks for a list of pictures, which are as many calls of the model.
 */
export type Callers = 'seeded' | 'reuse' | 'keyed' | 'unseeded' | 'list'

/** How many generations one of these callers asks for. */
export const picturesOf = (callers: Callers): number => callers === 'list' ? 3 : 1

/** What happens once fal works on it, with the point behind that. */
export type Once =
  | 'it runs'
  | 'its caller leaves'
  | 'its caller cancels'
  | 'another one joins it'
  | 'the process drains'
  | 'its owner dies'
  /** While it submits; nobody knows then what became of it, until its owner goes on, after the death. */
  | 'its owner stands still'
  | 'Redis is emptied'
  /** The point is the next one behind its end. */
  | 'it ends'
  | 'its reader deletes it'
  /** It is asked for again, when fal does not keep its files any more. */
  | 'its files are gone'

/** Where a process dies, and how the story ends. */
export interface Point {
  readonly says: string
  /** It dies before the ledger sees its call of this operation, or after that ran and before the process hears of it. */
  readonly before?: string
  readonly after?: string
  /** Only an answer that contains this (see `Gate`); `id` stands for the generation's. */
  readonly having?: string
  /** It dies while this call to fal has no answer. */
  readonly atFal?: Operation
  /** Claims wait when it is asked for, until it is in the queue and, where that is the point, dead: it is not granted along with its admission. */
  readonly waits?: true
  /** What goes wrong at fal: at that call, or beside. */
  readonly fault?: Fault
  /** What else goes wrong before. */
  readonly beside?: readonly Fault[]
  /** Callers want to be told, each at an address of its own. */
  readonly hooks?: true
  /** What the first webhook meets. Where it gets no answer, that is the point. */
  readonly receiver?: 'no answer' | 'an error'
  /** What the first caller is told, where that is more than how it ends. */
  readonly tells?: readonly Phase[]
  /** Without it the process dies on the straight way. */
  readonly once?: Once
  readonly ends: Phase | 'forgotten' | 'deleted'
  /** Purchases at fal, of a list each; one unless told otherwise. */
  readonly purchases?: 0 | 1 | 2
  /** `seeded` and `unseeded`, one after the other, unless told otherwise. */
  readonly callers?: Callers
  /** Leases that outlast the test: the one that goes on does so because a replica went silent. Of all points of a place, or of none. */
  readonly isLeaseLong?: true
  /** Where the ledger lies in a folder, there is no such point: no other process is there that would find out, or could put back what was lost. */
  readonly onlyOn?: 'Redis'
  /** The caller's retry would rightly be another purchase, or another story. */
  readonly retries?: false
}

const busy: Fault = { kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit' }
const lost: Fault = { kind: 'reset', operation: 'submit', accepted: true }
const blocked: Fault = { kind: 'answer', operation: 'submit', error: 'unauthorized' }
const gone: Fault = { kind: 'answer', operation: 'result', error: 'result_expired', times: 2 }
const notKnownYet: readonly Fault[] = [
  { kind: 'answer', operation: 'stream', error: 'result_expired' },
  { kind: 'answer', operation: 'status', error: 'result_expired', times: 5 },
  { kind: 'answer', operation: 'result', error: 'result_expired' }
]
const lateFile: Fault = { kind: 'answer', operation: 'file', error: 'nginx' }
const slowAnswer: Fault = { kind: 'hang', operation: 'submit', accepted: true }
const noFile: Fault = { kind: 'odd', operation: 'file', answer: 'not_found', times: 'always' }
/** Only an answer to `takeHooks` with a webhook in it. */
const aHook = 'untilMs'

/** Every point between two writes, in the order of a generation's life. What has no point here is found by `withoutPoints`. */
export const points: readonly Point[] = [
  { says: 'before its row is written', before: 'admit', ends: 'succeeded' },
  { says: 'after its row is written, before it is claimed', after: 'admit', waits: true, ends: 'succeeded' },
  { says: 'before the claim', before: 'claim', waits: true, ends: 'succeeded' },
  // A process that comes later cannot tell a claim without its submit from one whose submit is under way, whether it was granted alone or along with the admission.
  { says: 'after the claim, before the submit', after: 'claim', having: '"outcome":"go"', waits: true, ends: 'unknown', purchases: 0 },
  { says: 'after its row is written and granted, before the submit', after: 'admit', ends: 'unknown', purchases: 0 },
  { says: 'while the submit is under way', atFal: 'submit', ends: 'unknown', purchases: 0 },
  { says: 'after acceptance, before the answer', atFal: 'submit', fault: slowAnswer, ends: 'unknown' },
  { says: 'after acceptance, before the id is stored', before: 'recordAccepted', ends: 'unknown' },
  { says: 'after the id is stored', after: 'recordAccepted', ends: 'succeeded' },
  { says: 'before fal\'s status is seen', atFal: 'stream', ends: 'succeeded' },
  { says: 'before it is noted as running', before: 'recordProgress', ends: 'succeeded' },
  { says: 'after it is noted as running', after: 'recordProgress', ends: 'succeeded' },
  { says: 'while it runs', once: 'it runs', ends: 'succeeded' },
  { says: 'after completion, before the result is fetched', atFal: 'result', ends: 'succeeded' },
  { says: 'before it is noted that its result could not be used', before: 'recordDoubt', fault: gone, ends: 'succeeded' },
  { says: 'after it is noted that its result could not be used', after: 'recordDoubt', fault: gone, ends: 'succeeded' },
  { says: 'while fal is asked whether it knows it by now', atFal: 'status', beside: notKnownYet, ends: 'succeeded', callers: 'seeded' },
  { says: 'after the result, before it is settled', before: 'finish', ends: 'succeeded' },
  { says: 'after it is settled, before the cache copy and the answer', after: 'finish', ends: 'succeeded' },
  { says: 'after the answer, before its delivery is noted', before: 'seen', ends: 'succeeded' },
  { says: 'after its delivery is noted', after: 'seen', ends: 'succeeded', callers: 'seeded' },
  { says: 'after its delivery is noted', after: 'seen', ends: 'succeeded', callers: 'unseeded', retries: false },

  // A submit that did not succeed.
  { says: 'before a refused submit is noted', before: 'recordNotSent', fault: busy, ends: 'unknown', purchases: 0, callers: 'seeded' },
  { says: 'after a refused submit is noted', after: 'recordNotSent', fault: busy, ends: 'succeeded', callers: 'seeded' },
  { says: 'after the claim of another attempt, before its submit', after: 'claim', having: '"outcome":"go"', fault: busy, ends: 'unknown', purchases: 0, callers: 'seeded' },
  { says: 'after another attempt is accepted, before its id is stored', before: 'recordAccepted', fault: busy, ends: 'unknown', callers: 'unseeded' },
  { says: 'after the id of another attempt is stored', after: 'recordAccepted', fault: busy, ends: 'succeeded', callers: 'seeded' },
  { says: 'before a lost submit is noted', before: 'recordUnknown', fault: lost, ends: 'unknown', callers: 'unseeded' },
  { says: 'after a lost submit is noted', after: 'recordUnknown', fault: lost, ends: 'unknown', callers: 'unseeded' },
  { says: 'before it is noted that fal blocks the account', before: 'recordNotSent', fault: blocked, ends: 'unknown', purchases: 0, callers: 'unseeded' },
  { says: 'after it is noted that fal blocks the account', after: 'recordNotSent', fault: blocked, hooks: true, ends: 'failed', purchases: 0, callers: 'unseeded', retries: false },

  // Files of results are stored before the end, and after it when that fails.
  { says: 'while its file is fetched', atFal: 'file', ends: 'succeeded' },
  { says: 'before its file is announced', before: 'expectFile', ends: 'succeeded' },
  { says: 'after its file is announced, before that is stored', after: 'expectFile', ends: 'succeeded', callers: 'unseeded' },
  { says: 'before files that are missing are taken', once: 'it runs', before: 'takeMissing', ends: 'succeeded', callers: 'unseeded' },
  { says: 'after its missing file is taken, before that is stored', after: 'takeMissing', having: 'succeeded', fault: lateFile, ends: 'succeeded', callers: 'unseeded', retries: false },
  { says: 'after its missing file is stored, before that is noted', before: 'keepFiles', fault: lateFile, ends: 'succeeded', callers: 'unseeded', retries: false },
  { says: 'after it is noted that its missing file is stored', after: 'keepFiles', fault: lateFile, ends: 'succeeded', callers: 'unseeded', retries: false },

  // What was asked for with `reuse` has a name while it runs, and another one or none may have it when it ends.
  { says: 'after its row is written, before it is claimed', after: 'admit', waits: true, ends: 'succeeded', callers: 'reuse' },
  { says: 'after its row is written and granted, before the submit', after: 'admit', ends: 'unknown', purchases: 0, callers: 'reuse' },
  { says: 'after acceptance, before the id is stored', before: 'recordAccepted', ends: 'unknown', callers: 'reuse' },
  { says: 'after the result, before it is settled', before: 'finish', ends: 'succeeded', callers: 'reuse' },
  { says: 'after it is settled, before the cache copy and the answer', after: 'finish', ends: 'succeeded', callers: 'reuse' },
  { says: 'after a row that Redis lost is put back', once: 'Redis is emptied', after: 'restore', ends: 'succeeded', callers: 'reuse', onlyOn: 'Redis' },

  // Leases.
  { says: 'before a sign of life', once: 'it runs', before: 'renew', ends: 'succeeded', callers: 'seeded' },
  { says: 'after a sign of life', once: 'it runs', after: 'renew', ends: 'succeeded', callers: 'seeded' },
  { says: 'before it lets go', once: 'the process drains', before: 'release', ends: 'succeeded', callers: 'seeded' },
  { says: 'after it let go', once: 'the process drains', after: 'release', hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'before it takes over from a dead one', once: 'its owner dies', before: 'sweep', ends: 'succeeded', callers: 'seeded' },
  { says: 'after it took over from a dead one', once: 'its owner dies', after: 'sweep', having: 'id', hooks: true, ends: 'succeeded', callers: 'unseeded' },
  { says: 'before a heartbeat', once: 'it runs', before: 'heartbeat', ends: 'succeeded', callers: 'seeded' },
  { says: 'after a heartbeat', once: 'it runs', after: 'heartbeat', ends: 'succeeded', callers: 'unseeded', isLeaseLong: true },
  { says: 'before it takes over from one that went silent', once: 'its owner dies', before: 'takeOver', ends: 'succeeded', callers: 'seeded', isLeaseLong: true, onlyOn: 'Redis' },
  { says: 'after it took over from one that went silent', once: 'its owner dies', after: 'takeOver', having: 'id', hooks: true, ends: 'succeeded', callers: 'seeded', isLeaseLong: true, onlyOn: 'Redis' },
  { says: 'after it took over from one that went silent', once: 'its owner dies', after: 'takeOver', having: 'id', ends: 'succeeded', callers: 'unseeded', isLeaseLong: true, onlyOn: 'Redis' },
  { says: 'before it takes the events that nobody\'s evidence made', once: 'it runs', before: 'takeOutbox', ends: 'succeeded', callers: 'unseeded' },
  { says: 'after it took them, before it counted them', once: 'it runs', after: 'takeOutbox', ends: 'succeeded', callers: 'unseeded' },
  // What no living replica held is gone, and only what it was bought for can be asked again.
  { says: 'before a row that Redis lost is put back', once: 'Redis is emptied', before: 'restore', ends: 'forgotten', callers: 'seeded', retries: false, onlyOn: 'Redis' },
  { says: 'after a row that Redis lost is put back', once: 'Redis is emptied', after: 'restore', hooks: true, ends: 'succeeded', callers: 'seeded', retries: false, onlyOn: 'Redis' },

  // Callers.
  { says: 'before it is noted that the caller left', once: 'its caller leaves', before: 'left', ends: 'succeeded' },
  { says: 'after it is noted that the caller left', once: 'its caller leaves', after: 'left', ends: 'succeeded' },
  { says: 'before a wish to cancel is noted', once: 'its caller cancels', before: 'cancel', ends: 'succeeded', callers: 'unseeded' },
  { says: 'after a wish to cancel is noted', once: 'its caller cancels', after: 'cancel', hooks: true, ends: 'cancelled', callers: 'unseeded', retries: false },
  { says: 'while fal is asked to cancel', once: 'its caller cancels', atFal: 'cancel', ends: 'cancelled', callers: 'unseeded', retries: false },

  // With a key a repeated call is never another purchase, and nobody is told twice because of it.
  { says: 'before its row is written', before: 'admit', ends: 'succeeded', callers: 'keyed' },
  { says: 'after its row is written and granted, before the submit', after: 'admit', hooks: true, ends: 'unknown', purchases: 0, callers: 'keyed' },
  { says: 'after the id is stored', after: 'recordAccepted', hooks: true, ends: 'succeeded', callers: 'keyed' },
  { says: 'after it is settled, before the cache copy and the answer', after: 'finish', hooks: true, ends: 'succeeded', callers: 'keyed' },
  { says: 'after its delivery is noted', after: 'seen', hooks: true, ends: 'succeeded', callers: 'keyed' },

  // Webhooks. What was not told yet when the caller has its picture is another purchase to a retry without a name.
  { says: 'after it is noted whom to tell, before it is claimed', after: 'admit', waits: true, hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'after it is noted whom to tell, before the submit', after: 'admit', hooks: true, ends: 'unknown', purchases: 0, callers: 'unseeded' },
  { says: 'after it is noted whom else to tell', once: 'another one joins it', after: 'admit', having: 'joined', hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'after it is settled, before anybody is told', after: 'finish', hooks: true, ends: 'succeeded', callers: 'unseeded' },
  { says: 'before a webhook is taken', once: 'it ends', before: 'takeHooks', hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'after a webhook is taken, before it is sent', after: 'takeHooks', having: aHook, hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'while a webhook is sent', receiver: 'no answer', hooks: true, ends: 'succeeded', callers: 'unseeded', retries: false },
  { says: 'after a webhook is sent, before that is noted', before: 'hookTried', hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'after it is noted that a webhook is sent', after: 'hookTried', hooks: true, ends: 'succeeded', callers: 'seeded' },
  { says: 'before it is noted that a webhook was not taken', before: 'hookTried', receiver: 'an error', hooks: true, ends: 'succeeded', callers: 'unseeded', retries: false },
  { says: 'after it is noted that a webhook was not taken', after: 'hookTried', receiver: 'an error', hooks: true, ends: 'succeeded', callers: 'unseeded', retries: false },
  { says: 'while it tells that nobody knows', once: 'its owner stands still', fault: slowAnswer, receiver: 'no answer', hooks: true, tells: ['unknown', 'succeeded'], ends: 'succeeded', callers: 'seeded', onlyOn: 'Redis' },

  // A list is admitted in one step; then each of it goes on alone.
  { says: 'before the rows of a list are written', before: 'admitAll', ends: 'succeeded', callers: 'list' },
  { says: 'after the rows of a list are written, before any of it is claimed', after: 'admitAll', waits: true, ends: 'succeeded', callers: 'list' },
  { says: 'before the first of a list is claimed', before: 'claim', waits: true, ends: 'succeeded', callers: 'list' },
  { says: 'while all of a list run', once: 'it runs', ends: 'succeeded', callers: 'list' },
  { says: 'before a sign of life for all of a list', once: 'it runs', before: 'renew', ends: 'succeeded', callers: 'list' },
  { says: 'after a list is answered, before the first delivery is noted', before: 'seen', ends: 'succeeded', callers: 'list' },

  // What has ended.
  { says: 'before it is deleted', once: 'its reader deletes it', before: 'erase', ends: 'deleted', callers: 'seeded', retries: false },
  { says: 'after it is deleted', once: 'its reader deletes it', after: 'erase', ends: 'deleted', callers: 'seeded', retries: false },
  { says: 'before it is noted that its links are dead', once: 'its files are gone', before: 'noteDeadLinks', fault: noFile, ends: 'succeeded', purchases: 2, callers: 'seeded' },
  { says: 'after it is noted that its links are dead', once: 'its files are gone', after: 'noteDeadLinks', fault: noFile, ends: 'succeeded', purchases: 2, callers: 'seeded' }
]

/** Operations that change nothing: a death around one of them is the death before the next write. */
const reads = new Set(['aside', 'lookup', 'preview', 'getMany', 'getStatuses', 'logs', 'read', 'list', 'breakers', 'gauges', 'balances', 'journal', 'askOpen', 'askThere', 'token', 'tokens'])

/**
 * What is about no generation: an operator's word that fal may be tried again, and tokens that are given out or ended. A death around these leaves a token that
 * nobody holds, which ends by itself, or one whose end has to be asked for again. So does a ticket for events that nobody was given, or that was used in vain. Files that one process was to
 * remove are given to another one (`test/generation/remove-files.test.ts`).
 */
const apart = new Set(['breaker', 'mint', 'revoke', 'issueTicket', 'takeTicket', 'takeOrphans', 'filesGone'])

/** What is no call. */
const local = new Set(['now', 'listen', 'answerOpen'])

/** One of the deaths that are played. */
export interface Death { readonly point: Point, readonly callers: Callers }

export const deaths: readonly Death[] = points.flatMap(point => (point.callers === undefined ? ['seeded', 'unseeded'] as const : [point.callers]).map(callers => ({ point, callers })))

/** What stays behind in these would be met by those that follow: a blocked account, an emptied Redis. */
function isLonely ({ point: { once, fault } }: Death): boolean {
  return once === 'Redis is emptied' || fault === blocked
}

/** Does it take a place where everything that has ended is old? */
export function isAged ({ once }: Point): boolean {
  return once === 'its files are gone'
}

/** Those that are played one after the other on one ledger, so many of these lists beside each other; those with long leases, those that are old, and those that have to be alone. */
export function inPlaces (some: readonly Death[], count: number): ReadonlyArray<readonly Death[]> {
  const shared = some.filter(death => !isLonely(death) && death.point.isLeaseLong !== true && !isAged(death.point))
  return [
    ...Array.from({ length: count }, (_, place) => shared.filter((_, number) => number % count === place)),
    some.filter(({ point }) => point.isLeaseLong === true),
    some.filter(({ point }) => isAged(point)),
    ...some.filter(isLonely).map(death => [death])
  ]
}

export function titleOf ({ point: { says, once, ends }, callers }: Death): string {
  return `killed ${says}${once === undefined ? '' : `, once ${once}`} (${callers}): ${ends}`
}

/** The operations of the ledger, and the calls to fal, that the gateway uses and that have no points before and after them in the table. */
export function withoutPoints (): readonly string[] {
  const used = (port: string): string[] => [...new Set(sources().flatMap(text => [...text.matchAll(new RegExp(`\\b${port}\\.(\\w+)\\(`, 'g'))].map(([, name]) => String(name))))]
  const calls: Readonly<Record<string, string>> = { submit: 'submit', openStatusReader: 'stream', state: 'status', result: 'result', cancel: 'cancel' }
  return [...unplayed(used('ledger'), points), ...used('upstream').filter(name => !points.some(({ atFal }) => atFal === calls[name]))]
}

/** Those of these operations that change something of a generation, and before or after which nobody dies at these points. */
export function unplayed (operations: readonly string[], points: readonly Point[]): readonly string[] {
  const has = (isSo: (point: Point) => boolean): boolean => points.some(isSo)
  return operations.filter(name => !reads.has(name) && !local.has(name) && !apart.has(name) && !(has(({ before }) => before === name) && has(({ after }) => after === name)))
}

/** Everything between a request's door and the ledger; operators ask once and have nothing to take over. */
function sources (): string[] {
  return ['src/generation', 'src/http'].flatMap(folder => readdirSync(join(projectDir, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && file !== 'operators.ts').map(file => readFileSync(join(projectDir, folder, file), 'utf8')))
}
