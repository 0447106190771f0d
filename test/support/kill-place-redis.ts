// Where gateways die on Redis: another replica outlives them all.

import { once } from 'node:events'
import { connect } from 'node:net'
import { join as joinPath } from 'node:path'
import type { Test } from 'tap'
import { patiently } from './crowd.ts'
import { startHookReceiver } from './kill-hooks.ts'
import type { Point } from './kill-points.ts'
import { ALL_DEATHS_MS, briskNode, placeEnv, tenantsFor, type Ask, type Cast, type Place } from './kill-scene.ts'
import { startRedisGate } from './redis-gate.ts'
import { redisUrl, startRedis } from './redis.ts'
import { deploy, LONG_LEASE } from './replicas.ts'

/** Soon over for the one that goes on, and longer than a busy machine lets a process wait. */
const LEASE = { LEASE_SECONDS: '3' }

/** Over before a replica counts as silent: what a dead one leaves behind is found by its lease. */
const SHORT_LEASE = { LEASE_SECONDS: '1' }

/** What Redis is asked for in place of some operations. */
const calls: Readonly<Record<string, string>> = { admitAll: 'admit' }

/** A place for these deaths. One where Redis is emptied has a server of its own. */
export async function openRedisPlace (t: Test, points: readonly Point[]): Promise<Place> {
  const isLong = points.some(({ isLeaseLong }) => isLeaseLong)
  const server = points.some(({ once }) => once === 'Redis is emptied') ? await startRedis(t) : null
  const redis = server?.url ?? await redisUrl()
  const mediaFolder = joinPath(t.testdir({}), 'media')
  const receiver = await startHookReceiver(t)
  const { sandbox, ledger, startReplica, pauseClaims } = await deploy(t, { redisUrl: redis, node: briskNode, env: { ...placeEnv(points, mediaFolder, receiver), ...isLong ? LONG_LEASE : LEASE }, sandbox: { runMs: 10 }, tenants: tenantsFor(points.length, receiver), replicaTimeoutMs: ALL_DEATHS_MS })
  const survivorGate = await startRedisGate(t, redis)
  const survivor = await startReplica({ REDIS_URL: survivorGate.url })

  async function flush (): Promise<void> {
    const socket = connect(Number(server?.port), '127.0.0.1')
    socket.write('FLUSHDB\r\n')
    await once(socket, 'data')
    socket.destroy()
  }

  async function enter (inherits: boolean): Promise<Cast> {
    const gate = await startRedisGate(t, redis)
    // Until the death everything is the doomed one's to do.
    survivorGate.refuse(['claim', 'sweep', 'takeOver', 'takeMissing', 'takeHooks'])
    if (inherits) gate.refuse(['claim'])
    // From its first claim on it has claims come along with admissions.
    const hasClaimed = inherits ? null : gate.untilAnswered('claim')
    const [doomed, owner] = await Promise.all([startReplica({ REDIS_URL: gate.url }), inherits ? startReplica(isLong ? {} : SHORT_LEASE) : null])
    await hasClaimed
    return {
      gate: { ...gate, holdAt: async (operation, when, having) => { await gate.holdAt(calls[operation] ?? operation, when, having) } },
      doomed: () => doomed,
      front: owner ?? doomed,
      killOwner: async () => { owner?.child.kill('SIGKILL') },
      join,
      flush,
      goOn: async () => {
        survivorGate.refuse([])
        return survivor
      }
    }
  }

  async function join (ask: Ask): ReturnType<Cast['join']> {
    const admitted = survivorGate.untilAnswered('admit')
    const answer = patiently(async () => await ask(survivor))
    await Promise.race([admitted, answer])
    return { answer }
  }

  return { sandbox, mediaFolder, receiver, tenants: [], look: async use => await use(ledger), pauseClaims, enter }
}
