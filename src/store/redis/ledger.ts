// The ledger on Redis: one atomic script per operation, the same story as in `store/memory`, which is its model.
// Redis has to be 7 or newer, with `maxmemory-policy noeviction`. An ACL user needs `~{<namespace>}:*`, `&{<namespace>}:*`, the commands used in `lua/`,
// and HELLO, INFO, FCALL, FUNCTION LOAD, PUBLISH, SUBSCRIBE, UNSUBSCRIBE. Without FCALL and FUNCTION LOAD it needs EVAL and EVALSHA, and is slower.

import { statuses, statusOf, phases } from '../../generation/phases.ts'
import { logText } from '../../generation/log-text.ts'
import type { Ending, Failure, Guard, Ledger, LedgerTimes, LogPiece, Token, Weighed } from '../../generation/ports.ts'
import { createCaller } from './caller.ts'
import { createLedgerClock } from './clock.ts'
import { clientOf, createConnection, type MakeClient } from './connection.ts'
import { createEvents } from './events.ts'
import { createRights } from './rights.ts'
import { readScripts } from './script.ts'
import {
  fieldsIn, fieldsOf, glanceIn, guardStateIn, integerIn, isKept, journalEntryIn, listIn, logPieceIn, newsIn, rowIn, rowOrNullIn, rowsIn, sha256Of, textIn, weighedIn, wordIn
} from './wire.ts'

/** A ledger that has to be connected first. */
export type RedisLedger = Ledger & {
  /**
   * Connects, loads the scripts and subscribes. Rejects with `store-unavailable` when that takes more than five seconds; it goes on trying, and
   * operations reject until it succeeds.
   */
  readonly connect: () => Promise<void>
  /** One sentence for every broken invariant; reads everything, for tests. */
  readonly audit: () => Promise<readonly string[]>
}

export interface RedisLedgerOptions {
  /** `redis://` or `rediss://`, with user and password of an ACL if need be; for Redis Cluster a factory, see `clusterOf`. */
  readonly url: string | MakeClient
  readonly times: LedgerTimes
  /** The hash tag of every key: letters, digits, `-` and `_`. Ledgers with different ones know nothing of each other. */
  readonly namespace?: string
  /** For tests: scripts take this time instead of Redis' own, and keys do not end by themselves. */
  readonly clock?: { readonly now: () => number }
  /** After this long a call that was not answered is given up. */
  readonly deadlineMs?: number
  /** Told when Redis went back in time: it was restored, failed over, or is empty (rule 16). */
  readonly onRollback?: (error: Error) => void
  /** Told once per outage. */
  readonly onTrouble?: (doing: string, error: unknown) => void
  /** Told whenever calls become possible or impossible. */
  readonly onState?: (up: boolean) => void
}

const CONNECT_WITHIN_MS = 5000

