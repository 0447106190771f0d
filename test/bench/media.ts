// Stored files: how many a gateway serves beside a bare @fastify/static, and what it has in memory while somebody reads a long one.

import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createMediaLinks } from '../../src/media/links.ts'
import { freePort } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { measurePair, spreadOf, type Pair, type Spread } from './against.ts'
import { programFile, startGateway, type Ground } from './contestants.ts'
import { flood, type Target } from './load.ts'
import { answering, folder, startServer } from './machine.ts'
import { probe, tellOf, type Told } from './memory.ts'
import type { Bound } from './report.ts'
import type { RawRequest } from './requests.ts'

/** One round of a noisy machine says little, so there are at least these. */
const LEAST_ROUNDS = 3

const KIB = 1024
const sizes = [{ name: 'a thumbnail, 32 KiB', bytes: 32 * KIB }, { name: 'a picture, 1.5 MiB', bytes: 1536 * KIB }, { name: 'a picture, 12 MB', bytes: 12_000_000 }]

/** To reach: what a gateway serves of what a bare server does. */
const LEAST_SERVED = 0.9

/** Readers of a long file that stand still, and what each of them may take. */
const READERS = 8
const MOST_EACH_KIB = 1024

export interface MediaCosts { readonly rows: ReadonlyArray<readonly string[]>, readonly eachKib: { readonly standing: number, readonly after: number }, readonly bounds: readonly Bound[] }

export async function mediaCosts (ground: Ground, connections: number, wantedRounds: number, seconds: number, progress: (said: string) => void): Promise<MediaCosts> {
  const rounds = Math.max(wantedRounds, LEAST_ROUNDS)
  const media = mkdtempSync(join(folder, 'media-'))
  const key = randomBytes(32).toString('hex')
  writeFileSync(join(media, 'link-key'), key)
  const links = createMediaLinks({ keys: () => [key], lastsMs: 86_400_000, now: Date.now })
  const files = sizes.map(({ name, bytes }) => {
    const content = randomBytes(bytes)
    const sha256 = hash('sha256', content)
    const file = `${sha256}.png`
    mkdirSync(join(media, sha256.slice(0, 2)), { recursive: true })
    writeFileSync(join(media, sha256.slice(0, 2), file), content)
    return { name, link: get(links.pathOf(file)), bare: get(`/media/${sha256.slice(0, 2)}/${file}`), measured: new Array<Pair>() }
  })

  const name = 'with-media'
  const gateway = await startGateway(ground, { name, env: { REDIS_URL: '', STORE: 'memory', MEDIA_DIR: media, ...probe(name).env }, nodeArgs: probe(name).nodeArgs })
  const port = await freePort()
  const bare = startServer('bare-static', [programFile('bare-static'), String(port), media])
  await answering(bare, `http://127.0.0.1:${port}/`)
  const targets = files.map(({ name, link, bare: path }) => [{ name: `falgate: ${name}`, ...gateway, request: link }, { name: `@fastify/static: ${name}`, ...bare, port, request: path }] as const)
  for (const target of targets.flat()) await flood(target.port, target.request, connections, seconds)
  for (const [place, { name, measured }] of files.entries()) {
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}: ${name}`)
      const [ours, theirs] = targets[place] ?? []
      if (ours !== undefined && theirs !== undefined) measured.push(await measurePair(ours, theirs, connections, seconds, round))
    }
  }

  progress(`${READERS} readers of 12 MB stand still`)
  const last = targets.at(-1)?.[0]
  const eachKib = last === undefined ? { standing: NaN, after: NaN } : await readersKib(name, last)
  await gateway.stop()
  await bare.stop()
  const found = files.map(({ name, measured }) => ({
    name,
    rate: spreadOf(measured.map(({ one, other }) => one.perSecond / other.perSecond)),
    cpu: spreadOf(measured.map(({ one, other }) => other.cpuUs / one.cpuUs))
  }))
  return {
    rows: found.map(({ name, rate, cpu }) => [name, told(rate), told(cpu)]),
    eachKib,
    bounds: [
      ...found.map(({ name, cpu }) => ({ name: `${name}: served for each second of CPU, at least ${LEAST_SERVED} of what a bare @fastify/static serves`, isKept: cpu.median >= LEAST_SERVED, found: cpu.median.toFixed(3) })),
      { name: `somebody who reads 12 MB takes at most ${MOST_EACH_KIB} KiB`, isKept: eachKib.standing <= MOST_EACH_KIB, found: `${eachKib.standing.toFixed(0)} KiB` }
    ]
  }
}

function get (path: string): RawRequest {
  return { text: `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n` }
}

/** What each of some readers takes that have read the beginning of a file and stand still, and after all of them have it. */
async function readersKib (name: string, target: Target): Promise<{ readonly standing: number, readonly after: number }> {
  const before = memoryOf(await tellOf(name, target))
  const sockets: Socket[] = []
  for (let count = 0; count < READERS; count++) {
    const socket = connect(target.port, '127.0.0.1').on('error', () => {})
    socket.write(target.request.text)
    await new Promise(resolve => { socket.once('data', resolve) })
    socket.pause()
    sockets.push(socket)
  }
  const standing = memoryOf(await tellOf(name, target))
  for (const socket of sockets) socket.on('data', () => {}).resume()
  await until(() => sockets.every(({ bytesRead }) => bytesRead > 12_000_000))
  for (const socket of sockets) socket.destroy()
  const after = memoryOf(await tellOf(name, target))
  return { standing: (standing - before) / KIB / READERS, after: (after - before) / KIB / READERS }
}

/** Heap and buffers, when all garbage is collected. */
function memoryOf ({ collected }: Told): number {
  return collected.heapUsed + collected.external
}

function told ({ median, low, high }: Spread): string {
  return `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
}
