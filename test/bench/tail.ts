// Hits at a rate that everybody can keep: how long the slowest wait, beside others at the same rate, and what held them up.

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { until } from '../support/until.ts'
import { bareFastify, check, falgateHit, hitRequest, imageNodeArgs, nginxCache, programFile, startGateway, type Contestant, type Ground } from './contestants.ts'
import { timesOf, type Times } from './latency.ts'
import { atRate, flood } from './load.ts'
import { folder } from './machine.ts'
import { causes, watchPauses, type Pause } from './pauses.ts'
import type { Bound } from './report.ts'

/** How long one contestant was asked, all rounds together. */
export interface Tail { readonly name: string, readonly times: Times, readonly pauses: readonly Pause[] | null }

const CONNECTIONS = 64

/** To reach: falgate's p99 in times bare Fastify's, and its longest pause that is not the machine's. */
const MOST_TIMES_BARE = 3
const MOST_PAUSE_MS = 20

/** A contestant that tells its pauses. */
interface Watched { readonly contestant: Contestant, readonly pausesFile: string | null }

/** All of them in turn, at half of the highest rate that falgate takes. */
export async function hitTails (ground: Ground, rounds: number, seconds: number, progress: (said: string) => void): Promise<{ readonly perSecond: number, readonly tails: readonly Tail[], readonly bounds: readonly Bound[] }> {
  const [oursFile, imageFile, bareFile] = [join(folder, 'pauses-falgate.json'), join(folder, 'pauses-image.json'), join(folder, 'pauses-bare.json')]
  const args = imageNodeArgs()
  const gateway = await startGateway(ground, { name: 'tail', ...probe(oursFile) })
  const image = await startGateway(ground, { name: 'tail-image', ...probe(imageFile, args) })
  const nginx = await nginxCache(ground)
  const watched: Watched[] = [
    { contestant: falgateHit(gateway), pausesFile: oursFile },
    { contestant: { ...falgateHit(image), name: `falgate, hit, as in its image (${args.join(' ')})` }, pausesFile: imageFile },
    { contestant: await bareFastify(probe(bareFile)), pausesFile: bareFile }
  ]
  if (!('why' in nginx)) watched.push({ contestant: nginx, pausesFile: null })
  for (const { contestant } of watched) {
    await check(contestant)
    await flood(contestant.port, hitRequest, 32, 3)
  }
  const { requests, seconds: took } = await flood(gateway.port, hitRequest, 32, seconds)
  const perSecond = Math.round(requests / took / 2 / 100) * 100
  const loadPauses = watchPauses()
  const of = new Map(watched.map(({ contestant }) => [contestant, { tookMs: new Array<number>(), pauses: new Array<Pause>() }]))
  const ofLoad: Pause[] = []
  for (let round = 0; round <= rounds; round++) {
    progress(round === 0 ? `warming up at ${perSecond} a second` : `round ${round} of ${rounds}: hits at ${perSecond} a second`)
    for (const { contestant, pausesFile } of round % 2 === 0 ? watched : watched.toReversed()) {
      const told = of.get(contestant)
      await pausesIn(contestant, pausesFile)
      loadPauses()
      const tookMs = await atRate(contestant.port, hitRequest.text, perSecond, round === 0 ? 1 : seconds, CONNECTIONS)
      const here = loadPauses()
      const there = await pausesIn(contestant, pausesFile)
      if (round === 0 || told === undefined) continue
      told.tookMs.push(...tookMs)
      told.pauses.push(...there)
      ofLoad.push(...here)
    }
  }
  await Promise.all([gateway.stop(), image.stop()])
  const tails: Tail[] = watched.map(({ contestant, pausesFile }) => {
    const { tookMs = [], pauses = [] } = of.get(contestant) ?? {}
    return { name: contestant.name, times: timesOf(tookMs), pauses: pausesFile === null ? null : pauses }
  })
  return { perSecond, tails: [...tails, { name: 'the load itself', times: timesOf([]), pauses: ofLoad }], bounds: boundsOf(tails) }
}

function probe (file: string, args: readonly string[] = []): { readonly nodeArgs: readonly string[], readonly env: Readonly<Record<string, string>> } {
  return { nodeArgs: [...args, '--import', pathToFileURL(programFile('pause-probe')).href], env: { PAUSES_FILE: file } }
}

/** What a process tells of its pauses since it was asked the last time. */
async function pausesIn ({ pid }: Contestant, file: string | null): Promise<readonly Pause[]> {
  if (file === null) return []
  rmSync(file, { force: true })
  process.kill(pid, 'SIGWINCH')
  await until(() => existsSync(file))
  const pauses: readonly Pause[] = JSON.parse(readFileSync(file, 'utf8'))
  return pauses
}

function boundsOf (tails: readonly Tail[]): readonly Bound[] {
  const [plain, image, bare] = tails
  if (plain === undefined || image === undefined || bare === undefined) return []
  return [{ of: '', ...plain }, { of: ', as in its image', ...image }].flatMap(({ of, times, pauses }) => {
    const ratio = times.p99Ms / bare.times.p99Ms
    const longest = Math.max(0, ...(pauses ?? []).filter(({ cause }) => cause !== 'not running').map(({ ms }) => ms))
    return [
      { name: `p99 of hits at half the highest rate${of}: at most ${MOST_TIMES_BARE} times bare Fastify's at the same rate`, isKept: ratio <= MOST_TIMES_BARE, found: ratio.toFixed(2) },
      { name: `no pause above ${MOST_PAUSE_MS} ms that is falgate's own${of}`, isKept: longest <= MOST_PAUSE_MS, found: `${longest.toFixed(1)} ms` }
    ]
  })
}

/** The table of the report. */
export function tailTable (tails: readonly Tail[]): string {
  const ms = (value: number): string => Number.isNaN(value) ? '–' : value.toFixed(2)
  const rows = tails.map(({ name, times, pauses }) => {
    const cells = pauses === null ? causes.map(() => '–') : causes.map(cause => describe(pauses.filter(pause => pause.cause === cause)))
    return `| ${[name, ms(times.p50Ms), ms(times.p99Ms), ms(times.p999Ms), ms(times.mostMs), ...cells].join(' | ')} |`
  })
  return [`| | p50 ms | p99 ms | p99.9 ms | most ms | ${causes.map(cause => `pauses: ${cause}`).join(' | ')} |`, `| --- | ---: | ---: | ---: | ---: | ${causes.map(() => '---').join(' | ')} |`, ...rows].join('\n')
}

function describe (pauses: readonly Pause[]): string {
  return pauses.length === 0 ? 'none' : `${pauses.length}, at most ${Math.max(...pauses.map(({ ms }) => ms)).toFixed(1)} ms`
}
