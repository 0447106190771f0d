// The kill matrix: a gateway dies before and after every write, and while every call to fal is under way; another one goes on.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Fault } from '../../src/sandbox/fault-schema.ts'
import { die, openPlace, type Callers, type Point } from '../support/kill-scene.ts'
import { projectDir } from '../support/paths.ts'

const busy: Fault = { kind: 'answer', operation: 'submit', error: 'concurrent_requests_limit' }
const lost: Fault = { kind: 'reset', operation: 'submit', accepted: true }
const blocked: Fault = { kind: 'answer', operation: 'submit', error: 'unauthorized' }
const gone: Fault = { kind: 'answer', operation: 'result', error: 'result_expired', times: 2 }
const notKnownYet: readonly Fault[] = [
  { kind: 'answer', operation: 'stream', error: 'result_expired' },
  { kind: 'answer', operation: 'status', error: 'result_expired', times: 5 },
  { kind: 'answer', operation: 'result', error: 'result_expired' }
]
const slowAnswer: Fault = { kind: 'hang', operation: 'submit', accepted: true }

/** Every point between two writes, in the order of a generation's life. What has no point here fails the last test of this file. */
const points: readonly Point[] = [
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
  { says: 'before a lost submit is noted', before: 'recordUnknown', fault: lost, ends: 'unknown', callers: 'unseeded' },
  { says: 'after a lost submit is noted', after: 'recordUnknown', fault: lost, ends: 'unknown', callers: 'unseeded' },
  { says: 'before it is noted that fal blocks the account', before: 'recordNotSent', fault: blocked, ends: 'unknown', purchases: 0, callers: 'unseeded' },
  { says: 'after it is noted that fal blocks the account', after: 'recordNotSent', fault: blocked, ends: 'failed', purchases: 0, callers: 'unseeded', retries: false },

  // What was asked for with `reuse` has a name while it runs, and another one or none may have it when it ends.
  { says: 'after its row is written, before it is claimed', after: 'admit', waits: true, ends: 'succeeded', callers: 'reuse' },
  { says: 'after its row is written and granted, before the submit', after: 'admit', ends: 'unknown', purchases: 0, callers: 'reuse' },
  { says: 'after acceptance, before the id is stored', before: 'recordAccepted', ends: 'unknown', callers: 'reuse' },
  { says: 'after the result, before it is settled', before: 'finish', ends: 'succeeded', callers: 'reuse' },
  { says: 'after it is settled, before the cache copy and the answer', after: 'finish', ends: 'succeeded', callers: 'reuse' },
  { says: 'after a row that Redis lost is put back', once: 'Redis is emptied', after: 'restore', ends: 'succeeded', callers: 'reuse' },

  // Leases.
  { says: 'before a sign of life', once: 'it runs', before: 'renew', ends: 'succeeded', callers: 'seeded' },
  { says: 'after a sign of life', once: 'it runs', after: 'renew', ends: 'succeeded', callers: 'seeded' },
  { says: 'before it lets go', once: 'the process drains', before: 'release', ends: 'succeeded', callers: 'seeded' },
  { says: 'after it let go', once: 'the process drains', after: 'release', ends: 'succeeded', callers: 'seeded' },
  { says: 'before it takes over from a dead one', once: 'its owner dies', before: 'sweep', ends: 'succeeded', callers: 'seeded' },
  { says: 'after it took over from a dead one', once: 'its owner dies', after: 'sweep', having: 'id', ends: 'succeeded', callers: 'unseeded' },
  { says: 'before a heartbeat', once: 'it runs', before: 'heartbeat', ends: 'succeeded', callers: 'seeded' },
  { says: 'after a heartbeat', once: 'it runs', after: 'heartbeat', ends: 'succeeded', callers: 'unseeded', isLeaseLong: true },
  { says: 'before it takes over from one that went silent', once: 'its owner dies', before: 'takeOver', ends: 'succeeded', callers: 'seeded', isLeaseLong: true },
  { says: 'after it took over from one that went silent', once: 'its owner dies', after: 'takeOver', having: 'id', ends: 'succeeded', callers: 'seeded', isLeaseLong: true },
  { says: 'after it took over from one that went silent', once: 'its owner dies', after: 'takeOver', having: 'id', ends: 'succeeded', callers: 'unseeded', isLeaseLong: true },
  { says: 'before it takes the events that nobody\'s evidence made', once: 'it runs', before: 'takeOutbox', ends: 'succeeded', callers: 'unseeded' },
  { says: 'after it took them, before it counted them', once: 'it runs', after: 'takeOutbox', ends: 'succeeded', callers: 'unseeded' },
  // What no living replica held is gone, and only what it was bought for can be asked again.
  { says: 'before a row that Redis lost is put back', once: 'Redis is emptied', before: 'restore', ends: 'forgotten', callers: 'seeded', retries: false },
  { says: 'after a row that Redis lost is put back', once: 'Redis is emptied', after: 'restore', ends: 'succeeded', callers: 'seeded', retries: false },

  // Callers.
  { says: 'before it is noted that the caller left', once: 'its caller leaves', before: 'left', ends: 'succeeded' },
  { says: 'after it is noted that the caller left', once: 'its caller leaves', after: 'left', ends: 'succeeded' },
  { says: 'before a wish to cancel is noted', once: 'its caller cancels', before: 'cancel', ends: 'succeeded', callers: 'unseeded' },
  { says: 'after a wish to cancel is noted', once: 'its caller cancels', after: 'cancel', ends: 'cancelled', callers: 'unseeded', retries: false },
  { says: 'while fal is asked to cancel', once: 'its caller cancels', atFal: 'cancel', ends: 'cancelled', callers: 'unseeded', retries: false }
]

