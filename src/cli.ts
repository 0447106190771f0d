#!/usr/bin/env node
// The command line: the only reader of `process.env`, and the only one to choose exit codes.

import { readFileSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { startApp, type RunningApp } from './app.ts'
import { longestCloseMs } from './app/drain.ts'
import { lookAtRedis, openOperators } from './app/reach-redis.ts'
import { startSandbox } from './app/sandbox-alone.ts'
import { readArguments, type Asked } from './cli/arguments.ts'
import { bannerText } from './cli/banner.ts'
import { healthFault } from './cli/health.ts'
import { helpText } from './cli/help.ts'
import { prepare, prepareOperators } from './cli/prepare.ts'
import { parseConfig } from './config.ts'
import { builtInModels } from './models/built-in.ts'
import { createKey } from './tenants/keys.ts'

const EXIT_FAULT = 1
const EXIT_MISUSED = 2

async function main (args: readonly string[]): Promise<void> {
  const asked = readArguments(args)
  switch (asked.kind) {
    case 'misused':
      sayFaults([`${asked.message} (see falgate --help)`])
      process.exitCode = EXIT_MISUSED
      return
    case 'help': say(helpText(asked.command)); return
    case 'version': say(version()); return
    case 'run': await run(asked)
  }
}

async function run (asked: Extract<Asked, { kind: 'run' }>): Promise<void> {
  switch (asked.command) {
    case 'serve': await serve(); return
    case 'check': await check(); return
    case 'health': await health(); return
    case 'key': key(asked.tenantId); return
    case 'sandbox': await sandbox(); return
    case 'usage': await operate(async ({ usage }) => { await print(usage(asked)) }); return
    case 'unknown': await operate(async ({ unknown }) => { await print(unknown(asked.format)) }); return
    case 'settle': await operate(async ({ settle }) => {
      const { done, text } = await settle(asked.id, asked.billed)
      if (done) say(text)
      else fail([text])
    }, { isChange: true }); return
    case 'correct': await operate(async ({ correct }) => {
      const { done, text } = await correct(asked.about, asked.cost)
      if (done) say(text)
      else fail([text])
    }, { isChange: true }); return
    case 'ledger': await operate(async ({ recount }) => {
      const { done, text } = await recount(asked.isMending)
      say(text)
      if (!done) process.exitCode = EXIT_FAULT
    }, { isChange: true })
  }
}

async function serve (): Promise<void> {
  collectYoungGarbageYoung()
  const read = await prepare(process.env, builtInModels)
  if (!read.ok) { fail(read.faults); return }
  const { config } = read.prepared
  const app = await startApp({ ...read.prepared, models: builtInModels, version: version() })
  // In production standard output belongs to the log.
  if (!config.production) say(bannerText({ config, version: version(), url: app.url, seconds: performance.now() / 1000 }))
  process.on('SIGHUP', () => { app.reload() })
  closeOnSignals(app, config.waitMs)
}

/**
 * Keeps V8 from making objects old at birth. It does so at places whose objects once outlived two collections, as those of a burst of connections do.
 * From then on each request leaves old garbage that points to its young garbage, and every small collection copies what all requests since the last one
 * have left: with 500 connections that poll, a quarter of the young memory and a seventh of the process' time.
 */
function collectYoungGarbageYoung (): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}

async function sandbox (): Promise<void> {
  // The sandbox needs neither key nor tenants, so their rules must not stop it.
  const parsed = parseConfig({ ...process.env, FAL_KEY: 'sandbox', FAL_KEY_FILE: undefined, TENANTS_FILE: undefined })
  if (!parsed.ok) { fail(parsed.faults); return }
  closeOnSignals(await startSandbox({ config: parsed.config, models: builtInModels }), parsed.config.waitMs)
}

async function check (): Promise<void> {
  const read = await prepare(process.env, builtInModels)
  if (!read.ok) { fail(read.faults); return }
  const { faults, warnings } = await lookAtRedis(read.prepared)
  if (faults.length > 0) { fail(faults); return }
  for (const warning of [...read.prepared.tenants.warnings, ...warnings]) say(`warning: ${warning}`)
  say('the configuration is sound')
}

async function health (): Promise<void> {
  const parsed = parseConfig(process.env)
  if (!parsed.ok) { fail(parsed.faults); return }
  const fault = await healthFault(parsed.config)
  if (fault === null) say('the gateway lives')
  else fail([fault])
}

/** Runs an operator's command on the ledger that the environment names. One of another account than the environment's is shown, and not changed. */
async function operate (command: (operators: Awaited<ReturnType<typeof openOperators>>) => Promise<void>, { isChange = false } = {}): Promise<void> {
  const read = await prepareOperators(process.env)
  if (!read.ok) { fail(read.faults); return }
  const operators = await openOperators(read)
  try {
    const { foreign } = operators
    if (foreign !== null && isChange) { fail([foreign]); return }
    if (foreign !== null) sayFaults([`warning: ${foreign}`])
    await command(operators)
  } finally {
    await operators.close()
  }
}

/** Writes no faster than it is read; a reader that has had enough is no fault. */
async function print (lines: AsyncIterable<string>): Promise<void> {
  try {
    await pipeline(lines, process.stdout, { end: false })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error
  }
}

function key (tenantId: string): void {
  const { key, line } = createKey()
  say(`The new key, shown once and kept nowhere:

  ${key}

Its line for "keys" of tenant "${tenantId}" in the tenants file:

  ${line}`)
}

/** Ends the process in order at the first signal or unexpected error, at once at the second. */
function closeOnSignals (app: RunningApp, waitMs: number): void {
  closeWithGrace({ delay: longestCloseMs(waitMs), logger: app.log, skip: ['SIGHUP'] }, async ({ err, signal }) => {
    if (err === undefined) app.log.info({ signal }, 'closing')
    else {
      app.log.fatal({ err }, 'unexpected error, closing')
      sayFaults([`unexpected error: ${err.message}`])
    }
    await app.close()
  })
}

function version (): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}

function say (text: string): void {
  process.stdout.write(text + '\n')
}

function sayFaults (faults: readonly string[]): void {
  process.stderr.write(faults.map(fault => `falgate: ${fault}\n`).join(''))
}

function fail (faults: readonly string[]): void {
  sayFaults(faults)
  process.exitCode = EXIT_FAULT
}

main(process.argv.slice(2)).catch((error: unknown) => {
  fail([error instanceof Error ? error.message : 'unexpected error'])
  // Whatever was started on the way must not keep the process.
  process.exit()
})
