// What a whole generation costs Redis, call by call, as a gateway under load makes them.
// node build/test/bench/redis-calls.js --help

import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { listOf } from '../../src/generation/fields.ts'
import { check, falgateMiss, startGateway, startGround, type Ground } from './contestants.ts'
import { measure } from './load.ts'
import { cpuUsOf, describeLoad, describeMachine, endAll, pinSelf } from './machine.ts'
import { median } from './report.ts'

const HELP = `node build/test/bench/redis-calls.js [options]

Floods a gateway with whole generations. Redis writes down how long each call of the ledger runs, and what its process uses in all.

  --against <folder>  another build of falgate, in turn with this one
  --rounds <n>        rounds of each (default 3)
  --seconds <n>       length of a round (default 3)
  --connections <n>   callers at a time (default 32)
`

/** One kind of call in one round: how many there were for each generation, and how long one ran. */
interface Calls { readonly perGeneration: number, readonly medianUs: number }

/** One round: CPU of a generation, microseconds. */
interface Costs { readonly redisUs: number, readonly gatewayUs: number, readonly commands: number, readonly calls: ReadonlyMap<string, Calls> }

/** Far more calls than a round makes. */
const KEPT = 200_000

/** Redis logs what runs for longer than this: calls of the ledger, and not the commands that they are made of, which would take longer to log than to run. */
const CALL_US = 20

const { values } = parseArgs({ options: { against: { type: 'string' }, rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '3' }, connections: { type: 'string', default: '32' }, help: { type: 'boolean' } } })
if (values.help === true) {
  process.stdout.write(HELP)
} else {
  try {
    await main(Number(values.rounds), Number(values.seconds), Number(values.connections), values.against)
  } finally {
    await endAll()
  }
}

async function main (rounds: number, seconds: number, connections: number, against: string | undefined): Promise<void> {
  pinSelf()
  const ground = await startGround()
  const builds = [{ name: 'this build', cli: undefined }, ...(against === undefined ? [] : [{ name: 'the other', cli: join(resolve(against), 'build/src/cli.js') }])]
    .map(build => ({ ...build, measured: new Array<Costs>() }))
  for (let round = 0; round < rounds; round++) {
    for (const { name, cli, measured } of round % 2 === 0 ? builds : builds.toReversed()) {
      measured.push(await measureRound(ground, `${name}-${round}`.replaceAll(' ', '-'), cli, connections, seconds))
    }
  }
  process.stdout.write(`${describeMachine()}, load ${describeLoad()}; ${rounds} rounds of ${seconds} s, ${connections} at a time, medians\n`)
  for (const { name, measured } of builds) process.stdout.write(`\n${name}\n\n${tableOf(measured)}\n`)
}

async function measureRound (ground: Ground, name: string, cli: string | undefined, connections: number, seconds: number): Promise<Costs> {
  const redis = new Redis(ground.redisPort)
  const gateway = await startGateway(ground, { name, ...(cli === undefined ? {} : { cli }) })
  const contestant = falgateMiss(gateway)
  await check(contestant)
  await measure(contestant, connections, seconds)
  const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1])
  await redis.config('SET', 'slowlog-max-len', KEPT, 'slowlog-log-slower-than', CALL_US)
  await redis.call('SLOWLOG', 'RESET')
  await redis.config('RESETSTAT')
  const beforeUs = cpuUsOf(pid)
  const { cpuUs: gatewayUs } = await measure(contestant, connections, seconds)
  const usedUs = cpuUsOf(pid) - beforeUs
  await redis.config('SET', 'slowlog-log-slower-than', -1)
  const commands = [...(await redis.info('commandstats')).matchAll(/cmdstat_[^:]+:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
  const tookUs = durationsIn(await redis.call('SLOWLOG', 'GET', KEPT))
  redis.disconnect()
  await gateway.stop()
  const generations = tookUs.get('finish')?.length ?? NaN
  const calls = [...tookUs].map(([call, us]): [string, Calls] => [call, { perGeneration: us.length / generations, medianUs: median(us) }])
  return { redisUs: usedUs / generations, gatewayUs, commands: commands / generations, calls: new Map(calls) }
}

/** How long each call ran, by the ledger's operation or the command. */
function durationsIn (slowlog: unknown): ReadonlyMap<string, number[]> {
  const found = new Map<string, number[]>()
  for (const entry of listOf(slowlog)) {
    const [,, us, given] = listOf(entry)
    const [command, ...args] = listOf(given).map(String)
    const name = /^(fcall|evalsha)$/i.test(command ?? '') ? args[4] ?? '' : command ?? ''
    const durations = found.get(name) ?? []
    durations.push(Number(us))
    found.set(name, durations)
  }
  return found
}

function tableOf (measured: readonly Costs[]): string {
  const names = [...new Set(measured.flatMap(({ calls }) => [...calls.keys()]))]
  const rows = names.map(name => {
    const perGeneration = median(measured.map(({ calls }) => calls.get(name)?.perGeneration ?? 0))
    const us = median(measured.flatMap(({ calls }) => calls.get(name)?.medianUs ?? []))
    return { name, perGeneration, us, sum: perGeneration * us }
  }).filter(({ perGeneration }) => perGeneration > 0.01).toSorted((one, other) => other.sum - one.sum)
  const lines = rows.map(({ name, perGeneration, us, sum }) => `| ${name} | ${perGeneration.toFixed(2)} | ${us.toFixed(0)} | ${sum.toFixed(0)} |`)
  const inCalls = rows.reduce((sum, row) => sum + row.sum, 0)
  const medianOf = (numberOf: (costs: Costs) => number): string => median(measured.map(numberOf)).toFixed(0)
  return ['| call | a generation | µs each | µs a generation |', '| --- | ---: | ---: | ---: |', ...lines].join('\n') +
    `\n\nCalls run for ${inCalls.toFixed(0)} µs a generation; Redis' process uses ${medianOf(({ redisUs }) => redisUs)} µs of CPU and runs ${medianOf(({ commands }) => commands)} commands, the gateway's ${medianOf(({ gatewayUs }) => gatewayUs)} µs.`
}