/** Deployments in which deaths happen one after the other; processes have to start, and leases to run out, so several are played at once. */
const PLACES = 4

/** Operations that change nothing: a death around one of them is the death before the next write. */
const reads = new Set(['aside', 'lookup', 'preview', 'getMany', 'getStatuses', 'logs', 'read', 'list', 'breakers', 'gauges', 'balances', 'askOpen', 'askThere', 'token', 'tokens'])

/**
 * What is about no generation: an operator's word that fal may be tried again, and tokens that are given out or ended. A death around these leaves a token that
 * nobody holds, which ends by itself, or one whose end has to be asked for again. So does a ticket for events that nobody was given, or that was used in vain.
 */
const apart = new Set(['breaker', 'mint', 'revoke', 'issueTicket', 'takeTicket'])

/** What is no call. */
const local = new Set(['now', 'listen', 'answerOpen'])

interface Death { readonly point: Point, readonly callers: Callers }

const deaths: readonly Death[] = points.flatMap(point => (point.callers === undefined ? ['seeded', 'unseeded'] as const : [point.callers]).map(callers => ({ point, callers })))

/** What stays behind in these would be met by those that follow: a blocked account, an emptied Redis. */
function isLonely ({ point: { once, fault } }: Death): boolean {
  return once === 'Redis is emptied' || fault === blocked
}

const shared = deaths.filter(death => !isLonely(death) && death.point.isLeaseLong !== true)
const places: ReadonlyArray<readonly Death[]> = [
  ...Array.from({ length: PLACES }, (_, place) => shared.filter((_, number) => number % PLACES === place)),
  deaths.filter(({ point }) => point.isLeaseLong === true),
  ...deaths.filter(isLonely).map(death => [death])
]

t.jobs = PLACES
t.setTimeout(300_000)

for (const [number, here] of places.entries()) {
  t.test(`place ${number + 1}`, { buffered: true }, async t => {
    t.jobs = 1
    const place = await openPlace(t, here.map(({ point }) => point))
    for (const { point, callers } of here) {
      const title = `killed ${point.says}${point.once === undefined ? '' : `, once ${point.once}`} (${callers}): ${point.ends}`
      await t.test(title, async t => { await die(t, place, point, callers) })
    }
  })
}

t.test('every operation of the ledger and of fal that the gateway uses has its points in the table', async t => {
  const used = (port: string): string[] => [...new Set(sources().flatMap(text => [...text.matchAll(new RegExp(`\\b${port}\\.(\\w+)\\(`, 'g'))].map(([, name]) => String(name))))]
  const has = (isSo: (point: Point) => boolean): boolean => points.some(isSo)
  t.same(used('ledger').filter(name => !reads.has(name) && !local.has(name) && !apart.has(name) && !(has(({ before }) => before === name) && has(({ after }) => after === name))), [])
  const calls: Readonly<Record<string, string>> = { submit: 'submit', openStatusReader: 'stream', state: 'status', result: 'result', cancel: 'cancel' }
  t.same(used('upstream').filter(name => !has(({ atFal }) => atFal === calls[name])), [])
})

/** Everything between a request's door and the ledger; operators ask once and have nothing to take over. */
function sources (): string[] {
  return ['src/generation', 'src/http'].flatMap(folder => readdirSync(join(projectDir, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && file !== 'operators.ts').map(file => readFileSync(join(projectDir, folder, file), 'utf8')))
}
