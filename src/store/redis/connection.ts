// One connection that commands go through: bounded in time and in number, cut when it hangs, opened again without a stampede.
// ioredis is told to repeat nothing by itself: whether a call may run twice is known here and nowhere below (rule 1).

import { Cluster, Redis, type ClusterNode, type RedisOptions } from 'ioredis'
import { backoffMs } from '../../backoff.ts'
import { Problem } from '../../errors.ts'
import type { OnTrouble } from '../../trouble.ts'

export type RedisClient = Redis | Cluster

/** A Redis as the ledger reaches it. */
export interface RedisServer {
  /** Makes a client that is not connected yet; called once for commands and once for events. */
  readonly makeClient: () => RedisClient
  readonly database: number
}

export interface Connection {
  /** Begins to connect, and goes on trying until it is closed. Resolves when calls are possible; rejects after `withinMs`, without giving up. */
  readonly open: (withinMs: number) => Promise<void>
  /** Sends something, if calls are possible. Rejects with `store-unavailable` within the deadline, whatever Redis does; refusals by scripts pass through. */
  readonly run: <T>(send: (client: RedisClient) => Promise<T>) => Promise<T>
  /** Resolves once calls are possible, or after `withinMs`. */
  readonly whenUp: (withinMs: number) => Promise<boolean>
  readonly close: () => void
}

interface ConnectionOptions {
  readonly makeClient: RedisServer['makeClient']
  readonly deadlineMs: number
  /** What has to succeed on every new connection, and on one that did not answer in time, before anything else may use it. */
  readonly prepare: (client: RedisClient) => Promise<unknown>
  readonly onTrouble: OnTrouble
  readonly onState: (up: boolean) => void
}

/** Calls that wait for an answer; more are refused, so that a slow Redis does not fill this process' memory. */
export const MAX_IN_FLIGHT = 10_000

const MAX_PAUSE_MS = 2000

/** Redis' words for "not now" and "not you": it refused before it ran anything. */
const refusals = new Set([
  'OOM', 'NOREPLICAS', 'READONLY', 'LOADING', 'BUSY', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'MOVED', 'ASK', 'MISCONF', 'NOAUTH', 'WRONGPASS', 'NOPERM'
])

/**
 * The cluster is moving the slot: its keys are here and there. TRYAGAIN is told before a script begins (see `KEYS` in `caller.ts`), and ioredis gives it up in
 * words of its own; the last is what a script hears that meets a key which is not here, as Redis and as Valkey put it.
 */
const moving = /^TRYAGAIN |^Too many Cluster redirections\..*(TRYAGAIN|MOVED|ASK) |[Aa]ttempted to access a non local key/

/** Options that every client of the ledger has to have. */
function clientOptions (deadlineMs: number) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    // For the handshake; calls have a timer of their own, which fires first.
    commandTimeout: 2 * deadlineMs,
    connectTimeout: 2 * deadlineMs,
    // A hung peer never answers a FIN: the socket is destroyed soon after.
    disconnectTimeout: 100,
    keepAlive: 10_000,
    // Spares an ACL user the right to CLIENT.
    disableClientInfo: true,
    // After a failover the old primary refuses writes on connections that it keeps.
    reconnectOnError: error => error.message.startsWith('READONLY'),
    retryStrategy: pauseBefore
  } satisfies RedisOptions
}

/**
 * The server at `redis://` or `rediss://`, with user and password of an ACL if need be, and a database as its path. What stands behind `?` is ignored.
 * ioredis is told nothing of the database: when Redis refuses one, it goes on in database 0.
 */
export function serverAt (url: string, deadlineMs: number): RedisServer {
  const plain = new URL(url)
  const database = Number(plain.pathname.slice(1))
  if (!Number.isSafeInteger(database)) throw new RangeError('The path of a Redis URL is the number of a database.')
  plain.pathname = ''
  plain.search = ''
  return { makeClient: () => new Redis(plain.href, clientOptions(deadlineMs)), database }
}

/**
 * A client for Redis Cluster; the ledger keeps to one slot. `redisOptions` are credentials and TLS. ioredis makes a lost subscription of a cluster
 * again by itself and does not tell: waiters then look again by the clock only.
 */
