// What `npm run bench` is asked for on its command line.

import { accessSync, constants, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const HELP = `npm run bench [-- options]

Measures falgate against what it is compared with, on this machine, and writes test/bench/results.md.

  --quick          short rounds of what is at hand, a minute or two; writes nothing
  --only <part>    throughput, latency, tail, scale, memory, polls, models, tokens, folder, media, openai or takeover; may be repeated (default: all)
  --node <path>    the Node that runs what is measured; may be repeated: one after another (default: the one that runs this)
  --against <dir>  only this: side by side with the build of another commit in <dir>; with --only takeover that part, in both builds
  --compare <ref>  the same with a commit, branch or tag of this repository, which is built for it
  --check          ends with 1 when a bound is broken
  --rounds <n>     rounds of each contestant (default 5)
  --seconds <n>    length of a round (default 5)
  --profile <dir>  CPU profiles of the gateway that is measured for throughput
  --help

Needs redis-server. Better with taskset, wrk and nginx (apt-get install --no-install-recommends wrk nginx-light redis-server).
@fal-ai/server-proxy and Portkey's gateway are fetched by npm into ~/.cache/falgate-bench the first time.
Another Node without installing it: npm install --prefix <folder> node@24, and then --node <folder>/node_modules/node/bin/node.
`

export const parts = ['throughput', 'latency', 'tail', 'scale', 'memory', 'polls', 'models', 'tokens', 'folder', 'media', 'openai', 'takeover'] as const
export type Part = typeof parts[number]

export interface Plan {
  readonly isQuick: boolean
  readonly parts: ReadonlySet<Part>
  /** Programs of Node. */
  readonly nodes: readonly string[]
  readonly rounds: number
  readonly seconds: number
  readonly profile: string | undefined
  /** The other build of a comparison: a folder that has it, or what git calls its commit. */
  readonly other: { readonly kind: 'folder', readonly path: string } | { readonly kind: 'commit', readonly ref: string } | null
  readonly isCheck: boolean
}

/** What is asked for, or null when that was only help. Ends the process with a sentence when it cannot be done. */
export function readPlan (): Plan | null {
  const { values } = readOptions()
  if (values.help === true) {
    process.stdout.write(HELP)
    return null
  }
  const isQuick = values.quick === true
  const other = otherOf(values.against, values.compare)
  const named = values.only?.map(name => parts.find(part => part === name) ?? refuse(`--only: there is no part "${name}"`))
  if (other !== null && named?.some(part => part !== 'takeover')) return refuse('--only: of the parts takeover alone is measured in two builds')
  const only = named ?? (other === null ? undefined : [])
  const usual = isQuick ? 1 : 5
  return {
    isQuick,
    parts: new Set(only ?? parts),
    nodes: values.node?.map(programIn) ?? [process.execPath],
    rounds: countIn('--rounds', values.rounds, usual),
    seconds: countIn('--seconds', values.seconds, usual),
    profile: values.profile,
    other,
    isCheck: values.check === true
  }
}

function readOptions () {
  try {
    return parseArgs({
      options: {
        quick: { type: 'boolean' },
        check: { type: 'boolean' },
        only: { type: 'string', multiple: true },
        node: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        profile: { type: 'string' },
        against: { type: 'string' },
        compare: { type: 'string' },
        help: { type: 'boolean' }
      }
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function otherOf (folder: string | undefined, ref: string | undefined): Plan['other'] {
  if (folder !== undefined && ref !== undefined) return refuse('--against and --compare name one other build each: give one of them')
  if (ref !== undefined) return { kind: 'commit', ref }
  if (folder === undefined) return null
  if (!existsSync(cliIn(folder))) return refuse(`--against: there is no ${cliIn(folder)} (npm ci builds it)`)
  return { kind: 'folder', path: folder }
}

/** The program of the build in a folder. */
export function cliIn (folder: string): string {
  return join(folder, 'build/src/cli.js')
}

function programIn (path: string): string {
  try {
    accessSync(path, constants.X_OK)
    return resolve(path)
  } catch {
    return refuse(`--node: there is no program ${path}`)
  }
}

function countIn (name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : refuse(`${name}: expected a whole number from 1`)
}

/** Ends the process: this cannot be done. */
export function refuse (fault: string): never {
  process.stderr.write(`bench: ${fault} (see npm run bench -- --help)\n`)
  process.exit(2)
}
