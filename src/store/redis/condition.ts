// How a Redis is at this moment: how fast it answers, what its clock says, how much room it has, whether its last write reached the disk, and its replicas.

import { textOf } from '../../generation/fields.ts'
import { fieldsInInfo } from './server.ts'

/** What a look showed. What a server does not tell is `null`. */
export interface Condition {
  /** The median of some short questions, there and back. */
  readonly answerMs: number
  /** How far its clock is ahead of this machine's, as far as an answer's way can tell: within half of the shortest one. */
  readonly clockAheadMs: number
  readonly usedBytes: number | null
  /** All that its machine has. */
  readonly machineBytes: number | null
  /** Did the last write to its log fail? It refuses all writes then. */
  readonly hasFailedWrite: boolean
  readonly hasFailedSnapshot: boolean
  readonly isFailingOver: boolean
  readonly replicas: readonly ReplicaOfRedis[]
}

export interface ReplicaOfRedis { readonly isOnline: boolean, readonly lagSeconds: number | null }

/** Asks something of the server; rejects when it does not answer in time. */
export type Ask = (question: 'time' | 'info') => Promise<unknown>

/** The median of fewer says little. */
const QUESTIONS = 15

/** Asks `TIME` some times in turn, which every user of a ledger may, and `INFO` once. Rejects as `ask` does. */
export async function conditionOf (ask: Ask, { wallMs = Date.now, monotonicMs = () => performance.now() } = {}): Promise<Condition> {
  const waits: number[] = []
  let best = { waitMs: Infinity, clockAheadMs: 0 }
  for (let asked = 0; asked < QUESTIONS; asked += 1) {
    const [sentAtMs, beganMs] = [wallMs(), monotonicMs()]
    const theirsMs = timeIn(await ask('time'))
    const waitMs = monotonicMs() - beganMs
    waits.push(waitMs)
    // Of the shortest way least is unknown.
    if (waitMs < best.waitMs) best = { waitMs, clockAheadMs: theirsMs - (sentAtMs + waitMs / 2) }
  }
  const info = fieldsInInfo(textOf(await ask('info')))
  const number = (name: string): number | null => /^\d+$/.test(info.get(name) ?? '') ? Number(info.get(name)) : null
  return {
    answerMs: waits.toSorted((one, other) => one - other)[Math.floor(QUESTIONS / 2)] ?? 0,
    clockAheadMs: best.clockAheadMs,
    usedBytes: number('used_memory'),
    machineBytes: number('total_system_memory'),
    hasFailedWrite: info.get('aof_last_write_status') === 'err',
    hasFailedSnapshot: info.get('rdb_last_bgsave_status') === 'err',
    isFailingOver: ![undefined, 'no-failover'].includes(info.get('master_failover_state')),
    replicas: [...info].flatMap(([name, text]) => /^slave\d+$/.test(name) ? [replicaIn(text)] : [])
  }
}

/** `ip=…,port=…,state=online,offset=…,lag=0` */
function replicaIn (text: string): ReplicaOfRedis {
  const facts = new Map(text.split(',').map(fact => [fact.slice(0, fact.indexOf('=')), fact.slice(fact.indexOf('=') + 1)]))
  const lag = facts.get('lag') ?? ''
  return { isOnline: facts.get('state') === 'online', lagSeconds: /^\d+$/.test(lag) ? Number(lag) : null }
}

/** Seconds and microseconds, as two texts. */
function timeIn (answer: unknown): number {
  const [seconds, microseconds]: readonly unknown[] = Array.isArray(answer) ? answer : []
  return Number(seconds) * 1000 + Number(microseconds) / 1000
}
