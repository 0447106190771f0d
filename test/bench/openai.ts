// What a hit costs at OpenAI's door, beside the same at `/generate`: both of one gateway, in turn.

import { measurePair, spreadOf, type Pair, type Spread } from './against.ts'
import { check, falgateHit, startGateway, type Ground } from './contestants.ts'
import { flood } from './load.ts'
import { bearer, post, sameInput, tenantId } from './requests.ts'
import type { Bound } from './report.ts'

/** One round of a noisy machine says little, so there are at least these. */
const LEAST_ROUNDS = 6

/** To reach: how many times as much of a hit at `/generate`. */
const MOST = 1.15

export interface OpenAiCosts { readonly cpu: Spread, readonly bounds: readonly Bound[] }

export async function openAiCosts (ground: Ground, connections: number, wantedRounds: number, seconds: number, progress: (said: string) => void): Promise<OpenAiCosts> {
  const rounds = Math.max(wantedRounds, LEAST_ROUNDS)
  const gateway = await startGateway(ground, { name: 'openai' })
  const native = falgateHit(gateway)
  const openai = { ...native, name: 'falgate, hit at /v1', request: post('/v1/images/generations', sameInput, bearer(tenantId(0))) }
  await check(native)
  const measured: Pair[] = []
  for (const one of [native, openai]) await flood(one.port, one.request, connections, seconds)
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: hits at both doors`)
    measured.push(await measurePair(openai, native, connections, seconds, round))
  }
  await gateway.stop()
  const cpu = spreadOf(measured.map(({ one, other }) => one.cpuUs / other.cpuUs))
  return { cpu, bounds: [{ name: `a hit at OpenAI's door costs at most ${MOST} of the CPU of one at /generate`, isKept: cpu.median <= MOST, found: cpu.median.toFixed(3) }] }
}
