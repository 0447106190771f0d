#!/usr/bin/env node
// The process around the command line: the only reader of `process.env`, the only one that listens for signals and ends the process.

import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { longestCloseMs } from './app/drain.ts'
import { faultLines, main, type Surroundings } from './cli/main.ts'
import { takeConsole } from './library-words.ts'
import { builtInModels } from './models/built-in.ts'

/**
 * Keeps V8 from making objects old at birth. It does so at places whose objects once outlived two collections, as those of a burst of connections do.
 * From then on each request leaves old garbage that points to its young garbage, and every small collection copies what all requests since the last one
 * have left: with 500 connections that poll, a quarter of the young memory and a seventh of the process' time.
 */
setFlagsFromString('--no-allocation-site-pretenuring')

const library = takeConsole()
process.on('exit', () => { process.stderr.write(faultLines(library.untold().map(text => `warning: ${text}`))) })

/** Ends the process in order at the first signal or unexpected error, at once at the second. */
const keep: Surroundings['keep'] = (app, { waitMs, drainDelayMs = 0, onHangup }) => {
  library.tellTo(text => { app.log.warn({ library: text }, 'a library says something') })
  if (onHangup !== undefined) process.on('SIGHUP', onHangup)
  closeWithGrace({ delay: longestCloseMs({ waitMs, drainDelayMs }), logger: app.log, skip: ['SIGHUP'] }, async ({ err, signal }) => {
    if (err === undefined) app.log.info({ signal }, 'closing')
    else {
      app.log.fatal({ err }, 'unexpected error, closing')
      process.stderr.write(faultLines([`unexpected error: ${app.censor(err.message)}`]))
    }
    // An orchestrator says SIGTERM, and has load balancers send no more. Ctrl-C is pressed by somebody who waits for the end.
    await app.close({ isHurried: signal !== 'SIGTERM' })
  })
}

/** A command that owns the terminal gives it back before it ends. */
const onSignal: Surroundings['onSignal'] = end => {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, end)
  return () => { for (const signal of signals) process.off(signal, end) }
}

process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  models: builtInModels,
  keep,
  onSignal,
  abandon: () => { process.exit(1) }
})
