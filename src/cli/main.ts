// What each command does, and the exit code that it ends with. Environment, streams, models and the end of the process are given, so that a command runs anywhere.

import { readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { startApp, type RunningApp } from '../app.ts'
import { longestCloseMs } from '../app/drain.ts'
import { examine } from '../app/doctor/doctor.ts'
import { unusableModels } from '../app/doctor/fal.ts'
import { lookAtFolder } from '../app/doctor/folder.ts'
import { lookAtMedia } from '../app/doctor/media.ts'
import { listJson, listText, openStored, takeOut, tidy } from '../app/media-files.ts'
import { mendFolder } from '../app/mend-folder.ts'
import { importFault, runExport, runImport, runTakeBack, type OnProgress } from '../app/moving.ts'
import { readParts } from '../app/parts.ts'
import { diskOverview, openDiskOperators } from '../app/reach-disk.ts'
import { lookAtRedis, openOperators, operatorsAt } from '../app/reach-redis.ts'
import { startSandbox } from '../app/sandbox-alone.ts'
import { parseConfig, type Config } from '../config.ts'
import { loadModels } from '../models/load.ts'
import type { ModelBook } from '../models/models.ts'
import { createKey } from '../tenants/keys.ts'
import { readArguments, type Asked } from './arguments.ts'
import { bannerText } from './banner.ts'
import { findingsJson, findingsText } from './doctor-text.ts'
import { healthFault } from './health.ts'
import { helpText } from './help.ts'
import { runModel } from './model.ts'
import type { ModelWork } from './model-arguments.ts'
import { followTenants, prepare, prepareModels, prepareMoving, prepareOperators, type TenantsSeen } from './prepare.ts'
import { createProgress } from './progress.ts'
import { lookOf } from './terminal.ts'
import { runTop, type TopOptions } from './top.ts'

const EXIT_DONE = 0
const EXIT_FAULT = 1
const EXIT_MISUSED = 2

/** How many of the last failures those on call are shown. */
const LAST_FAILURES = 20

/** What a command is given by the process that runs it. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Keys, where it is a terminal. */
  readonly stdin: () => Readable
  readonly stdout: Writable
  readonly stderr: Writable
  /** What can be bought. */
  readonly models: ModelBook
  /** Keeps the app until a signal or an unexpected error ends it. A caller waits `waitMs` at most, after work was taken for `drainDelayMs` more; files are read again when `onHangup` is called. */
  readonly keep: (app: Pick<RunningApp, 'log' | 'censor' | 'close'>, options: { readonly waitMs: number, readonly drainDelayMs?: number, readonly onHangup?: () => void }) => void
  /** Calls back at a signal that wants an end, in place of that end, until the returned function is called. */
  readonly onSignal: (end: () => void) => () => void
  /** Ends what a command had started when something went wrong that nobody foresaw. */
  readonly abandon: () => void
}

