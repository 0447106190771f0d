// The ledger on Redis: one atomic script per operation, the same story as in `store/memory`, which is its model.
// Redis has to be 7 or newer, with `maxmemory-policy noeviction`. An ACL user needs `~{<namespace>}:*`, `&{<namespace>}:*`, the commands that
// `ledgerCommands` names, FCALL and FUNCTION LOAD. Without the last two it needs EVAL and EVALSHA, and is slower.

import { Problem } from '../../errors.ts'
import type { OpenUnknown, Token } from '../../generation/accounts.ts'
import type { Ending, Weighed } from '../../generation/evidence.ts'
import { rowFields, type Large, type Generation } from '../../generation/generation.ts'
import { seenHooks, type HookedRow } from '../../generation/hooks.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Ledger, LedgerTimes } from '../../generation/ledger.ts'
import { logText } from '../../generation/log-text.ts'
import type { Recounting } from '../../generation/recount.ts'
import type { LogPiece } from '../../generation/upstream.ts'
import type { StoreFaultChange } from '../../store-faults.ts'
import type { OnTrouble } from '../../trouble.ts'
import { accountText, type OwnAccount, type UpstreamAccount } from '../../upstream-account.ts'
import { longBytesOf } from '../aside.ts'
import type { MovingPlace } from '../moving/entry.ts'
import { createAsides, sha256Of } from './asides.ts'
import { batchesOf, gathered, inBatches, readInBatches, takeInBatches } from './batches.ts'
import { createCaller } from './caller.ts'
import { selectDatabase, serverAt, type RedisServer } from './clients.ts'
import { createLedgerClock } from './clock.ts'
import { serverOf } from './cluster.ts'
import { createConnection } from './connection.ts'
import { createEvents } from './events.ts'
import { createLists } from './lists.ts'
import { createMovingPlace } from './moving.ts'
import { createOwnership, placeOf } from './ownership.ts'
import { createRecount } from './recount.ts'
import { createRights } from './rights.ts'
import { readScripts } from './script.ts'
import { createServer } from './server.ts'
import { connectionText, fieldsOf } from './wire-rows.ts'

/** A ledger that has to be connected first. */
export type RedisLedger = Ledger & Recounting & {
  /**
   * Connects, loads the scripts and subscribes. Rejects with `store-unavailable` when that takes more than five seconds; it goes on trying, and
   * operations reject until it succeeds.
   */
  readonly connect: () => Promise<void>
  /** For commands that move the whole of it. */
  readonly moving: MovingPlace
  /** One sentence for every broken invariant; reads everything, for tests. */
  readonly audit: () => Promise<readonly string[]>
}

export interface RedisLedgerOptions {
  /** `redis://` or `rediss://`, with user and password of an ACL and a database if need be; for Redis Cluster see `clusterOf`. */
  readonly url: string | RedisServer
  readonly times: LedgerTimes
  /** The hash tag of every key: letters, digits, `-` and `_`. Ledgers with different ones know nothing of each other. */
  readonly namespace?: string
  /** The account that this process buys with; by default none: an operator's window. */
  readonly account?: UpstreamAccount | null
  /** The accounts that it buys with, where there may be several or others tomorrow: the same list as long as nothing changes. By default `account` alone. */
  readonly accounts?: (() => readonly OwnAccount[]) | undefined
  /** Makes an empty ledger its own, as it does by default. */
  readonly takesEmpty?: boolean
  /** For tests: scripts take this time instead of Redis' own, and keys do not end by themselves; `server` is the one that they take it for. */
  readonly clock?: { readonly now: () => number, readonly server?: () => string }
  /** After this long a call that was not answered is given up. */
  readonly deadlineMs?: number
  /** Told when Redis went back in time: it was restored, failed over, or is empty (rule 16). */
  readonly onRollback?: (error: Error) => void
  /** Told once per outage. */
  readonly onTrouble?: OnTrouble
  /** Told whenever calls become possible or impossible. */
  readonly onState?: (up: boolean) => void
  /** Told what is wrong with the server, once for each change. */
  readonly onFault?: (change: StoreFaultChange) => void
  /** Buys also with a server that is too old or evicts. */
  readonly isUnsafe?: boolean
  /** How often a server is looked at while its connection lasts: somebody may change its settings. */
  readonly lookEveryMs?: number
}

const CONNECT_WITHIN_MS = 5000

/** How many one call reads, how many it writes, and how long the texts are that it brings: some milliseconds of Redis at most. */
const LOOK_BATCH = 100
const WRITE_BATCH = 25
const RESTORE_CHARACTERS = 262_144

