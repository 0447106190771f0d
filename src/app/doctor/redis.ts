// The Redis of the ledger, looked at more closely than a start does. Nothing of the ledger is changed.

import type { Config, RedisAccess } from '../../config.ts'
import type { StoreFault } from '../../store-faults.ts'
import type { Condition } from '../../store/redis/condition.ts'
import type { Looked } from '../../store/redis/inspect.ts'
import type { Parts } from '../parts.ts'
import { accountsOf, inspectRedis, notReached, stopsBuying } from '../reach-redis.ts'
import { bytesText, fault, msText, notTried, ok, warning, type Check, type Finding } from './finding.ts'

/** What was found, and how far its clock is ahead of this machine's; `null`: that is not known. */
export interface RedisFindings { readonly findings: readonly Finding[], readonly clockAheadMs: number | null }

/** Everything else about it is told only where it was reached. */
export async function redisFindings ({ config, falKeys, redis: given }: Parts): Promise<RedisFindings> {
  if (config === null || given === null) return only(notTried('redis', 'the settings are faulty, so it is not known which Redis they mean'))
  if (config.redis === null || given.reach === null) return only(notTried('redis', config.disk === null ? 'REDIS_URL: not set, so the ledger lives in the process of the gateway and ends with it' : `REDIS_URL: not set; everything is kept in ${config.disk.folder}`))
  const looked = await inspectRedis({ redis: config.redis, ...given.reach }, accountsOf(config, falKeys?.keys ?? null), { isThorough: true })
  if (!looked.isReached) return only(fault('redis', notReached(looked.cause)))
  return {
    findings: [ok('redis', `${looked.server.name} answers${wayText(config.redis)}; the ledger is in ${config.redis.namespace}`), ...faultFindings(looked, config.redis), ...conditionFindings(looked, config)],
    clockAheadMs: looked.condition?.clockAheadMs ?? null
  }
}

function only (finding: Finding): RedisFindings {
  return { findings: [finding], clockAheadMs: null }
}

function wayText ({ url, cluster, sentinels }: RedisAccess): string {
  const { protocol } = new URL(url())
  const kind = sentinels !== null ? ', as the primary that the Sentinels name' : cluster ? ', as a node of a cluster' : ''
  return `${kind}${protocol === 'rediss:' ? ', over TLS' : ''}`
}

/** What a gateway looks at, too: each fault by its own sentence, and a word for what is in order. */
function faultFindings ({ server, faults, areRightsKnown, ledger, condition }: Looked, redis: RedisAccess): readonly Finding[] {
  const told = (check: Check, faultName: StoreFault, otherwise: Finding): Finding => {
    const sentence = faults.get(faultName)
    if (sentence === undefined) return otherwise
    return stopsBuying(faultName, redis) ? fault(check, sentence) : warning(check, sentence)
  }
  const { version, policy, hasLog, maxMemoryBytes } = server
  const log = told('redis-persistence', 'not-persistent', hasLog === null ? notTried('redis-persistence', 'this server does not tell whether it keeps a log of its writes') : ok('redis-persistence', 'it keeps a log of its writes (appendonly yes)'))
  return [
    told('redis-version', 'too-old', version === null ? notTried('redis-version', 'this server does not tell its version') : ok('redis-version', `it is, or is compatible with, Redis ${version}; 7 or newer is needed`)),
    told('redis-role', 'replica', ok('redis-role', 'it is a primary, and takes writes')),
    told('redis-eviction', 'evicts', policy === null ? notTried('redis-eviction', 'this server does not tell its maxmemory-policy') : ok('redis-eviction', maxMemoryBytes === 0 ? 'it has no maxmemory, so it throws nothing away' : 'it throws nothing away when it is full (maxmemory-policy noeviction)')),
    condition === null ? log : persistence(condition, log),
    told('redis-rights', 'rights', areRightsKnown ? ok('redis-rights', 'its user may do all that a gateway needs') : notTried('redis-rights', 'what its user may do cannot be found out here; a gateway tells at its start')),
    told('redis-account', 'foreign', ok('redis-account', ledger === null ? 'the ledger is empty, and the first gateway makes it its own' : 'the ledger is that of this account'))
  ]
}

