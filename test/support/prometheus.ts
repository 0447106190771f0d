// A real Prometheus with the files of docker/prometheus: only its targets and how often it looks are a test's own.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import type { Test } from 'tap'
import { guardOf } from '../../src/schema.ts'
import { prometheusFile, rulesFile } from './monitoring.ts'
import { answering, freePort, startProgram } from './processes.ts'

/** Long enough for alerts that wait for minutes; it only ends what hangs. */
const LIFE_MS = 1_200_000

const Labels = Type.Record(Type.String(), Type.String())
const Series = Type.Object({ status: Type.Literal('success'), data: Type.Array(Labels) })
const Vector = Type.Object({ status: Type.Literal('success'), data: Type.Object({ result: Type.Array(Type.Object({ metric: Labels })) }) })
const Alerts = Type.Object({ status: Type.Literal('success'), data: Type.Object({ alerts: Type.Array(Type.Object({ labels: Labels, state: Type.String() })) }) })

/** A Prometheus that scrapes every second. */
export interface RunningPrometheus {
  /** The labels of every series of this name that it has met. */
  readonly series: (name: string) => Promise<ReadonlyArray<Readonly<Record<string, string>>>>
  /** How many series an expression gives now. Rejects when Prometheus does not understand it. */
  readonly count: (expr: string) => Promise<number>
  /** The names of the alerts that fire. */
  readonly firing: () => Promise<readonly string[]>
}

/** Starts it; `places`: what each published target is here. It ends with the test. */
export async function startPrometheus (t: Test, dir: string, places: ReadonlyMap<string, string>): Promise<RunningPrometheus> {
  mkdirSync(dir, { recursive: true })
  copyFileSync(rulesFile, join(dir, 'rules.yml'))
  let text = readFileSync(prometheusFile, 'utf8').replaceAll(/(scrape|evaluation)_interval: \d+s/g, '$1_interval: 1s')
  for (const [published, here] of places) {
    if (!text.includes(published)) throw new Error(`docker/prometheus/prometheus.yml has no ${published}`)
    text = text.replaceAll(published, here)
  }
  const file = join(dir, 'prometheus.yml')
  writeFileSync(file, text)
  const listen = `127.0.0.1:${await freePort()}`
  const running = startProgram(t, 'prometheus', [`--config.file=${file}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=${listen}`], { PATH: process.env['PATH'] ?? '' }, { cwd: dir, timeoutMs: LIFE_MS })
  await answering(running, `http://${listen}/-/ready`)

  async function ask<Schema extends TSchema> (path: string, schema: Schema): Promise<Static<Schema>> {
    const answer: unknown = await (await fetch(`http://${listen}/api/v1/${path}`)).json()
    if (!guardOf(schema)(answer)) throw new Error(`${path}: ${JSON.stringify(answer).slice(0, 500)}`)
    return answer
  }

  return {
    series: async name => (await ask(`series?match[]=${encodeURIComponent(name)}`, Series)).data,
    count: async expr => (await ask(`query?query=${encodeURIComponent(expr)}`, Vector)).data.result.length,
    firing: async () => (await ask('alerts', Alerts)).data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels['alertname'] ?? '')
  }
}
