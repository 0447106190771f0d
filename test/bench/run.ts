// The benchmark: everybody is started, checked, warmed up and measured in turn, round by round, and a table is printed and kept.
// npm run bench -- --help

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectDir } from '../support/paths.ts'
import { compareBuilds, type Spread } from './against.ts'
import {
  bareFastify, check, composition, expressProxy, falgateHit, falgateMiss, fetchPackages, nginxCache, portkey, profiling, startGateway, startGround, startTimeMs,
  type Absent, type Contestant, type Ground
} from './contestants.ts'
import { addedTime, joinsPerSecond } from './latency.ts'
import { flood, hasWrk, measure } from './load.ts'
import { folderCosts } from './folder.ts'
import { cores, describeLoad, describeMachine, endAll, measureOn, pinSelf, stopAll, versionMeasured } from './machine.ts'
import { mediaCosts } from './media.ts'
import { openAiCosts } from './openai.ts'
import { callerMemory, callerTable, loadBound, loadTable, memoryAfterLoad, type AfterLoad } from './memory.ts'
import { modelCosts } from './models.ts'
import { buildCommit } from './other-build.ts'
import { cliIn, parts, readPlan, type Plan } from './plan.ts'
import { pollCosts } from './polls.ts'
import { boundTable, median, ratioTable, throughputTable, type Bound, type Measured, type Round } from './report.ts'
import { tokenCosts } from './tokens.ts'
import { cacheScale, hitCosts, waitingCallers } from './scale.ts'
import { hitTails, tailTable } from './tail.ts'
import { deaths } from './takeover.ts'

const CONNECTIONS = 32

const startedMs = performance.now()
/** Paragraphs of the report. */
const report: string[] = []
/** What was promised of the measurements. */
const bounds: Bound[] = []
/** What processes had after load, by the version of Node. */
const afterLoad = new Map<string, readonly AfterLoad[]>()

function progress (said: string): void {
  process.stderr.write(`${((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)} s  ${said}\n`)
}

/** Gives the exit code. */
async function main (): Promise<number> {
  const plan = readPlan()
  if (plan === null) return 0
  pinSelf()
  const loadBefore = describeLoad()
  const other = otherBuild(plan)
  for (const node of plan.nodes) {
    measureOn(node)
    report.push(`## Node ${versionMeasured()}`)
    const ground = await startGround()
    if (other !== null && plan.parts.size === 0) await against(ground, plan, other)
    if (plan.parts.has('throughput')) await throughput(ground, plan)
    if (plan.parts.has('latency')) await latency(ground, plan)
    if (plan.parts.has('tail')) await tail(ground, plan)
    if (plan.parts.has('scale')) await scale(ground, plan)
    if (plan.parts.has('memory')) await memory(ground, plan)
    if (plan.parts.has('polls')) await polls(ground, plan)
    if (plan.parts.has('models')) await models(ground, plan)
    if (plan.parts.has('tokens')) await tokens(ground, plan)
    if (plan.parts.has('folder')) await inFolder(ground, plan)
    if (plan.parts.has('media')) await media(ground, plan)
    if (plan.parts.has('openai')) await openai(ground, plan)
    if (plan.parts.has('takeover')) await takeover(ground, plan, other)
    await stopAll()
  }
  const acrossNodes = loadBound(afterLoad)
  bounds.push(...acrossNodes)
  if (acrossNodes.length > 0) report.push(boundTable(acrossNodes))

  const text = [heading(loadBefore), ...report].join('\n\n') + '\n'
  process.stdout.write(text)
  const broken = bounds.filter(({ isKept }) => !isKept)
  for (const { name, found } of broken) progress(`a bound is broken: ${name} (${found})`)
  if (!plan.isQuick && plan.parts.size === parts.length) {
    writeFileSync(join(projectDir, 'test/bench/results.md'), text)
    progress('written to test/bench/results.md')
  }
  return plan.isCheck && broken.length > 0 ? 1 : 0
}

// ------------------------------------------------------------------------------------------------ another build

/** What this build is compared with, and what the report calls it. */
interface Other { readonly name: string, readonly cli: string }