export function createRedisLedger ({
  url, times, namespace = 'fg', clock: fixed, deadlineMs = 800, onRollback = () => {}, onTrouble = () => {}, onState = () => {}
}: RedisLedgerOptions): RedisLedger {
  if (!/^[\w-]+$/.test(namespace)) throw new Error('A namespace is made of letters, digits, - and _.')
  const prefix = `{${namespace}}:`
  const makeClient = typeof url === 'string' ? clientOf(url, deadlineMs) : url
  const clock = createLedgerClock()
  const now = fixed?.now ?? clock.now

  const caller = createCaller({
    connection: () => commands,
    scripts: readScripts(),
    key: prefix + 'glob',
    times,
    clock,
    fixedNow: fixed?.now,
    onRollback: error => {
      onRollback(error)
      events.lookAgain()
    }
  })
  const events = createEvents({ prefix, commands: () => commands, subscription: () => subscription, onTrouble })
  const commands = createConnection({ makeClient, deadlineMs, prepare: caller.prepare, onTrouble, onState })
  const subscription = createConnection({ makeClient, deadlineMs, prepare: events.prepare, onTrouble, onState: () => {} })
  const { call } = caller

  async function evidence (operation: string, given: object, payload?: string): Promise<Weighed | null> {
    return weighedIn(await call(operation, given, payload))
  }

  /**
   * An output too large to be kept is not even sent. The row given back has it all the same, for the callers who are there; whoever reads the row
   * later finds a success without output, and no name leads to it.
   */
  async function finish (id: string, attempt: number, requestId: string | null, ending: Ending, log?: LogPiece): Promise<Weighed | null> {
    const given = { id, attempt, requestId, kind: ending.kind, cost: ending.cost, ...logOf(log) }
    if (ending.kind === 'cancelled') return await evidence('finish', given)
    if (ending.kind === 'failed') return await evidence('finish', { failure: JSON.stringify(ending.failure), ...given })
    const { output, seed, learnedName } = ending
    if (isKept(output)) return await evidence('finish', { seed, learnedName, ...given }, output)
    const row = await evidence('finish', { seed, learnedName, outputSha256: sha256Of(output), ...given })
    return row?.phase === 'succeeded' && row.output === null ? { ...row, output } : row
  }

  return {
    now,
    connect: async () => { await Promise.all([commands.open(CONNECT_WITHIN_MS), subscription.open(CONNECT_WITHIN_MS)]) },
    ping: async () => { await call('ping') },

    ...createRights({ caller, connection: commands, now, deadlineMs }),

    sent: async (id, attempt, requestId) => await evidence('sent', { id, attempt, requestId }),
    unsent: async (id, attempt, then, verdict) => await evidence('unsent', 'failure' in then ? { id, attempt, failure: JSON.stringify(then.failure), verdict } : { id, attempt, ...then, busy: then.busy === true ? true : null, verdict }),
    lost: async (id, attempt, failure: Failure, { what = 'run', verdict } = {}) => await evidence('lost', { id, attempt, failure: JSON.stringify(failure), what, verdict }),
    progressed: async (id, attempt, sighting, log) => await evidence('progressed', { id, attempt, ...sighting, ...logOf(log) }),
    finish,

    async renew (replica, facts) {
      const short = facts.map(({ holds, row: { id, phase, version, attempt, requestId, finishedAtMs } }) => ({ id, phase, version, attempt, requestId, finishedAtMs, holds }))
      const [gone, rolledBack] = listIn(await call('renew', { replica, facts: short }))
      return { gone: listIn(gone).map(textIn), rolledBack: listIn(rolledBack).map(textIn) }
    },
    restore: async (replica, facts) => { await call('restore', { replica, facts: facts.map(({ row, holds }) => ({ id: row.id, holds, fields: fieldsOf(row) })) }) },
    release: async (replica, ids) => { await call('release', { replica, ids }) },
    sweep: async (replica, max) => rowsIn(await call('sweep', { replica, max })),
    takeNews: async max => listIn(await call('takeNews', { max })).map(newsIn),

    seen: async (id, connection) => { await call('seen', { id, connection }) },
    left: async (id, connection) => { await call('left', { id, connection }) },
    askOpen: events.askOpen,
    answerOpen: events.answerOpen,

    read: async (id, { tenant, subject }) => rowOrNullIn(await call('read', { id, tenant, subject })),
    lookup: async name => rowOrNullIn(await call('lookup', { name })),
    async list ({ tenant, subject }, { limit, cursor, status }) {
      const below = cursor === null ? Infinity : Number(cursor)
      if (Number.isNaN(below) || limit < 1) return { rows: [], nextCursor: null }
      const shown = status === null ? null : phases.filter(phase => statusOf(phase) === wordIn(statuses, status))
      const [rows, nextCursor] = listIn(await call('list', { tenant, subject, limit, below: below === Infinity ? '+inf' : String(below), phases: shown }))
      return { rows: rowsIn(rows), nextCursor: nextCursor === null ? null : textIn(nextCursor) }
    },
    look: async ids => ids.length === 0 ? [] : rowsIn(await call('look', { ids })),
    glance: async ids => ids.length === 0 ? [] : listIn(await call('glance', { ids })).map(glanceIn),
    logs: async (id, from) => logPieceIn(await call('logs', { id, from })),
    listen: events.listen,

    async cancel (id, { tenant, subject }) {
      const [outcome, row] = listIn(await call('cancel', { id, tenant, subject }))
      if (outcome === 'no-such-generation') return { outcome }
      return { outcome: wordIn(['cancelled', 'asked', 'already-cancelled', 'others-waiting', 'already-finished'], outcome), row: rowIn(row) }
    },
    async settle (id, billed) {
      const [outcome, row] = listIn(await call('settle', { id, billed }))
      return outcome === 'settled' ? { outcome, row: rowIn(row) } : { outcome: wordIn(['too-young', 'not-unknown', 'no-such-generation'], outcome) }
    },
    guard: async (scope, verdict) => guardIn(await call('guard', { scope, ...verdict })),
    guards: async () => listIn(await call('guards')).map(guardIn),
    mint: async token => { await call('mint', { ...token, origins: JSON.stringify(token.origins) }) },
    token: async id => tokenOrNullIn(await call('token', { id })),
    revoke: async (id, tenant) => await call('revoke', { id, tenant }) === '1',

    balances: async accounts => listIn(await call('balances', { accounts })).map(balance => {
      const [owner, period, held, spent] = listIn(balance)
      return { owner: textIn(owner), period: textIn(period), held: integerIn(held), spent: integerIn(spent) }
    }),
    unknowns: async limit => listIn(await call('unknowns', { limit })).map(unknown => {
      const [sinceMs, row] = listIn(unknown)
      return { ...rowIn(row), sinceMs: integerIn(sinceMs) }
    }),
    journal: async (fromMs, toMs, limit, after) => listIn(await call('journal', { fromMs, toMs, limit, after })).map(journalEntryIn),
    async gauges () {
      const [waiting, atUpstream, places, unknownOpen, unknownOldestMs] = listIn(await call('gauges'))
      return {
        waiting: new Map([...fieldsIn(waiting)].map(([tenant, count]) => [tenant, integerIn(count)])),
        atUpstream: integerIn(atUpstream),
        places: places === null ? null : integerIn(places),
        unknownOpen: integerIn(unknownOpen),
        unknownOldestMs: unknownOldestMs === null ? null : integerIn(unknownOldestMs)
      }
    },

    close: async () => {
      events.close()
      commands.close()
      subscription.close()
    },
    audit: async () => listIn(await caller.audit()).map(textIn)
  }
}