export function clusterOf (nodes: readonly ClusterNode[], redisOptions: Pick<RedisOptions, 'username' | 'password' | 'tls'> = {}, deadlineMs = 800): RedisServer {
  const makeClient = (): Cluster => new Cluster([...nodes], {
    lazyConnect: true,
    enableOfflineQueue: false,
    // It asks CLUSTER INFO, and where the user may not, or the cluster is down, it asks again and again without a word. What is done first on a connection tells both.
    enableReadyCheck: false,
    // Sixteen, the default, would not keep the deadline. Closed connections are no reason to send again.
    maxRedirections: 3,
    retryDelayOnFailover: 0,
    // A slot moves for seconds or minutes: a call that meets that is refused, and a probe finds out when it is over.
    retryDelayOnTryAgain: 1,
    clusterRetryStrategy: pauseBefore,
    redisOptions: { ...redisOptions, commandTimeout: 2 * deadlineMs, connectTimeout: 2 * deadlineMs, disconnectTimeout: 100, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }
  })
  return { makeClient, database: 0 }
}

/** The same, from the address of one of the cluster's nodes. */
export function clusterAt (url: string, deadlineMs = 800): RedisServer {
  const { protocol, hostname, port, username, password } = new URL(url)
  const credentials = { ...(username === '' ? {} : { username: decodeURIComponent(username) }), ...(password === '' ? {} : { password: decodeURIComponent(password) }) }
  return clusterOf([{ host: hostname, port: port === '' ? 6379 : Number(port) }], { ...credentials, ...(protocol === 'rediss:' ? { tls: {} } : {}) }, deadlineMs)
}

/**
 * Chooses the database on a new connection, before anything is written on it. Everybody may use 0, where each connection begins, so a user needs no right
 * to SELECT for that.
 */
export async function selectDatabase (client: RedisClient, database: number): Promise<void> {
  if (database === 0) return
  try {
    // In capitals and by `call`: ioredis would remember its own `select`, and repeat it on the next connection where nobody hears that it was refused.
    await client.call('SELECT', database)
  } catch (error) {
    throw isLoss(error) ? error : new Unusable(`REDIS_URL: Redis does not let this user have database ${database}: ${withoutCommand(error).message}`, { isSetting: true })
  }
}

/** The server that has this key: in a cluster the primary of its slot. */
export function serverOf (client: RedisClient, key: string): Redis {
  if (!(client instanceof Cluster)) return client
  const primaries = client.nodes('master')
  const address = client.slots[slotOf(key)]?.[0]
  const [server] = [...primaries.filter(({ options: { host, port } }) => `${host}:${port}` === address), ...primaries]
  if (server === undefined) throw new Error('No primary of the cluster is known.')
  return server
}

/** CRC16 (XMODEM) of the hash tag, as Redis Cluster has it. */
export function slotOf (key: string): number {
  const tag = /\{([^}]+)\}/.exec(key)?.[1] ?? key
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 & 0xffff : (crc << 1 ^ 0x1021) & 0xffff
  }
  return crc % 16_384
}

/**
 * Loads a library of functions wherever it may be needed: FUNCTION LOAD knows no key, so in a cluster every primary gets it. A failure shows when a
 * function is called; that it is there already is none.
 */
export async function loadLibrary (client: RedisClient, library: string): Promise<void> {
  const servers = client instanceof Cluster ? client.nodes('master') : [client]
  await Promise.allSettled(servers.map(async server => await server.function('LOAD', library)))
}

/** How long to wait before another attempt to connect. */
export function pauseBefore (attempt: number): number {
  return backoffMs(attempt, { firstMs: 50, mostMs: MAX_PAUSE_MS })
}

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