export function createRedisLedger ({
  url, times, namespace = 'fg', account = null, accounts, takesEmpty = true, clock: fixed, deadlineMs = 800, onRollback = () => {}, onTrouble = () => {}, onState = () => {}, onFault = () => {}, isUnsafe = false, lookEveryMs = 60_000
}: RedisLedgerOptions): RedisLedger {
  if (!/^[\w-]+$/.test(namespace)) throw new Error('A namespace is made of letters, digits, - and _.')
  const prefix = `{${namespace}}:`
  const reached = typeof url === 'string' ? serverAt(url, deadlineMs) : url
  const clock = createLedgerClock()
  const now = fixed?.now ?? clock.now

  const own = accounts ?? (account === null ? null : listOf(account))
  const caller = createCaller({
    connection: () => commands,
    scripts: readScripts(),
    prefix,
    times,
    ownership: createOwnership({ accounts: own, takesEmpty, place: placeOf(namespace), onFault }),
    clock,
    fixed,
    onRollback: error => {
      onRollback(error)
      events.lookAgain()
    }
  })
  const events = createEvents({ prefix, commands: () => commands, subscription: () => subscription, onTrouble })
  const server = createServer({ isUnsafe, isCluster: reached.isCluster, onFault })
  const commands = createConnection({
    server: reached,
    deadlineMs,
    prepare: async client => {
      await selectDatabase(client, reached.database)
      await server.look(serverOf(client, prefix))
      try {
        await caller.prepare(client)
        server.hearMissing(await caller.missingRights(client))
      } catch (error) {
        throw server.explain(error)
      }
    },
    onTrouble,
    onState
  })
  const looks = setInterval(() => {
    // That Redis is away is told elsewhere.
    commands.run(async client => {
      await server.look(serverOf(client, prefix))
      server.hearMissing(await caller.missingRights(client))
    }).catch((error: unknown) => { if (!(error instanceof Problem)) onTrouble('check-redis', error) })
  }, lookEveryMs).unref()
  // Channels belong to no database.
  const subscription = createConnection({ server: reached, deadlineMs, prepare: events.prepare, onTrouble, onState: () => {} })
  const { call } = caller
  const asides = createAsides({ caller, connection: commands })
  const { withdrawDoubtful, ...rights } = createRights({ caller, connection: commands, assertFit: server.assertFit, now, deadlineMs })

  /** The account of evidence as scripts take it: mostly it is the first of this process, of which nothing is said. */
  function boughtWith (upstream: string | null | undefined): { readonly upstream?: string } {
    const first = own?.()[0]
    return first !== undefined && upstream === accountText(first) ? {} : { upstream: upstream ?? '' }
  }

  async function finish (id: string, attempt: number, requestId: string, ending: Ending, log?: LogPiece, upstream?: string | null): Promise<Weighed | null> {
    const given = { id, attempt, requestId, ...boughtWith(upstream), kind: ending.kind, cost: ending.cost, ...logOf(log) }
    if (ending.kind === 'cancelled') return await call('finish', given)
    if (ending.kind === 'failed') return await call('finish', { failure: JSON.stringify(ending.failure), ...given })
    const { output, seed, learnedName, files } = ending
    const [bases, media] = [rowFields.bases.write(ending.bases ?? null), rowFields.media.write(ending.media ?? null)]
    const bytes = longBytesOf(output)
    if (bytes === null) return await call('finish', { seed, learnedName, files, bases, media, ...given }, output)
    const large = { bytes, sha256: await sha256Of(output) }
    await layAside(id, large, output)
    const row = await call('finish', { seed, learnedName, files, bases, media, large: rowFields.large.write(large), ...given })
    return row?.large?.sha256 === large.sha256 ? { ...row, output } : row
  }

  /** Before the row tells of it, so that every reader of the row finds it. */
  async function layAside (id: string, large: Large, output: string): Promise<void> {
    const isKept = await asides.put(id, large, output)
    if (!isKept) onTrouble('keep-large-result', new Error(`${large.bytes} bytes of generation ${id} found no room in LARGE_RESULT_BYTES, so only those who wait for it here get them.`))
  }

  const note = gathered(WRITE_BATCH, async (answers: ReadonlyArray<{ readonly id: string, readonly connection: string | null }>) => {
    await call('seen', { answers })
    return answers
  })

  const journal: Ledger['journal'] = async (fromMs, toMs, limit, after) => {
    let cursor = after
    return await readInBatches(limit, LOOK_BATCH, async limit => {
      const lines = await call('journal', { fromMs, toMs, limit, after: cursor })
      cursor = lines.at(-1)?.cursor
      return { found: lines, isMore: lines.length === limit }
    })
  }

  return {
    now,
    connect: async () => { await Promise.all([commands.open(CONNECT_WITHIN_MS), subscription.open(CONNECT_WITHIN_MS)]) },
    ping: async () => { await call('ping') },

    ...rights,

    recordAccepted: async (id, attempt, requestId, upstream) => await call('recordAccepted', { id, attempt, requestId, ...boughtWith(upstream) }),
    recordNotSent: async (id, attempt, then, report) => await call('recordNotSent', 'failure' in then ? { id, attempt, failure: JSON.stringify(then.failure), elsewhere: then.elsewhere === true ? true : null, report } : { id, attempt, ...then, busy: then.busy === true ? true : null, report }),
    recordUnknown: async (id, attempt, requestId, failure, report, upstream) => await call('recordUnknown', { id, attempt, requestId, ...boughtWith(upstream), failure: JSON.stringify(failure), report }),
    recordProgress: async (id, attempt, requestId, sighting, log, upstream) => await call('recordProgress', { id, attempt, requestId, ...boughtWith(upstream), ...sighting, ...logOf(log) }),
    recordDoubt: async (id, attempt, requestId, seen, log, upstream) => await call('recordDoubt', { id, attempt, requestId, ...boughtWith(upstream), seen, ...logOf(log) }),
    finish,

    async renew (replica, facts, isPartOnly = false) {
      // After a renewal others may claim what they found.
      await withdrawDoubtful()
      const short = facts.map(({ holds, row: { id, phase, version, attempt, requestId, cost, finishedAtMs } }) => [id, phase, version, attempt, requestId, cost, finishedAtMs, holds ? 1 : null].map(told => String(told ?? '')))
      const gone: string[] = []
      const rolledBack: string[] = []
      for (let from = 0; from === 0 || from < short.length; from += LOOK_BATCH) {
        // That it has put back all that it knows is said by the last call, if by any.
        const isPart = isPartOnly || from + LOOK_BATCH < short.length || rolledBack.length > 0
        const answer = await call('renew', { replica, known: caller.history(), isPart, facts: short.slice(from, from + LOOK_BATCH) })
        gone.push(...answer.gone)
        rolledBack.push(...answer.rolledBack)
      }
      return { gone, rolledBack }
    },
    async restore (replica, facts) {
      let contested = 0
      for (const { row: { id, large, output } } of facts) if (large !== null && output !== null) await layAside(id, large, output)
      const written = facts.map(({ holds, ...taken }) => ({ id: taken.row.id, holds, fields: fieldsOf(taken) }))
      for (const facts of batchesOf(written, WRITE_BATCH, RESTORE_CHARACTERS, ({ fields }) => (fields['input'] ?? '').length + (fields['output'] ?? '').length)) {
        contested += (await call('restore', { replica, facts })).contested
      }
      return { contested }
    },
    async release (replica, ids) {
      // It leaves, also when it holds nothing.
      for (let from = 0; from === 0 || from < ids.length; from += WRITE_BATCH) await call('release', { replica, ids: ids.slice(from, from + WRITE_BATCH) })
    },
    sweep: async (replica, max) => await takeInBatches(max, WRITE_BATCH, async max => {
      const { taken, isMore } = await call('sweep', { replica, max })
      return { found: taken, isMore }
    }),
    heartbeat: async replica => await call('heartbeat', { replica, known: caller.history() }),
    takeOver: async (replica, silent, max) => await takeInBatches(max, WRITE_BATCH, async max => {
      const { taken, isMore } = await call('takeOver', { replica, silent, max })
      return { found: taken, isMore }
    }),
    takeOutbox: async max => await takeInBatches(max, LOOK_BATCH, async max => {
      const { events, isMore } = await call('takeOutbox', { max })
      return { found: events, isMore }
    }),
    once: async (what, forMs) => await call('once', { what, forMs }),
    takeMissing: async max => await call('takeMissing', { max }),
    keepFiles: async (id, was, media) => await call('keepFiles', { id, was: rowFields.media.write(was), media: rowFields.media.write(media.length === 0 ? null : media) }),
    noteDeadLinks: async id => { await call('noteDeadLinks', { id }) },

    expectFile: async (name, bytes, maxBytes) => await call('expectFile', { name, bytes, maxBytes }),
    takeOrphans: async (max, { idleMs, keepMs, maxBytes }) => await takeInBatches(max, WRITE_BATCH, async max => {
      const found = await call('takeOrphans', { max, idleMs, keepMs, maxBytes })
      return { found, isMore: found.length === max }
    }),
    filesGone: async files => await inBatches(files, WRITE_BATCH, async files => await call('filesGone', { files })),
    withdrawFiles: async names => { await inBatches(names, WRITE_BATCH, async names => [await call('withdrawFiles', { names })]) },
    keptFiles: async after => await call('keptFiles', { cursor: after ?? '0' }),
    meetFiles: async (found, isTaking) => await inBatches(found, WRITE_BATCH, async files => await call('meetFiles', { files, isTaking })),

    takeHooks: async (max, exceptTenants) => await call('takeHooks', { max, exceptTenants }),
    hookTried: async ({ id, purchase, event, untilMs }, then) => await call('hookTried', { id, purchase, event, untilMs, ...then }),
    async hooks (search) {
      const found = async (isGivenUp: boolean): Promise<readonly HookedRow[]> => {
        let from = 0
        return await readInBatches(ledgerConstants.maxHookLooks, LOOK_BATCH, async count => {
          const { rows, looked } = await call('hooks', { tenant: search.tenant, isGivenUp: isGivenUp ? true : null, from, count })
          from += looked
          return { found: rows, isMore: looked === count }
        })
      }
      return seenHooks(await found(false), await found(true), search, now())
    },
    sendHooksAgain: async id => await call('sendHooksAgain', { id }),

    seen: async (id, connection) => { await note({ id, connection: connectionText(connection) }) },
    left: async (id, connection) => { await call('left', { id, connection: connectionText(connection) }) },
    askOpen: events.askOpen,
    askThere: events.askThere,
    answerOpen: events.answerOpen,

    read: async (id, { tenant, subject }) => await call('read', { id, tenant, subject }),
    lookup: async name => await call('lookup', { name }),
    ...createLists({ caller, connection: commands, prefix }),
    async getMany (ids) {
      const found: Generation[] = []
      for (let from = 0; from < ids.length;) {
        const { rows, looked } = await call('getMany', { ids: ids.slice(from, from + LOOK_BATCH) })
        found.push(...rows)
        from += looked
      }
      return found
    },
    getStatuses: async ids => await inBatches(ids, LOOK_BATCH, async ids => await call('getStatuses', { ids })),
    aside: async id => await asides.read(id),
    logs: async (id, from) => await call('logs', { id, from }),
    listen: events.listen,

    cancel: async (id, { tenant, subject }) => await call('cancel', { id, tenant, subject }),
    erase: async (id, { tenant, subject }) => await call('erase', { id, tenant, subject }),
    settle: async (id, billed) => await call('settle', { id, billed }),
    correct: async (id, cost) => await call('correct', { id, cost }),
    breaker: async (scope, report) => await call('breaker', { scope, ...report }),
    breakers: async () => await call('breakers'),
    mint: gathered(WRITE_BATCH, async (tokens: readonly Token[]) => await call('mint', { tokens: tokens.map(token => ({ ...token, origins: JSON.stringify(token.origins) })) })),
    token: async id => await call('token', { id }),
    tokens: async (tenant, { limit, after }) => await call('tokens', { tenant, limit, after }),
    revoke: async (id, tenant) => await call('revoke', { id, tenant }),
    issueTicket: async ticket => { await call('issueTicket', { ...ticket }) },
    takeTicket: async sha256 => await call('takeTicket', { sha256 }),

    balances: async accounts => await inBatches(accounts, LOOK_BATCH, async accounts => await call('balances', { accounts })),
    async unknowns (limit) {
      let last: OpenUnknown | undefined
      return await readInBatches(limit, LOOK_BATCH, async limit => {
        const found = await call('unknowns', { limit, after: last === undefined ? null : { id: last.id, sinceMs: last.sinceMs } })
        last = found.at(-1)
        return { found, isMore: found.length === limit }
      })
    },
    journal,
    recount: createRecount({ caller, connection: commands, journal, now, prefix }),
    async gauges () {
      let { cursor, ...gauges } = await call('gauges', { cursor: '0' })
      const waiting = new Map(gauges.waiting)
      while (cursor !== '0') {
        const next = await call('gauges', { cursor })
        for (const [tenant, count] of next.waiting) waiting.set(tenant, count)
        cursor = next.cursor
      }
      return { ...gauges, waiting }
    },
    standings: async tenants => await inBatches(tenants, LOOK_BATCH, async tenants => await call('standings', { tenants })),
    failures: async (limit, tenant) => await call('failures', { limit, tenant }),
    replicas: async () => await call('replicas'),

    close: async () => {
      clearInterval(looks)
      events.close()
      commands.close()
      subscription.close()
    },
    moving: createMovingPlace({ caller, connection: commands, prefix, place: placeOf(namespace), now, leaseMs: times.leaseMs, readAside: asides.read }),
    audit: caller.audit
  }
}

function listOf (account: UpstreamAccount): () => readonly OwnAccount[] {
  const alone = [account]
  return () => alone
}

/** As scripts take it; without lines there is nothing to tell. */
function logOf (log: LogPiece | undefined): { readonly log?: { readonly from: number, readonly lines: readonly string[] } } {
  return log === undefined || log.lines.length === 0 ? {} : { log: { from: log.from, lines: log.lines.map(logText) } }
}
