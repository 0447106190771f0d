// Settings: those that are faulty, and those that are sound one by one and at odds with each other or with a gateway that earns money.

import { isIP } from 'node:net'
import type { Config } from '../../config.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import type { Parts } from '../parts.ts'
import { fault, ok, warning, type Finding } from './finding.ts'

/** What a start would refuse or warn of, and what is at odds. */
export function settingsFindings ({ faults, warnings, config, loaded, tenants }: Parts): readonly Finding[] {
  const found = [
    ...faults.map(sentence => fault('settings', sentence)),
    ...[...warnings, ...loaded?.warnings ?? [], ...tenants?.warnings ?? [], ...config === null ? [] : odds(config)].map(sentence => warning('settings', sentence))
  ]
  return found.length > 0 ? found : [ok('settings', 'the environment and the files that it names are sound')]
}

/** What is allowed, and hardly meant. */
export function odds (config: Config): readonly string[] {
  const { fal, redis, disk, production, drainDelayMs, falConcurrency, logLevel, logPrompts, trustProxy, opsPort, host, largeResultBytes } = config
  const isReal = fal.kind !== 'sandbox'
  const told: readonly (readonly [isSo: boolean, sentence: string])[] = [
    [isReal && redis === null && disk === null, 'STORE is memory, with a real key: what was paid for, and what was spent, is forgotten when the process ends; leave it out, and everything is kept in DATA_DIR'],
    [redis?.unsafe === true, 'REDIS_UNSAFE is on: things are bought also with a Redis that may lose the books; mend the Redis and leave it out'],
    [isReal && !production, 'NODE_ENV: not production, with a real key: a process that is told to stop refuses work at once, and standard output has more than log lines; set it to production'],
    [production && drainDelayMs === 0, 'DRAIN_DELAY_SECONDS is 0: at each stop load balancers hand out refusals until they look again; leave it out'],
    [falConcurrency === 0, 'FAL_CONCURRENCY is 0: nothing is bought; set it to what the account at fal may run at once'],
    [logLevel === 'silent' || logLevel === 'fatal', `LOG_LEVEL is ${logLevel}: what goes wrong inside is not logged; set it to info`],
    [logPrompts === 'full', 'LOG_PROMPTS is full: the log holds prompts in clear; set it to hash unless that is meant'],
    [trustProxy === true, 'TRUST_PROXY is on: everybody may say in X-Forwarded-For who he is, which limits of addresses go by; name the proxies instead'],
    [opsPort === null && !isLoopback(host), 'OPS_PORT: not set: everybody who reaches PORT reads /metrics, which names tenants and what they spend; set it'],
    [largeResultBytes < ledgerConstants.maxLargeBytes, 'LARGE_RESULT_BYTES is less than 64 MiB: requests for pictures inside the result (sync_mode: true) are refused; raise it if they are wanted']
  ]
  return told.flatMap(([isSo, sentence]) => isSo ? [sentence] : [])
}

function isLoopback (host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
