// Clients of ioredis as the ledger needs them, for one server or for a cluster, and how a new connection begins.
// ioredis is told to repeat nothing by itself: whether a call may run twice is known in the ledger and nowhere below (rule 1).

import { Cluster, Redis, type ClusterNode, type RedisOptions } from 'ioredis'
import { backoffMs } from '../../backoff.ts'
import type { Sentinels } from '../../setting-kinds.ts'
import { diagnose, diagnoseSentinels, type Address } from './diagnose.ts'
import { isLoss, Unusable, withoutCommand } from './redis-errors.ts'

export type RedisClient = Redis | Cluster

/** A Redis as the ledger reaches it. */
export interface RedisServer {
  /** Makes a client that is not connected yet; called once for commands and once for events. */
  readonly makeClient: () => RedisClient
  readonly database: number
  /** Its keys are shared out among several servers. */
  readonly isCluster: boolean
  /** What is wrong with the settings, where a client that never was connected failed with this error, as far as that can be found out. Never rejects. */
  readonly diagnose: (error: Error) => Promise<Unusable | null>
  /** Connections that are made from now on show this password, and believe those whom this file vouches for. Those that there are stay. */
  readonly renew: (given: Credentials) => void
}

/** What may change while a process runs: the password in the address, and certificates (PEM) to believe in place of the system's. */
export interface Credentials { readonly url: string, readonly ca: string | null }

const MAX_PAUSE_MS = 2000

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
export function serverAt (url: string, deadlineMs: number, ca: string | null = null, sentinels: Kind['sentinels'] = null): RedisServer {
  const plain = new URL(url)
  const database = Number(plain.pathname.slice(1))
  if (!Number.isSafeInteger(database)) throw new RangeError('The path of a Redis URL is the number of a database.')
  plain.pathname = ''
  plain.search = ''
  const address = addressOf(plain, false)
  let given: Credentials = { url, ca }
  const made: Redis[] = []
  return {
    makeClient: () => {
      const client = sentinels === null ? new Redis(plain.href, clientOptions(deadlineMs)) : new Redis(sentinelOptions(plain, sentinels, deadlineMs))
      show(client.options, given)
      made.push(client)
      return client
    },
    database,
    isCluster: false,
    diagnose: async error => sentinels === null ? await diagnose(address, error) : await diagnoseSentinels(sentinels, given.ca, error),
    // ioredis reads its options again for each connection.
    renew: next => {
      given = next
      for (const client of made) show(client.options, next)
    }
  }
}

/**
 * Of a primary that Sentinels know by the host's name in this address. They are asked before each connection; that what they name is a primary is looked at like
 * everything else on a new connection.
 */
function sentinelOptions ({ protocol, hostname, username, password }: URL, sentinels: NonNullable<Kind['sentinels']>, deadlineMs: number) {
  return {
    ...clientOptions(deadlineMs),
    sentinels: sentinels.hosts.map(({ host, port }) => ({ host, port })),
    sentinelUsername: sentinels.username ?? '',
    sentinelPassword: sentinels.password() ?? '',
    // One that hangs is as good as one that is away: the next is asked.
    sentinelCommandTimeout: 2 * deadlineMs,
    ...(sentinels.isTls ? { sentinelTLS: {} } : {}),
    name: hostname,
    role: 'master',
    // Where they tell that another server was chosen, the connection to the old one is ended, however alive it is.
    failoverDetector: true,
    sentinelRetryStrategy: pauseBefore,
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {}, enableTLSForSentinelMode: true } : {})
  } satisfies RedisOptions
}

/**
 * A client for Redis Cluster; the ledger keeps to one slot. `redisOptions` are credentials and TLS. ioredis makes a lost subscription of a cluster
 * again by itself and does not tell: waiters then look again by the clock only.
 */
