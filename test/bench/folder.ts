// What it costs to keep the ledger in a folder: hits and whole generations beside a gateway that keeps it in memory only.

import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { measurePair, spreadOf, type Pair, type Spread } from './against.ts'
import { check, falgateHit, falgateMiss, startGateway, type Ground } from './contestants.ts'
import { flood } from './load.ts'
import { folder } from './machine.ts'
import type { Bound } from './report.ts'

/** One round of a noisy machine says little, so there are at least these. */
const LEAST_ROUNDS = 3

/** A hit changes nothing that is written down. */
const LEAST_HITS = 0.98

export interface FolderCosts { readonly rows: readonly (readonly string[])[], readonly bounds: readonly Bound[] }

export async function folderCosts (ground: Ground, connections: number, wantedRounds: number, seconds: number, progress: (said: string) => void): Promise<FolderCosts> {
  const rounds = Math.max(wantedRounds, LEAST_ROUNDS)
  const inFolder = await startGateway(ground, { name: 'in-a-folder', env: { REDIS_URL: '', DATA_DIR: mkdtempSync(join(folder, 'ledger-')) } })
  const inMemory = await startGateway(ground, { name: 'in-memory', env: { REDIS_URL: '', STORE: 'memory' } })
  const kinds = [{ name: 'a hit', contestantOf: falgateHit }, { name: 'a generation', contestantOf: falgateMiss }].map(({ name, contestantOf }) => ({ name, pair: [contestantOf(inFolder), contestantOf(inMemory)] as const, measured: new Array<Pair>() }))
  for (const { pair } of kinds) {
    for (const contestant of pair) {
      await check(contestant)
      await flood(contestant.port, contestant.request, connections, seconds)
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const { name, pair: [one, other], measured } of kinds) {
      progress(`round ${round + 1} of ${rounds}: ${name} with a folder, and in memory`)
      measured.push(await measurePair(one, other, connections, seconds, round))
    }
  }
  await inFolder.stop()
  await inMemory.stop()
  const found = kinds.map(({ name, measured }) => ({
    name,
    rate: spreadOf(measured.map(({ one, other }) => one.perSecond / other.perSecond)),
    cpu: spreadOf(measured.map(({ one, other }) => other.cpuUs / one.cpuUs))
  }))
  const [hit] = found
  return {
    rows: found.map(({ name, rate, cpu }) => [name, told(rate), told(cpu)]),
    bounds: hit === undefined ? [] : [{ name: `a gateway with a folder answers as many hits for each second of CPU, at least ${LEAST_HITS} of those in memory`, isKept: hit.cpu.median >= LEAST_HITS, found: hit.cpu.median.toFixed(3) }]
  }
}

function told ({ median, low, high }: Spread): string {
  return `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
}