export function createConnection ({ makeClient, deadlineMs, prepare, onTrouble, onState }: ConnectionOptions): Connection {
  const client = makeClient()
  const waiters = new Set<() => void>()
  let isUp = false
  let isClosed = false
  /** Raised with every connection made or lost: what was begun for an older one is over. */
  let session = 0
  let inFlight = 0
  let trouble: unknown = new Error('Redis was not reached yet.')
  let isTroubleTold = false
  /** What Redis answered that made the connection unusable, as it was told last. */
  let unusableTold: string | null = null

  client.on('error', tell)
  client.on('ready', () => { makeUsable(++session) })
  client.on('close', () => {
    session += 1
    goDown(new Error('The connection to Redis was closed.'))
  })

  /** One word per outage: attempts that fail for the same reason would fill the log. What Redis itself refuses is another word than that it was lost. */
  function tell (error: unknown): void {
    if (isClosed) return
    trouble = withoutCommand(error)
    if (error instanceof Unusable) {
      if (error.message === unusableTold) return
      unusableTold = error.message
      isTroubleTold = true
      if (!error.isTold) onTrouble('use-redis', trouble)
    } else if (!isTroubleTold) {
      isTroubleTold = true
      onTrouble('reach-redis', trouble)
    }
  }

  function goDown (cause: unknown): void {
    if (!isUp) return
    isUp = false
    tell(cause)
    onState(false)
  }

  async function makeUsable (mine: number): Promise<void> {
    try {
      await withDeadline(prepare(client))
      if (mine !== session || isClosed) return
      isUp = true
      isTroubleTold = false
      unusableTold = null
      onState(true)
      for (const waiter of waiters) waiter()
    } catch (error) {
      if (mine !== session || isClosed) return
      // The problem is for callers; the log needs what Redis said.
      const cause = error instanceof Problem ? error.facts.cause ?? error : error
      tell(cause)
      if (cause instanceof Unusable && cause.isPassing) {
        setTimeout(() => { if (mine === session && !isClosed) makeUsable(mine) }, pauseBefore(3))
        return
      }
      // ioredis connects again after the pause that grows with `retryAttempts`, which it resets when a connection is ready; this one never was.
      setTimeout(() => { if (mine === session && !isClosed) client.disconnect(true) }, pauseBefore(3))
    }
  }

  /** Nobody waits on a connection that left one call without an answer: it has to answer a question first, or is cut and opened again. */
  function suspect (theirs: number, cause: unknown): void {
    if (!isUp || theirs !== session) return
    const mine = ++session
    goDown(cause)
    makeUsable(mine)
  }

  /** Rejects in time whatever becomes of `answer`; ioredis leaves some promises unsettled when a connection closes. */
  function withDeadline<T> (answer: Promise<T>, onSilence = (_cause: unknown): void => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      let isSettled = false
      const timer = setTimeout(() => {
        // When this process itself was busy, the answer may lie in the socket unread: look there first.
        setImmediate(() => {
          if (isSettled) return
          const cause = new Unanswered(`Redis did not answer within ${deadlineMs} ms.`)
          onSilence(cause)
          reject(unavailable(cause))
        })
      }, deadlineMs)
      const settle = (): void => {
        isSettled = true
        clearTimeout(timer)
      }
      answer.then(value => { settle(); resolve(value) }, (told: unknown) => {
        settle()
        const error = meaningOf(told)
        // A connection that lost an answer is about to close, or in a cluster one of several: either way it has to prove itself first.
        if (isLoss(error) || error instanceof Unusable) onSilence(error)
        reject(problemOf(error))
      })
    })
  }

  async function run<T> (send: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!isUp) throw unavailable(trouble)
    if (inFlight >= MAX_IN_FLIGHT) throw unavailable(new Error(`${inFlight} calls wait for Redis.`))
    inFlight += 1
    const mine = session
    try {
      return await withDeadline(send(client), cause => { suspect(mine, cause) })
    } finally {
      inFlight -= 1
    }
  }

  async function whenUp (withinMs: number): Promise<boolean> {
    if (isUp || isClosed) return isUp
    await new Promise<void>(resolve => {
      const settle = (): void => {
        clearTimeout(timer)
        waiters.delete(settle)
        resolve()
      }
      const timer = setTimeout(settle, withinMs)
      waiters.add(settle)
    })
    return isUp
  }

  return {
    async open (withinMs) {
      // Its failures come as events, and it is tried again.
      if (client.status === 'wait') client.connect().catch(tell)
      if (!await whenUp(withinMs)) throw unavailable(trouble)
    },
    run,
    whenUp,
    close () {
      isClosed = true
      session += 1
      isUp = false
      trouble = new Error('The ledger was closed.')
      for (const waiter of waiters) waiter()
      client.disconnect()
    }
  }
}

/** Did the command fail without an answer? Whatever is no answer of Redis and no word of ours comes from ioredis. */
function isLoss (error: unknown): boolean {
  return error instanceof Error && error.name !== 'ReplyError' && !(error instanceof Problem) && !(error instanceof Unusable)
}

/** What a failed command means. A fault in a script is no outage but ours, and stays what it is. */
function problemOf (error: unknown): unknown {
  if (error instanceof Problem) return error
  const cause = withoutCommand(error)
  if (cause instanceof Unusable) return unavailable(cause)
  if (isLoss(error)) return unavailable(new ConnectionLost(cause))
  const [word = ''] = cause.message.split(' ')
  return refusals.has(word) ? unavailable(cause) : cause
}

/** ioredis hangs the command on its errors, with all arguments: passwords, prompts, results. None of that may reach a log. */
function withoutCommand (error: unknown): Error {
  if (!(error instanceof Error)) return new Error('Redis failed in an unknown way.')
  if (error instanceof Problem || error instanceof Unusable) return error
  // That no node of a cluster could be asked says nothing; why the last one could not does.
  const plain = new Error('lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError.message : error.message)
  plain.name = error.name
  if ('code' in error) Object.assign(plain, { code: error.code })
  return plain
}
