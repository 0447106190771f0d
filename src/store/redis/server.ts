// The server that the ledger met: which one it is, and whether it may be trusted with money. INFO tells; CONFIG GET is often forbidden and not needed.

import type { Redis } from 'ioredis'
import { Problem } from '../../errors.ts'
import { redisFaults, type StoreFault, type StoreFaultChange } from '../../store-faults.ts'
import { Unusable } from './redis-errors.ts'

/** What INFO tells about a server. What a server does not tell is `null`, and proves nothing. */
export interface ServerFacts {
  /** As people call it, such as `Valkey 8.1.1`. */
  readonly name: string
  /** The version of Redis that it is, or is compatible with. */
  readonly version: string | null
  /** Another one after every start. */
  readonly runId: string | null
  /** The history that it follows: another one after a failover. */
  readonly replicationId: string | null
  readonly isReplica: boolean
  /** `standalone`, `cluster` or `sentinel`. */
  readonly mode: string | null
  /** 0: as much as there is. */
  readonly maxMemoryBytes: number
  readonly policy: string | null
  /** Does it keep a log of its writes? Whether it takes snapshots INFO does not tell. */
  readonly hasLog: boolean | null
}

/** Forks tell the version of Redis that they come from beside their own. */
const forks = [['valkey_version', 'Valkey'], ['redict_version', 'Redict']] as const

/** The fields in the text of INFO, by name. */
export function fieldsInInfo (text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(':')
    if (at > 0 && !line.startsWith('#')) fields.set(line.slice(0, at), line.slice(at + 1))
  }
  return fields
}

/** Reads the text of INFO. */
export function readInfo (text: string): ServerFacts {
  const fields = fieldsInInfo(text)
  const told = (name: string): string | null => fields.get(name) ?? null
  const version = told('redis_version')
  const fork = forks.find(([field]) => fields.has(field))
  const log = told('aof_enabled')
  return {
    name: fork === undefined ? `Redis ${version ?? 'of an unknown version'}` : `${fork[1]} ${fields.get(fork[0]) ?? ''}`,
    version,
    runId: told('run_id'),
    replicationId: told('master_replid'),
    // Redis calls it slave to this day.
    isReplica: ['slave', 'replica'].includes(told('role') ?? ''),
    mode: told('redis_mode'),
    maxMemoryBytes: Number(told('maxmemory') ?? 0),
    policy: told('maxmemory_policy'),
    hasLog: log === null ? null : log !== '0'
  }
}

/** The first version that knows `#!lua flags=…` and functions. */
const OLDEST_MAJOR = 7

/** What is wrong with a server, each with a sentence that says what to do. `missing`: commands that its user may not run; `isCluster`: it is used as a node of a cluster. */
export function faultsOf ({ name, version, isReplica, mode, maxMemoryBytes, policy, hasLog }: ServerFacts, { missing = [], isCluster = false }: { readonly missing?: readonly string[], readonly isCluster?: boolean } = {}): ReadonlyMap<StoreFault, string> {
  const faults = new Map<StoreFault, string>()
  if (mode === 'sentinel') faults.set('wrong-kind', SENTINEL)
  if (mode === 'cluster' && !isCluster) faults.set('wrong-kind', CLUSTER_NODE)
  const major = version === null ? NaN : Number.parseInt(version, 10)
  if (major < OLDEST_MAJOR) faults.set('too-old', `REDIS_URL leads to ${name}, which is too old for the ledger: it needs Redis 7 or newer, or a server that is compatible with it, such as Valkey`)
  if (maxMemoryBytes > 0 && policy !== null && policy !== 'noeviction') {
    faults.set('evicts', `${name} throws keys away when its memory is full (maxmemory-policy ${policy}), and the books would go first: set maxmemory-policy noeviction`)
  }
  if (isReplica) faults.set('replica', `REDIS_URL leads to a replica, which takes no writes (${name}): it has to lead to the primary`)
  if (hasLog === false) faults.set('not-persistent', `${name} keeps no log of its writes (appendonly no): when it stops, it forgets what was bought since its last snapshot, if it takes any; set appendonly yes`)
  if (missing.length > 0) {
    const allow = missing.map(command => '+' + command.toLowerCase()).join(' ')
    faults.set('rights', `the Redis user of REDIS_URL may not run ${missing.join(', ')} on the ledger's keys or channels, so an operation would stop half-way: allow its user ${allow} (ACL SETUSER), and ~{<namespace>}:* and &{<namespace>}:*`)
  }
  return faults
}

