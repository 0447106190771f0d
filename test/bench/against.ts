// Two builds of falgate side by side: what a change costs.

import { check, falgateHit, falgateMiss, startGateway, type Ground } from './contestants.ts'
import { flood, measure, type Target } from './load.ts'
import { median, type Bound, type Round } from './report.ts'

/** No figure of this build may be lower than this part of the other build's. */
const LEAST = 0.97

export interface Comparison { readonly rows: readonly { readonly name: string, readonly rate: Spread, readonly cpu: Spread }[], readonly bounds: readonly Bound[] }

/** Ratios of this build to the other one, from a lower to an upper quartile. Above 1 this build is faster. */
export interface Spread { readonly median: number, readonly low: number, readonly high: number }

/** Two rounds that follow each other. */
export interface Pair { readonly one: Round, readonly other: Round }

/** Rounds that one pair of processes takes: two of the same build differ by a tenth, as long as they live. */
const ROUNDS_PER_START = 2

/**
 * Hits and whole generations of this build and of another one, in turn. The order changes from round to round, so that a machine which becomes
 * slower or faster meanwhile helps neither, and both are started again after a few rounds. A ratio is one of two rounds that follow each other.
 */
export async function compareBuilds (ground: Ground, otherCli: string, connections: number, rounds: number, seconds: number, progress: (said: string) => void): Promise<Comparison> {
  const kinds = [{ name: 'falgate, hit', contestantOf: falgateHit }, { name: 'falgate, miss', contestantOf: falgateMiss }]
    .map(kind => ({ ...kind, measured: new Array<Pair>() }))
  for (let start = 0; start < rounds; start += ROUNDS_PER_START) {
    const ours = await startGateway(ground, { name: `this-build-${start}` })
    const theirs = await startGateway(ground, { name: `other-build-${start}`, cli: otherCli })
    for (const { name, contestantOf, measured } of kinds) {
      const [one, other] = [contestantOf(ours), contestantOf(theirs)]
      for (const contestant of [one, other]) {
        await check(contestant)
        await flood(contestant.port, contestant.request, connections, seconds)
      }
      for (let round = start; round < Math.min(start + ROUNDS_PER_START, rounds); round++) {
        progress(`round ${round + 1} of ${rounds}: ${name}`)
        measured.push(await measurePair(one, other, connections, seconds, round))
      }
    }
    await ours.stop()
    await theirs.stop()
  }
  const rows = kinds.map(({ name, measured }) => ({
    name,
    rate: spreadOf(measured.map(({ one, other }) => one.perSecond / other.perSecond)),
    cpu: spreadOf(measured.map(({ one, other }) => other.cpuUs / one.cpuUs))
  }))
  const bounds = rows.flatMap(({ name, rate, cpu }) => [
    { name: `${name}: answers a second of this build, at least ${LEAST} of the other's`, isKept: rate.median >= LEAST, found: rate.median.toFixed(3) },
    { name: `${name}: answers for each second of CPU, at least ${LEAST} of the other's`, isKept: cpu.median >= LEAST, found: cpu.median.toFixed(3) }
  ])
  return { rows, bounds }
}

/** Both, one after the other; which of them is first changes from round to round. */
export async function measurePair (one: Target, other: Target, connections: number, seconds: number, round: number): Promise<Pair> {
  const isFirst = round % 2 === 0
  const early = await measure(isFirst ? one : other, connections, seconds)
  const late = await measure(isFirst ? other : one, connections, seconds)
  return isFirst ? { one: early, other: late } : { one: late, other: early }
}

/** The middle of some ratios, and their middle half. */
export function spreadOf (ratios: readonly number[]): Spread {
  const sorted = ratios.toSorted((one, other) => one - other)
  const at = (part: number): number => sorted[Math.round((sorted.length - 1) * part)] ?? NaN
  return { median: median(sorted), low: at(0.25), high: at(0.75) }
}