/** Runs the command that these arguments ask for. Gives its exit code. One that serves goes on after that. */
export async function main (args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { env, stdin, stdout, stderr, models, keep, onSignal, abandon } = surroundings
  const asked = readArguments(args)
  switch (asked.kind) {
    case 'misused':
      stderr.write(faultLines([`${asked.message} (see falgate --help)`]))
      return EXIT_MISUSED
    case 'help': return say(helpText(asked.command))
    case 'version': return say(version())
    case 'run': return await run(asked).catch((error: unknown) => {
      fail([sentenceOf(error)])
      abandon()
      return EXIT_FAULT
    })
  }

  async function run (asked: Extract<Asked, { kind: 'run' }>): Promise<number> {
    switch (asked.command) {
      case 'serve': return await serve()
      case 'check': return await check()
      case 'doctor': return await doctor(asked.format)
      case 'health': return await health()
      case 'key': return key(asked.tenantId)
      case 'sandbox': return await sandbox()
      case 'top': return await top(asked)
      case 'usage': return await operate(async ({ usage }) => await print(usage(asked)))
      case 'unknown': return await operate(async ({ unknown }) => await print(unknown(asked.format)))
      case 'settle': return await operate(async ({ settle }) => {
        const { done, text } = await settle(asked.id, asked.billed)
        return done ? say(text) : fail([text])
      }, { isChange: true })
      case 'correct': return await operate(async ({ correct }) => {
        const { done, text } = await correct(asked.about, asked.cost)
        return done ? say(text) : fail([text])
      }, { isChange: true })
      case 'media': return await media(asked)
      case 'webhooks':
        if (asked.work === 'list') return await operate(async ({ webhooks }) => await print(webhooks(asked)))
        return await operate(async ({ sendWebhooks }) => {
          const { done, text } = await sendWebhooks(asked.id)
          return done ? say(text) : fail([text])
        }, { isChange: true })
      case 'export': return await exportTo(asked)
      case 'import': return await importFrom(asked)
      case 'ledger': return await ledger(asked)
      case 'model': return await model(asked.about)
    }
  }

  async function serve (): Promise<number> {
    const read = await prepare(env, models)
    if (!read.ok) return fail(read.faults)
    const { config, loaded } = read.prepared
    const app = await startApp({ ...read.prepared, models, version: version() })
    // In production standard output belongs to the log.
    if (!config.production) say(bannerText({ config, accounts: read.prepared.falKeys?.map(({ name }) => name) ?? [], model: loaded.book.default, version: version(), url: app.url, seconds: performance.now() / 1000 }))
    const control = app.sandboxControl
    if (control !== null) stderr.write(`falgate: faults of the sandbox are set at ${control.url} with "Authorization: Key ${control.key}"\n`)
    keep(app, { waitMs: config.waitMs, drainDelayMs: config.drainDelayMs, onHangup: () => { app.reload() } })
    return EXIT_DONE
  }

  async function sandbox (): Promise<number> {
    // The sandbox needs neither key nor tenants, so their rules must not stop it.
    const parsed = parseConfig({ ...env, FAL_KEY: 'sandbox', FAL_KEY_FILE: undefined, TENANTS_FILE: undefined, STORE: undefined, DATA_DIR: undefined })
    if (!parsed.ok) return fail(parsed.faults)
    const { dir, default: defaultId } = parsed.config.models
    const read = await loadModels({ builtIn: models, dir, defaultId })
    if (!read.ok) return fail(read.faults)
    keep(await startSandbox({ config: parsed.config, models: read.loaded.book }), { waitMs: parsed.config.waitMs })
    return EXIT_DONE
  }

  async function check (): Promise<number> {
    const read = await prepare(env, models)
    if (!read.ok) return fail(read.faults)
    const { config, loaded, tenants } = read.prepared
    const stores = [await lookAtRedis(read.prepared), await lookAtFolder(config), await lookAtMedia(config)]
    const [faults, warnings] = [stores.flatMap(({ faults }) => faults), stores.flatMap(({ warnings }) => warnings)]
    // A gateway compiles what it needs; here all of it is tried.
    const unusable = unusableModels(loaded)
    if (faults.length + unusable.length > 0) return fail([...unusable, ...faults])
    for (const warning of [...read.prepared.warnings, ...loaded.warnings, ...tenants.warnings, ...warnings]) say(`warning: ${warning}`)
    if (config.proxy !== null) say('warning: behind the proxy of HTTPS_PROXY names are resolved by that proxy: which addresses can be reached from here is for its own lists of hosts to say')
    const { falKeys } = read.prepared
    if (falKeys !== null && falKeys.length > 1) say(`accounts at fal: ${falKeys.map(({ name, slots }) => `${name} (${slots ?? config.falConcurrency} at once)`).join(', ')}`)
    if (config.fal.kind !== 'sandbox') say('not tried: whether fal can be reached, takes the key and has a balance')
    say(`a stop takes ${longestCloseMs(config) / 1000} s at most: give it more, as stop_grace_period or terminationGracePeriodSeconds`)
    return say('the configuration is sound')
  }

  async function doctor (format: 'text' | 'json'): Promise<number> {
    const findings = await examine(await readParts(env, models))
    say(format === 'json' ? findingsJson(findings) : findingsText(findings, lookOf(stdout, env)))
    return findings.some(({ verdict }) => verdict === 'fault') ? EXIT_FAULT : EXIT_DONE
  }

  async function model (work: ModelWork): Promise<number> {
    const read = await prepareModels(env)
    if (!read.ok) return fail(read.faults)
    const { lines, faults, code } = await runModel(work, { ...read, builtIn: models })
    if (lines.length > 0) say(lines.join('\n'))
    if (faults.length > 0) fail(faults)
    return code
  }

  async function top ({ tenantId, ...options }: TopOptions & { readonly tenantId: string | null }): Promise<number> {
    const read = await prepareOperators(env)
    if (!read.ok) return fail(read.faults)
    const tenantsNow = followTenants(env, models)
    let tenants: TenantsSeen = { book: null, notes: [] }
    // A window without accounts: one that has them would make those known to the ledger that it has not met.
    const { connect, overview: overviewNow, close } = read.disk === null ? operatorsAt({ ...read, accounts: null }) : { connect: async () => {}, overview: diskOverview(read.config, read.disk.folder), close: async () => {} }
    const { config: { falConcurrency, redis, disk }, accounts: own } = read
    let isReached = false
    let isForeign = false
    try {
      await runTop(options, {
        env,
        stdin: stdin(),
        stdout,
        read: async () => {
          tenants = await tenantsNow()
          if (!isReached) await connect()
          isReached = true
          const overview = await overviewNow({ book: tenants.book, falConcurrency, own, tenant: tenantId, failures: LAST_FAILURES })
          isForeign = overview.isForeign
          return overview
        },
        notes: () => isForeign ? [...tenants.notes, 'the ledger is that of another account than FAL_KEY, FAL_KEY_FILE and FAL_ACCOUNT name'] : tenants.notes,
        name: `Ledger ${redis?.namespace ?? disk?.folder ?? ''}${tenantId === null ? '' : `, tenant ${tenantId}`}`,
        onSignal
      })
      return EXIT_DONE
    } finally {
      await close()
    }
  }

  async function ledger (asked: Extract<Asked, { command: 'ledger' }>): Promise<number> {
    switch (asked.work) {
      case 'take-back': return await takeBack()
      case 'mend': return await mend(asked.isMending)
      case 'recount': return await operate(async ({ recount }) => tell(await recount(asked.isMending)), { isChange: true })
    }
  }

  async function media (asked: Extract<Asked, { command: 'media' }>): Promise<number> {
    if (asked.work === 'ls') return await operate(async ({ files }) => await print(asked.format === 'json' ? listJson(files) : listText(files)))
    return await operate(async (operators, config) => {
      const { store, terms } = await openStored(config)
      try {
        if (asked.work === 'rm') return tell(await takeOut(operators.files, store, asked.about))
        return tell(await withProgress(async onProgress => await tidy(operators, { store, terms }, { ...asked, onFiles: (doing, done) => { onProgress(doing)(done, null) } })))
      } finally {
        await store.close()
      }
    }, { isChange: true })
  }

  async function mend (isWriting: boolean): Promise<number> {
    const read = await prepareOperators(env)
    if (!read.ok) return fail(read.faults)
    if (read.disk === null) return fail(['DATA_DIR: not set; what mend puts right is a ledger in a folder, and this one is in Redis, which has tools of its own for its files'])
    return tell(await mendFolder(read.config, read.disk.folder, isWriting))
  }

  async function health (): Promise<number> {
    const parsed = parseConfig(env)
    if (!parsed.ok) return fail(parsed.faults)
    const fault = await healthFault(parsed.config)
    return fault === null ? say('the gateway lives') : fail([fault])
  }

  /** Runs an operator's command on the ledger that the environment names. One of another account than the environment's is shown, and not changed. */
  async function operate (command: (operators: Awaited<ReturnType<typeof openDiskOperators>>, config: Config) => Promise<number>, { isChange = false } = {}): Promise<number> {
    const read = await prepareOperators(env)
    if (!read.ok) return fail(read.faults)
    if (read.disk !== null) {
      const operators = await openDiskOperators(read.config, read.disk.folder)
      return await command(operators, read.config).finally(operators.close)
    }
    const operators = await openOperators(read)
    try {
      const foreign = operators.foreign()
      if (foreign !== null && isChange) return fail([foreign])
      if (foreign !== null) stderr.write(faultLines([`warning: ${foreign}`]))
      return await command(operators, read.config)
    } finally {
      await operators.close()
    }
  }

  async function exportTo ({ file, isMove }: { readonly file: string | null, readonly isMove: boolean }): Promise<number> {
    const read = await prepareMoving(env)
    if (!read.ok) return fail(read.faults)
    await withProgress(async onProgress => { await runExport(read.at, { version: version(), isMove, to: file ?? stdout, onProgress }) })
    const done = isMove ? 'the ledger is moved away: import the file, and start gateways there' : 'a backup is written'
    stderr.write(`falgate: ${done}${file === null ? '' : `; the file is ${file}, keep it as secret as the ledger`}\n`)
    return EXIT_DONE
  }

  async function importFrom ({ file, takesBackup }: { readonly file: string, readonly takesBackup: boolean }): Promise<number> {
    const [read, fault] = await Promise.all([prepareMoving(env), importFault(file)])
    if (!read.ok || fault !== null) return fail([...(read.ok ? [] : read.faults), ...(fault === null ? [] : [fault])])
    const count = await withProgress(async onProgress => await runImport(read.at, { from: file, takesBackup, onProgress }))
    return say(`the ledger is there: ${count} entries are imported; gateways may be started`)
  }

  async function takeBack (): Promise<number> {
    const read = await prepareMoving(env)
    if (!read.ok) return fail(read.faults)
    const whose = await runTakeBack(read.at)
    return say(`the ledger of ${whose} is taken back; the file of its export must be imported nowhere from now on`)
  }

  /** Tells how far the work is that is given what to tell it with. */
  async function withProgress<Result> (work: (onProgress: (doing: string) => ReturnType<OnProgress>) => Promise<Result>): Promise<Result> {
    const progress = createProgress(stderr)
    return await work(doing => (done, all) => { progress.tell(doing, done, all) }).finally(progress.end)
  }

  /** Writes no faster than it is read; a reader that has had enough is no fault. */
  async function print (lines: AsyncIterable<string>): Promise<number> {
    try {
      await pipeline(lines, stdout, { end: false })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error
    }
    return EXIT_DONE
  }

  function key (tenantId: string): number {
    const { key, line } = createKey()
    return say(`The new key, shown once and kept nowhere:

  ${key}

fal's own clients take it as FAL_KEY, or in two parts: what stands before the colon as FAL_KEY_ID, what follows it as FAL_KEY_SECRET.

Its line for "keys" of tenant "${tenantId}" in the tenants file:

  ${line}`)
  }

  /** What was found; with the exit code of whether something is left to do. */
  function tell ({ done, text }: { readonly done: boolean, readonly text: string }): number {
    say(text)
    return done ? EXIT_DONE : EXIT_FAULT
  }

  function say (text: string): number {
    stdout.write(text + '\n')
    return EXIT_DONE
  }

  function fail (faults: readonly string[]): number {
    stderr.write(faultLines(faults))
    return EXIT_FAULT
  }
}

/** What went wrong, and what to do where that is plain. */
function sentenceOf (error: unknown): string {
  if (!(error instanceof Error)) return 'unexpected error'
  return 'code' in error && error.code === 'EADDRINUSE' ? `${error.message}: something else listens there; set PORT, or OPS_PORT where that is its port` : error.message
}

/** What standard error says of these: a line each. */
export function faultLines (faults: readonly string[]): string {
  return faults.map(fault => `falgate: ${fault}\n`).join('')
}

function version (): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}
