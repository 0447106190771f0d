// A gateway is killed with pictures running, and another one is started in its place: how long callers who ask again wait.

import { hash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { cliFile } from '../support/paths.ts'
import { sumOf } from '../support/money.ts'
import { until } from '../support/until.ts'
import { startGateway, type Ground } from './contestants.ts'
import { openLine } from './load.ts'
import { bearer, post, tenantId } from './requests.ts'

const PICTURES = 50

/** They are done before the second process is there, so that what is waited for is falgate alone. */
const PICTURE_MS = 2500
const DOWN_MS = 2000

/** Milliseconds of one death, the first and the last answer counted from the kill; and how many purchases there were in all. */
export interface Death { readonly readyMs: number, readonly firstMs: number, readonly lastMs: number, readonly bought: number }

export interface Deaths { readonly pictures: number, readonly downMs: number, readonly deaths: readonly Death[] }

/** Kills a gateway with default settings `times` times, each in a namespace of its own. `cli`: of another build. */
export async function deaths (ground: Ground, times: number, progress: (said: string) => void, cli = cliFile): Promise<Deaths> {
  const found: Death[] = []
  for (let time = 0; time < times; time++) {
    const death = await dieOnce(ground, `death-${hash('sha1', cli).slice(0, 8)}-${time}`, cli)
    progress(`killed: ready again after ${whole(death.readyMs)} ms, first answer after ${whole(death.firstMs)}, last after ${whole(death.lastMs)}, ${death.bought} bought`)
    found.push(death)
  }
  return { pictures: PICTURES, downMs: DOWN_MS, deaths: found }
}

async function dieOnce (ground: Ground, name: string, cli: string): Promise<Death> {
  const options = { name, delayMs: PICTURE_MS, cli, env: { REDIS_NAMESPACE: name } }
  const killed = await startGateway(ground, options)
  const asked = askAll(killed.port, () => {}) // they lose their connections
  await until(async () => await boughtBy(killed.port) === PICTURES)
  const boughtBefore = await boughtBy(killed.port)
  await killed.kill()
  const killedMs = performance.now()
  await asked
  await pause(DOWN_MS)

  const next = await startGateway(ground, options)
  const readyMs = performance.now() - killedMs
  const answeredMs: number[] = []
  const refused = await askAll(next.port, () => { answeredMs.push(performance.now() - killedMs) })
  if (refused > 0) throw new Error(`${refused} of ${PICTURES} who asked again got no picture`)
  const bought = boughtBefore + await boughtBy(next.port)
  await next.stop()
  return { readyMs, firstMs: Math.min(...answeredMs), lastMs: Math.max(...answeredMs), bought }
}

/** Asks for each picture on a connection of its own. Gives how many got none. */
async function askAll (port: number, onAnswer: () => void): Promise<number> {
  const answers = await Promise.all(Array.from({ length: PICTURES }, async (_, seed) => {
    const line = await openLine(port)
    const request = post('/generate', JSON.stringify({ prompt: 'a picture', seed }), { ...bearer(tenantId(0)), prefer: 'wait=60' })
    const reply = await line.ask(request.text).catch(() => null) // the process was killed
    line.close()
    if (reply?.status === 200) onAnswer()
    return reply?.status
  }))
  return answers.filter(status => status !== 200).length
}

/** Submits that fal has accepted and the ledger knows of, of this process. */
async function boughtBy (port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return sumOf(metrics, 'falgate_generation_phase_seconds_count', 'phase="submitting"')
}

function whole (ms: number): string {
  return ms.toFixed(0)
}