/** Each purchase waits for a few answers of Redis. */
const SLOW_ANSWER_MS = 20
/** As docs/deployment.md tells to alert. */
const FULL = 0.8
/** Replicas tell once a second how far they are. */
const LONG_LAG_SECONDS = 10

function conditionFindings ({ condition, server, faults }: Looked, { largeResultBytes }: Config): readonly Finding[] {
  if (condition === null) {
    const why = faults.has('rights') ? 'its user may not ask for it: see redis-rights' : 'Redis did not answer in time any more'
    return [
      faults.has('rights') ? notTried('redis-latency', why) : warning('redis-latency', 'Redis answered at first, and then not in time: look at its load and at the network; above 800 ms nothing is bought'),
      notTried('redis-memory', why),
      notTried('redis-replicas', why)
    ]
  }
  return [latency(condition), memory(condition, server.maxMemoryBytes, largeResultBytes), replicas(condition)]
}

function latency ({ answerMs }: Condition): Finding {
  const measured = { answer_p50_ms: Number(answerMs.toFixed(3)) }
  if (answerMs > SLOW_ANSWER_MS) return warning('redis-latency', `an answer takes ${msText(answerMs)} (median), and each purchase waits for several: bring Redis nearer, or find out what slows it; above 800 ms nothing is bought`, measured)
  return ok('redis-latency', `an answer takes ${msText(answerMs)} (median)`, measured)
}

/** What `INFO` tells of its disk goes before what it is set to. */
function persistence ({ hasFailedWrite, hasFailedSnapshot }: Condition, otherwise: Finding): Finding {
  const check = 'redis-persistence'
  if (hasFailedWrite) return fault(check, 'the last write to its log failed, so it takes no writes: look at what it says, and at the room on its disk')
  return hasFailedSnapshot ? warning(check, 'its last snapshot failed, and with snapshots to make it takes no writes: look at what it says, and at the room on its disk') : otherwise
}

function memory ({ usedBytes, machineBytes }: Condition, maxBytes: number, largeResultBytes: number): Finding {
  const check = 'redis-memory'
  if (usedBytes === null) return notTried(check, 'this server does not tell how much memory it uses')
  const measured = { used_bytes: usedBytes, ...maxBytes > 0 ? { max_bytes: maxBytes } : {} }
  const used = bytesText(usedBytes)
  if (maxBytes === 0) return warning(check, `it uses ${used} and has no maxmemory${machineBytes === null ? '' : `, on a machine with ${bytesText(machineBytes)}`}: set maxmemory, because a full machine ends it in the middle, and a full Redis refuses purchases only`, measured)
  const of = `${used} of ${bytesText(maxBytes)}`
  if (usedBytes >= maxBytes) return fault(check, `its memory is full (${of}), and nothing is bought: raise maxmemory`, measured)
  if (usedBytes > FULL * maxBytes) return warning(check, `it uses ${of}, and when it is full nothing is bought: raise maxmemory, or lower RESULT_TTL_SECONDS`, measured)
  if (largeResultBytes > maxBytes / 2) return warning(check, `it uses ${of}, and LARGE_RESULT_BYTES alone may take ${bytesText(largeResultBytes)}: raise maxmemory, or lower that`, measured)
  return ok(check, `it uses ${of}`, measured)
}

function replicas ({ replicas, isFailingOver }: Condition): Finding {
  const check = 'redis-replicas'
  const behind = replicas.filter(({ isOnline, lagSeconds }) => !isOnline || (lagSeconds ?? 0) > LONG_LAG_SECONDS).length
  const measured = { replicas: replicas.length, replicas_behind: behind }
  if (isFailingOver) return warning(check, 'it is handing over to a replica just now: look again in a minute', measured)
  if (behind > 0) return warning(check, `${behind} of its ${replicas.length} replicas do not keep up: a failover to one of them would forget purchases; look at their logs and at the network`, measured)
  if (replicas.length === 0) return ok(check, 'it has no replica: what its disk loses is lost', measured)
  return ok(check, `${replicas.length === 1 ? 'its replica keeps' : `its ${replicas.length} replicas keep`} up`, measured)
}
