// What many models cost beside few: hits, the start, memory, and the event loop while they are compiled.

import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { measurePair, spreadOf, type Pair } from './against.ts'
import { check, falgateHit, numbersOf, startGateway, startTimeMs, type Gateway, type Ground } from './contestants.ts'
import { flood } from './load.ts'
import { cpuUsOf, folder } from './machine.ts'
import { writeModels } from './model-folder.ts'
import { median, type Bound } from './report.ts'

const COUNT = 500

/** One round of a noisy machine says little, so there are at least these. */
const LEAST_ROUNDS = 3

const MOST_HIT = 1.05
const MOST_START = 1.5
const MOST_BYTES = 100_000
const MOST_CHECK = 2

/** A row: what was measured, with the models, without them, the ratio, and from which to which it went. */
export interface ModelCosts { readonly count: number, readonly fileKb: number, readonly rows: readonly (readonly string[])[], readonly bounds: readonly Bound[] }

export async function modelCosts (ground: Ground, connections: number, wantedRounds: number, seconds: number, progress: (said: string) => void): Promise<ModelCosts> {
  const rounds = Math.max(wantedRounds, LEAST_ROUNDS)
  const dir = join(folder, 'models')
  const fileKb = writeModels(dir, COUNT) / 1000
  const env = { MODELS_DIR: dir }

  const starts: { readonly many: number, readonly none: number }[] = []
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: starting with ${COUNT} models and with none`)
    const start = async (isMany: boolean): Promise<number> => await startTimeMs(ground, { name: `models-start-${round}-${isMany ? 'many' : 'none'}`, env: isMany ? env : {} })
    if (round % 2 === 0) starts.push({ many: await start(true), none: await start(false) })
    else starts.push({ none: await start(false), many: await start(true) })
  }

  const many = await startGateway(ground, { name: 'models-many', env })
  const none = await startGateway(ground, { name: 'models-none' })
  progress('waiting until all models are compiled')
  await untilIdle(many)
  const hits: Pair[] = []
  const [one, other] = [falgateHit(many), falgateHit(none)]
  for (const contestant of [one, other]) {
    await check(contestant)
    await flood(contestant.port, contestant.request, connections, 2)
  }
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: hits with ${COUNT} models and with none`)
    hits.push(await measurePair(one, other, connections, seconds, round))
  }
  await Promise.all([many.stop(), none.stop()])

  progress('models in one process')
  const number = numbersOf('models', [dir, String(rounds)])
  return summaryOf({ fileKb, starts, hits, number })
}

function summaryOf ({ fileKb, starts, hits, number }: { readonly fileKb: number, readonly starts: readonly { readonly many: number, readonly none: number }[], readonly hits: readonly Pair[], readonly number: (name: string) => number }): ModelCosts {
  const hit = spreadOf(hits.map(({ one, other }) => one.cpuUs / other.cpuUs))
  const start = spreadOf(starts.map(({ many, none }) => many / none))
  const range = ({ low, high }: { readonly low: number, readonly high: number }): string => `${low.toFixed(3)} to ${high.toFixed(3)}`
  const rows = [
    ['CPU of a hit, µs', median(hits.map(({ one }) => one.cpuUs)).toFixed(1), median(hits.map(({ other }) => other.cpuUs)).toFixed(1), hit.median.toFixed(3), range(hit)],
    ['from start to the first answer, ms', median(starts.map(({ many }) => many)).toFixed(0), median(starts.map(({ none }) => none)).toFixed(0), start.median.toFixed(3), range(start)],
    ['heap for each model, loaded, KB', (number('loadedBytes') / 1000).toFixed(1), '', '', ''],
    ['heap for each model, used once, KB', (number('usedBytes') / 1000).toFixed(1), '', '', ''],
    ['heap for each model, used once and all of it compiled, KB', (number('compiledBytes') / 1000).toFixed(1), '', '', ''],
    ['reading an input: of a document, of the built-in with the same fields, µs', number('documentUs').toFixed(2), number('builtInUs').toFixed(2), number('ratio').toFixed(2), `${number('least').toFixed(2)} to ${number('most').toFixed(2)}`],
    ['longest turn of the event loop while all are compiled, and while nothing is done, ms', number('warmingLongestMs').toFixed(1), number('quietLongestMs').toFixed(1), '', ''],
    ['the most CPU in one of those turns, ms', number('warmingMostCpuMs').toFixed(1), number('quietMostCpuMs').toFixed(1), '', ''],
    ['compiling all of them, ms', number('warmingMs').toFixed(0), '', '', '']
  ]
  const bound = (name: string, found: number, most: number, digits: number): Bound => ({ name, isKept: found <= most, found: found.toFixed(digits) })
  return {
    count: COUNT,
    fileKb,
    rows,
    bounds: [
      bound(`a hit costs at most ${MOST_HIT} of what it costs with the built-in model alone`, hit.median, MOST_HIT, 3),
      bound(`the start takes at most ${MOST_START} times as long`, start.median, MOST_START, 3),
      // The gateway compiles all of a model's input before long, whatever its calls need.
      bound(`bytes for each model, once used, at most ${MOST_BYTES.toLocaleString('en-US')}`, number('compiledBytes'), MOST_BYTES, 0),
      bound(`reading an input costs at most ${MOST_CHECK} times the built-in model's`, number('ratio'), MOST_CHECK, 2)
    ]
  }
}

/** Until the process has done what it does on its own after its start. */
async function untilIdle ({ pid }: Gateway): Promise<void> {
  const WINDOW_MS = 500
  for (let used = Infinity; !(used < 0.1 * WINDOW_MS * 1000);) {
    const beforeUs = cpuUsOf(pid)
    await pause(WINDOW_MS)
    used = cpuUsOf(pid) - beforeUs
    // A kernel that does not tell leaves only the waiting.
    if (Number.isNaN(used)) return
  }
}