const SENTINEL = 'REDIS_URL leads to a Sentinel, which has no data: let it lead to the primary, or set REDIS_SENTINELS'
const CLUSTER_NODE = 'REDIS_URL leads to a node of a Redis Cluster, and REDIS_CLUSTER is off: with another node, or once the keys move to one, nothing can be read or bought; set REDIS_CLUSTER to on'

/** Those that stop purchases, unless an operator insists. */
export const stopping: readonly StoreFault[] = ['too-old', 'evicts', 'rights']

const INSISTED = '; REDIS_UNSAFE is on, so things are bought all the same'

export interface Server {
  /** What the last look at it told; `null` before the first one. */
  readonly facts: ServerFacts | null
  /** Asks the server what it is and tells what has changed. Rejects with {@link Unusable} when nothing can be done with it. */
  readonly look: (client: Redis) => Promise<void>
  /** Takes note of the commands that its user may not run. */
  readonly hearMissing: (commands: readonly string[]) => void
  /** Throws `store-unfit` when nothing may be bought with it. */
  readonly assertFit: () => void
  /** What an error of a server that does not understand the scripts means; other errors as they are. */
  readonly explain: (error: unknown) => unknown
}

interface ServerOptions {
  /** Buys all the same. */
  readonly isUnsafe: boolean
  /** It is used as a node of a cluster. */
  readonly isCluster: boolean
  /** Told once for each change. */
  readonly onFault: (change: StoreFaultChange) => void
}

export function createServer ({ isUnsafe, isCluster, onFault }: ServerOptions): Server {
  let facts: ServerFacts | null = null
  let missing: readonly string[] = []
  let faults: ReadonlyMap<StoreFault, string> = new Map()

  function take (told: ServerFacts): void {
    const before = faults
    facts = told
    faults = new Map([...faultsOf(told, { missing, isCluster })].map(([fault, sentence]) => [fault, isUnsafe && stopping.includes(fault) ? sentence + INSISTED : sentence]))
    for (const fault of redisFaults) {
      const sentence = faults.get(fault)
      // Another sentence is another server, or another policy: worth a line as well.
      if (sentence !== before.get(fault)) onFault({ fault, isThere: sentence !== undefined, sentence: sentence ?? `${told.name} is in order in this respect` })
    }
  }

  /** The sentence of a fault that makes the connection useless. */
  function uselessness (): Unusable | null {
    const replica = faults.get('replica')
    if (replica !== undefined) return new Unusable(replica, { isTold: true })
    if (facts?.mode === 'sentinel') return new Unusable(SENTINEL, { isTold: true })
    const old = faults.get('too-old')
    return old === undefined || isUnsafe ? null : new Unusable(old, { isTold: true, code: 'store-unfit' })
  }

  return {
    get facts () { return facts },
    async look (client) {
      take(readInfo(await client.info()))
      const useless = uselessness()
      if (useless !== null) throw useless
    },
    hearMissing (commands) {
      missing = commands
      if (facts !== null) take(facts)
    },
    assertFit () {
      if (isUnsafe) return
      for (const fault of stopping) {
        const sentence = faults.get(fault)
        if (sentence !== undefined) throw new Problem('store-unfit', { retryAfterSeconds: RETRY_AFTER_SECONDS, cause: new Error(sentence) })
      }
    },
    explain (error) {
      if (error instanceof Error && !isCluster && /^(MOVED|CLUSTERDOWN) /.test(error.message)) return new Unusable(CLUSTER_NODE, { isTold: true })
      if (!(error instanceof Error) || !/compil|near '#'/.test(error.message)) return error
      return new Unusable(`REDIS_URL: ${facts?.name ?? 'the server there'} does not understand the ledger's scripts, which need Redis 7 or newer, or a server that is compatible with it: ${error.message}`)
    }
  }
}

/** It lasts until an operator does something. */
const RETRY_AFTER_SECONDS = 60