/** As scripts take it; without lines there is nothing to tell. */
function logOf (log: LogPiece | undefined): { readonly log?: { readonly from: number, readonly lines: readonly string[] } } {
  return log === undefined || log.lines.length === 0 ? {} : { log: { from: log.from, lines: log.lines.map(logText) } }
}

function guardIn (value: unknown): Guard {
  const [scope, state, sinceMs, retryAtMs, probe, failures] = listIn(value)
  return {
    scope: textIn(scope),
    state: guardStateIn(state),
    sinceMs: integerIn(sinceMs),
    retryAtMs: integerIn(retryAtMs),
    probe: probe === null ? null : textIn(probe),
    failures: integerIn(failures)
  }
}

function tokenOrNullIn (value: unknown): Token | null {
  if (value === null) return null
  const fields = fieldsIn(value)
  return {
    id: textIn(fields.get('id')),
    tenant: textIn(fields.get('tenant')),
    subject: textIn(fields.get('subject')),
    secretSha256: textIn(fields.get('secretSha256')),
    origins: listIn(JSON.parse(textIn(fields.get('origins')))).map(textIn),
    expiresAtMs: integerIn(fields.get('expiresAtMs')),
    revoked: fields.get('revoked') === '1',
    picturesLeft: integerIn(fields.get('picturesLeft')),
    moneyLeft: integerIn(fields.get('moneyLeft'))
  }
}