function otherBuild ({ other }: Plan): Other | null {
  if (other === null) return null
  if (other.kind === 'folder') return { name: other.path, cli: cliIn(other.path) }
  progress(`building ${other.ref}`)
  return { name: other.ref, cli: cliIn(buildCommit(other.ref)) }
}

async function against (ground: Ground, plan: Plan, { name: otherName, cli }: Other): Promise<void> {
  const { rows, code, bounds: found } = await compareBuilds(ground, cli, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  const spread = ({ median, low, high }: Spread): string => `${median.toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)}`
  report.push(`### Against ${otherName}

This build / the other one, ${plan.rounds} rounds of ${plan.seconds} s of each, one after the other, ${CONNECTIONS} connections; median, and the middle half.

| | answers a second | middle half | answers for each second of CPU | middle half |
| --- | ---: | ---: | ---: | ---: |
${rows.map(({ name, rate, cpu }) => `| ${name} | ${spread(rate)} | ${spread(cpu)} |`).join('\n')}

The code of a hit, without sockets, both in one process: ${code.oursUs.toFixed(1)} µs, the other ${code.theirsUs.toFixed(1)} µs (the least of many batches); the other / this one over the quickest ones ${code.ratio.median.toFixed(3)} (middle half ${code.ratio.low.toFixed(3)} to ${code.ratio.high.toFixed(3)}).

${boundTable(found)}`)
}

// ------------------------------------------------------------------------------------------------ throughput

async function throughput (ground: Ground, plan: Plan): Promise<void> {
  const { taking, absent } = await contestants(ground, plan)
  for (const contestant of taking) await check(contestant)
  progress(`${taking.length} contestants answer as they should`)
  for (const { name, port, request } of taking) {
    progress(`warming up ${name}`)
    await flood(port, request, CONNECTIONS, plan.isQuick ? 1 : 3)
  }
  const rounds = new Map<Contestant, Round[]>(taking.map(contestant => [contestant, []]))
  for (let round = 1; round <= plan.rounds; round++) {
    for (const [contestant, results] of rounds) {
      const result = await measure(contestant, CONNECTIONS, plan.seconds)
      results.push(result)
      progress(`round ${round} of ${plan.rounds}: ${contestant.name} ${result.perSecond.toFixed(0)}/s`)
    }
  }
  const measured: Measured[] = [...rounds].map(([{ name, what }, results]) => ({ name, what, rounds: results }))
  const joins = await joinRounds(ground, plan)
  report.push(`### Throughput

${CONNECTIONS} connections, ${plan.rounds} rounds of ${plan.seconds} s, in turn; load by ${hasWrk ? 'wrk' : 'the benchmark\'s own client, which slows the fastest ones down (wrk is not installed)'}.
Requests per second are medians, with the least and the most of all rounds; CPU is that of the server's process alone.

${throughputTable(measured)}

Joins: ${joins}.`)
  if (absent.length > 0) report.push(absent.map(({ name, why }) => `${name} did not take part: ${why}.`).join('\n'))
  report.push(`#### Ratios\n\n${ratioTable(measured)}`)
}

async function contestants (ground: Ground, plan: Plan): Promise<{ readonly taking: readonly Contestant[], readonly absent: readonly Absent[] }> {
  progress('starting the contestants')
  const gateway = await startGateway(ground, { name: 'falgate', ...profiling(plan.profile) })
  const taking: Contestant[] = [falgateHit(gateway), await bareFastify(), await composition(ground), falgateMiss(gateway)]
  const absent: Absent[] = []
  const fetched = fetchPackages(!plan.isQuick)
  if ('packages' in fetched) taking.push(await expressProxy(ground, fetched.packages), await portkey(ground, fetched.packages))
  else absent.push({ name: '@fal-ai/server-proxy', why: fetched.why }, { name: 'Portkey gateway', why: fetched.why })
  const nginx = await nginxCache(ground)
  if ('why' in nginx) absent.push(nginx)
  else taking.push(nginx)
  return { taking, absent }
}

async function joinRounds (ground: Ground, { isQuick }: Plan): Promise<string> {
  const [delayMs, callers] = [300, 256]
  progress(`${callers} callers join one generation`)
  const gateway = await startGateway(ground, { name: 'joins', delayMs })
  const rates = (await joinsPerSecond(gateway, delayMs, callers, isQuick ? 3 : 20)).slice(1).toSorted((one, other) => one - other)
  await gateway.stop()
  return `${callers} callers ask for a picture that takes ${delayMs} ms; ${median(rates).toFixed(0)} of them a second are admitted and answered, the ${delayMs} ms left out (median of ${rates.length} rounds, ${rates[0]?.toFixed(0)} to ${rates.at(-1)?.toFixed(0)})`
}

// ------------------------------------------------------------------------------------------------ latency

async function latency (ground: Ground, plan: Plan): Promise<void> {
  const gateway = await startGateway(ground, { name: 'latency' })
  const rows: string[] = []
  for (const concurrent of [1, 64]) {
    progress(`whole generations, ${concurrent} at a time, through falgate and by hand`)
    await addedTime(ground, gateway, concurrent, 1, plan.isQuick ? 0.5 : 2) // warm
    const { byHand, throughFalgate } = await addedTime(ground, gateway, concurrent, plan.rounds, plan.isQuick ? 0.5 : plan.seconds / 2)
    const ms = (value: number): string => value.toFixed(2)
    rows.push(`| ${concurrent} | ${ms(byHand.p50Ms)} | ${ms(byHand.p99Ms)} | ${ms(throughFalgate.p50Ms)} | ${ms(throughFalgate.p99Ms)} | ${ms(throughFalgate.p50Ms - byHand.p50Ms)} | ${ms(throughFalgate.p99Ms - byHand.p99Ms)} |`)
  }
  await gateway.stop()
  report.push(`### Latency

A whole generation against an upstream that answers at once, in milliseconds: by hand (submit, status, result on kept connections) and through falgate.
To reach: p50 at most 3 ms more, p99 at most 10 ms more.

| at a time | by hand p50 | p99 | falgate p50 | p99 | added p50 | added p99 |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}`)
}

// ------------------------------------------------------------------------------------------------ tail

async function tail (ground: Ground, plan: Plan): Promise<void> {
  const { perSecond, tails, bounds: found } = await hitTails(ground, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### Tail

Hits at ${perSecond} a second, half of the highest rate, and as many of the others, ${plan.rounds} rounds of ${plan.seconds} s in turn; counted from when each was due. Beside them turns of
the event loop that came more than 3 ms late, by what had the core meanwhile: collecting garbage, its own work, helper threads of the process (V8 compiles and marks garbage in them), or nothing of it, because the
machine did not run it.

${tailTable(tails)}

${boundTable(found)}`)
}

// ------------------------------------------------------------------------------------------------ scale

async function scale (ground: Ground, plan: Plan): Promise<void> {
  const startMs = await startTimes(ground, plan.isQuick ? 1 : 5)
  const callers = plan.isQuick ? 500 : 10_000
  const waiting = plan.isQuick ? [] : await waitingCallers(ground, callers, progress)
  const heldBack = plan.isQuick ? '\n\nLeft out by --quick.' : ''
  const costs = await hitCosts(ground, plan.isQuick ? [1000] : [1, 100, 1000], plan.isQuick ? [] : [100, 1000, 10_000], plan.isQuick ? 1 : plan.seconds, progress)
  progress('100,000 results into the in-process layer')
  const cache = cacheScale(100_000)
  report.push(`### Scale

From start to the first answer, with Redis: ${startMs.map(ms => ms.toFixed(0)).join(', ')} ms. To reach: 1,000 ms.

Callers that wait on one process, each for a generation of its own, while nothing happens for 10 s. To reach with 10,000: 400 MiB, p99 of the event loop's delay 20 ms
(Node's measure shows about 10 ms for a process that does nothing).

| callers | resident MiB | event loop p99 ms | CPU of one core |
| ---: | ---: | ---: | ---: |
${waiting.map(({ callers, residentMib, loopP99Ms, cpu }) => `| ${callers} | ${residentMib.toFixed(0)} | ${loopP99Ms.toFixed(1)} | ${(cpu * 100).toFixed(1)} % |`).join('\n')}${heldBack}

What a hit costs the process, as tenants and results grow:

| tenants | results | CPU µs a hit | hits a second |
| ---: | ---: | ---: | ---: |
${costs.map(({ tenants, results, cpuUs, perSecond }) => `| ${tenants} | ${results} | ${cpuUs.toFixed(1)} | ${perSecond.toFixed(0)} |`).join('\n')}

${cache.put} results put into the in-process layer, whose bound is ${cache.maxMib} MiB: ${cache.kept} are kept, the process grew by ${cache.residentMib.toFixed(0)} MiB; ${cache.putUs.toFixed(2)} µs to put one, ${cache.getUs.toFixed(2)} µs to get one.`)
}

/** From spawning the process to its first answer. */
async function startTimes (ground: Ground, times: number): Promise<readonly number[]> {
  const took: number[] = []
  for (let time = 0; time < times; time++) {
    progress('starting a gateway')
    took.push(await startTimeMs(ground, { name: `start-${time}` }))
  }
  return took
}

// ------------------------------------------------------------------------------------------------ memory

async function memory (ground: Ground, plan: Plan): Promise<void> {
  const { rows, bounds: found } = await callerMemory(ground, plan.isQuick ? 1000 : 10_000, progress)
  bounds.push(...found)
  const loaded = await memoryAfterLoad(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  afterLoad.set(versionMeasured(), loaded)
  report.push(`### Memory

What one caller that waits takes. Bare Fastify, which only keeps what it would be answered with, is the least there can be.

${callerTable(rows)}

${boundTable(found)}

Resident memory of a process, ${CONNECTIONS} connections, ${plan.rounds} rounds of ${plan.seconds} s of hits and as long of whole generations, in turn.

${loadTable(loaded)}`)
}

// ------------------------------------------------------------------------------------------------ polls

async function polls (ground: Ground, plan: Plan): Promise<void> {
  progress('500 running generations, each polled 10 times a second')
  const { generations, perSecond, falgate, bare, bounds: found } = await pollCosts(ground, plan.isQuick ? 1 : plan.seconds, progress)
  bounds.push(...found)
  report.push(`### Status polls

${generations} running generations, each polled ten times a second by a caller on its own connection, as Python's client does; the least of some rounds, in cores for
${perSecond.toLocaleString('en-US')} polls a second, against Fastify with its log line and an answer of the same size.

| | cores |
| --- | ---: |
| falgate | ${falgate.toFixed(3)} |
| Fastify | ${bare.toFixed(3)} |
| falgate / Fastify | ${(falgate / bare).toFixed(2)} |

${boundTable(found)}`)
}

// ------------------------------------------------------------------------------------------------ models

async function models (ground: Ground, plan: Plan): Promise<void> {
  const { count, fileKb, rows, bounds: found } = await modelCosts(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### Models

A folder of ${count} models, each a file of ${fileKb.toFixed(1)} KB with twelve fields; side by side with none but the built-in one, in turn.

| | ${count} | none | ratio | from, to |
| --- | ---: | ---: | ---: | ---: |
${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}

${boundTable(found)}`)
}

async function tokens (ground: Ground, plan: Plan): Promise<void> {
  const { rows, bounds: found } = await tokenCosts(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### Browser tokens

What they cost the process beside a hit with a key, in turn, ${CONNECTIONS} connections.

| | CPU µs each | a hit with a key | ratio | middle half |
| --- | ---: | ---: | ---: | ---: |
${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}

${boundTable(found)}`)
}

async function inFolder (ground: Ground, plan: Plan): Promise<void> {
  const { rows, bounds: found } = await folderCosts(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### A ledger in a folder

A gateway with \`DATA_DIR\` beside one with \`STORE=memory\`, in turn, ${CONNECTIONS} connections: how many times as many it answers, and the middle half of the rounds.

| | by time | by CPU |
| --- | ---: | ---: |
${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}

${boundTable(found)}`)
}

async function openai (ground: Ground, plan: Plan): Promise<void> {
  const { cpu: { median, low, high }, bounds: found } = await openAiCosts(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### OpenAI's door

A hit at \`/v1/images/generations\` takes ${median.toFixed(3)} of the CPU of the same one at \`/generate\` (middle half ${low.toFixed(3)} to ${high.toFixed(3)}), of one gateway, in turn, ${CONNECTIONS} connections.

${boundTable(found)}`)
}

async function media (ground: Ground, plan: Plan): Promise<void> {
  const { rows, eachKib, bounds: found } = await mediaCosts(ground, CONNECTIONS, plan.rounds, plan.seconds, progress)
  bounds.push(...found)
  report.push(`### Stored files

A gateway with \`MEDIA_DIR\`, by signed links, beside a bare \`@fastify/static\` on the same core, in turn, ${CONNECTIONS} connections: how many times as many it serves, and the middle half of the rounds.

| | by time | by CPU |
| --- | ---: | ---: |
${rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')}

Somebody who has read the beginning of 12 MB and stands still takes ${eachKib.standing.toFixed(0)} KiB of heap and buffers; ${eachKib.after.toFixed(0)} KiB are left of each once all have read theirs.

${boundTable(found)}`)
}

// ------------------------------------------------------------------------------------------------ takeover

async function takeover (ground: Ground, plan: Plan, other: Other | null): Promise<void> {
  const times = plan.isQuick ? 1 : plan.rounds
  const own = await deaths(ground, times, progress)
  const builds = [{ name: 'this build', found: own }]
  if (other !== null) builds.push({ name: other.name, found: await deaths(ground, times, progress, other.cli) })
  const inSeconds = (values: readonly number[]): string => `${(median(values) / 1000).toFixed(2)} (${(Math.min(...values) / 1000).toFixed(2)} to ${(Math.max(...values) / 1000).toFixed(2)})`
  const slowest = Math.max(...own.deaths.map(({ firstMs }) => firstMs))
  const found: Bound[] = [
    { name: 'after a kill the first repeated call is answered within 4 s', isKept: slowest <= 4000, found: `${(slowest / 1000).toFixed(2)} s` },
    { name: 'nothing is bought twice', isKept: own.deaths.every(({ bought }) => bought === own.pictures), found: own.deaths.map(({ bought }) => bought).join(', ') }
  ]
  bounds.push(...found)
  report.push(`### Takeover

A gateway with default settings is killed with ${own.pictures} pictures running and started again after ${own.downMs / 1000} s; then all callers ask again. In seconds after the
kill, the median and the least and the most of ${times}.

| | ready | first answer | last answer |
| --- | ---: | ---: | ---: |
${builds.map(({ name, found: { deaths } }) => `| ${name} | ${inSeconds(deaths.map(({ readyMs }) => readyMs))} | ${inSeconds(deaths.map(({ firstMs }) => firstMs))} | ${inSeconds(deaths.map(({ lastMs }) => lastMs))} |`).join('\n')}

${boundTable(found)}`)
}

// ------------------------------------------------------------------------------------------------ the report's head

function heading (loadBefore: string): string {
  const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: projectDir, encoding: 'utf8' }).trim()
  const isDirty = git('status', '--porcelain', '--untracked-files=no') !== ''
  return `# Benchmark

Only ratios within one run mean something: absolute figures are those of this machine at that moment.

- Date: ${new Date().toISOString().slice(0, 16)}Z
- Commit: ${git('rev-parse', '--short', 'HEAD')}${isDirty ? ' and changes that were not committed' : ''}
- Machine: ${describeMachine()}
- Load average before ${loadBefore}, after ${describeLoad()}
- Cores: ${cores.server === null ? 'not pinned' : `what is measured on core ${cores.server}; load, Redis and upstream on core ${cores.load}`}
- Command: \`npm run bench${process.argv.length > 2 ? ' -- ' + process.argv.slice(2).join(' ') : ''}\``
}

let isEnding = false

/** What was started here ends with the benchmark, however that ends. */
async function end (code: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  await endAll()
  process.exit(code)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { end(1) })
process.once('uncaughtException', error => {
  process.stderr.write(`${error.stack ?? error.message}\n`)
  end(1)
})
await end(await main())