export function clusterOf (nodes: readonly ClusterNode[], redisOptions: Pick<RedisOptions, 'username' | 'password' | 'tls'> = {}, deadlineMs = 800): RedisServer {
  const made: Cluster[] = []
  const newCluster = (): Cluster => new Cluster([...nodes], {
    lazyConnect: true,
    enableOfflineQueue: false,
    // It asks CLUSTER INFO, and where the user may not, or the cluster is down, it asks again and again without a word. What is done first on a connection tells both.
    enableReadyCheck: false,
    // Sixteen, the default, would not keep the deadline. Closed connections are no reason to send again.
    maxRedirections: 3,
    // For the handshake, as below.
    slotsRefreshTimeout: 2 * deadlineMs,
    retryDelayOnFailover: 0,
    // A slot moves for seconds or minutes: a call that meets that is refused, and a probe finds out when it is over.
    retryDelayOnTryAgain: 1,
    clusterRetryStrategy: pauseBefore,
    redisOptions: { ...redisOptions, commandTimeout: 2 * deadlineMs, connectTimeout: 2 * deadlineMs, disconnectTimeout: 100, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }
  })
  const makeClient = (): Cluster => {
    const cluster = newCluster()
    made.push(cluster)
    return cluster
  }
  const renew = (next: Credentials): void => {
    show(redisOptions, next)
    for (const cluster of made) {
      for (const node of cluster.nodes()) show(node.options, next)
      // Nodes that are met later are made of these, which ioredis has no other way to change.
      const later: unknown = Reflect.get(Object(Reflect.get(cluster, 'connectionPool')), 'redisOptions')
      if (typeof later === 'object' && later !== null) show(later, next)
    }
  }
  return { makeClient, database: 0, isCluster: true, diagnose: async () => null, renew }
}

/** After this long a call that was not answered is given up. */
const DEADLINE_MS = 800

/** How an address is meant: as that of a node of a cluster, or as a name that these Sentinels know. */
export interface Kind { readonly cluster: boolean, readonly sentinels: Sentinels | null }

/** The Redis of an address. */
export function redisAt ({ url, ca }: Credentials, { cluster, sentinels }: Kind): RedisServer {
  return cluster ? clusterAt(url, DEADLINE_MS, ca) : serverAt(url, DEADLINE_MS, ca, sentinels)
}

/** The same, from the address of one of the cluster's nodes. */
export function clusterAt (url: string, deadlineMs = 800, ca: string | null = null): RedisServer {
  const address = addressOf(new URL(url), true)
  const { host, port, isTls } = address
  const { username, password } = new URL(url)
  const credentials = { ...(username === '' ? {} : { username: decodeURIComponent(username) }), ...(password === '' ? {} : { password: decodeURIComponent(password) }) }
  return { ...clusterOf([{ host, port }], { ...credentials, ...(isTls ? { tls: ca === null ? {} : { ca } } : {}) }, deadlineMs), diagnose: async error => await diagnose(address, error) }
}

/** Puts password and certificates into options of a client, which are read again for each connection. */
function show (options: Pick<RedisOptions, 'password' | 'tls' | 'sentinelTLS'>, { url, ca }: Credentials): void {
  const { password, protocol } = new URL(url)
  if (password !== '') options.password = decodeURIComponent(password)
  if (ca === null) return
  if (protocol === 'rediss:') options.tls = { ca }
  if (options.sentinelTLS !== undefined) options.sentinelTLS = { ca }
}

function addressOf ({ protocol, hostname, port }: URL, isCluster: boolean): Address {
  // An address of IPv6 stands in brackets in a URL only.
  return { setting: 'REDIS_URL', host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 6379 : Number(port), isTls: protocol === 'rediss:', isCluster }
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

/**
 * What is sent in this turn of the event loop goes out together at its end: one system call for all who call at a time, and one reading for Redis. A cluster has
 * several connections, and writes as it always did.
 */
export function gatherWrites (client: RedisClient): void {
  if (client instanceof Cluster) return
  const { stream } = client
  if (stream.writableCorked > 0) return
  stream.cork()
  setImmediate(() => { stream.uncork() })
}

/** How long to wait before another attempt to connect. */
export function pauseBefore (attempt: number): number {
  return backoffMs(attempt, { firstMs: 50, mostMs: MAX_PAUSE_MS })
}
