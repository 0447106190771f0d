// Two builds of falgate side by side: what a change costs.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { projectDir } from '../support/paths.ts'
import { check, falgateHit, falgateMiss, programFile, startGateway, type Ground } from './contestants.ts'
import { flood, measure, type Target } from './load.ts'
import { cores, folder, nodeMeasured, pinned } from './machine.ts'
import { median, type Bound, type Round } from './report.ts'

/** No figure of this build may be lower than this part of the other build's. */
const LEAST = 0.97

export interface Comparison { readonly rows: readonly { readonly name: string, readonly rate: Spread, readonly cpu: Spread }[], readonly code: CodeCosts, readonly bounds: readonly Bound[] }

/** What the code of a hit takes, without sockets, in microseconds: the least of many batches of this build and of the other one, and how many times this build's the other's takes. */
export interface CodeCosts { readonly oursUs: number, readonly theirsUs: number, readonly ratio: Spread }

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
  progress('the code of a hit, both builds in one process')
  const code = codeCosts(otherCli, rounds * seconds)
  const bounds = rows.flatMap(({ name, rate, cpu }) => [
    { name: `${name}: answers a second of this build, at least ${LEAST} of the other's`, isKept: rate.median >= LEAST, found: rate.median.toFixed(3) },
    { name: `${name}: answers for each second of CPU, at least ${LEAST} of the other's`, isKept: cpu.median >= LEAST, found: cpu.median.toFixed(3) }
  ])
  return { rows, code, bounds }
}

/** Of all batches the quickest ones of each build are compared: a busy machine disturbs most of them, the longer ones more, and helps none. */
const QUICKEST = 0.02

function codeCosts (otherCli: string, seconds: number): CodeCosts {
  const file = join(folder, 'hit-code.json')
  const [program = '', ...args] = pinned(cores.server, [nodeMeasured(), programFile('hit-code'), file, String(seconds), projectDir, folderOf(otherCli)])
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const told: readonly (readonly number[])[] = JSON.parse(readFileSync(file, 'utf8'))
  const [ours = [], theirs = []] = told.map(tookUs => tookUs.toSorted((one, other) => one - other).slice(0, Math.ceil(tookUs.length * QUICKEST)))
  return { oursUs: ours[0] ?? NaN, theirsUs: theirs[0] ?? NaN, ratio: spreadOf(ours.map((us, place) => (theirs[place] ?? NaN) / us)) }
}

/** The folder of a build, by its program. */
function folderOf (cli: string): string {
  return resolve(cli, '../../..')
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
