// The log: JSON lines without keys, and prompts only in the form that was asked for.

import { hash } from 'node:crypto'
import { tracingChannel } from 'node:diagnostics_channel'
import { pino, type DestinationStream, type Logger } from 'pino'
import { CENSOR, withoutSecrets } from './censor.ts'
import type { LogFormat, LogLevel, PromptLogging } from './settings.ts'
import { troubles, type OnTrouble, type Operation } from './trouble.ts'

export interface LoggerOptions {
  readonly level: LogLevel
  /** How a line says its level and its message; `json` unless it is told. */
  readonly format?: LogFormat
  /** The project of Google Cloud that traces are kept in, for lines of that format; `null`: lines name trace and span as in the others. */
  readonly googleProject?: string | null
  readonly destination: DestinationStream
  /** Texts that must never appear, wherever they turn up: the central fal key. Asked for each line, because a key may be replaced. */
  readonly secrets?: () => readonly string[]
}

/** Fields that hold credentials, at the top of a line and where requests and answers keep their headers. */
const CREDENTIALS = ['authorization', 'cookie', '["set-cookie"]']
const PLACES = ['', 'headers', 'req.headers', 'res.headers', 'err.headers']

/** How a format calls the level and the message. */
interface Names {
  readonly level: string
  readonly message: string
  /** What a level is called, from pino's name of it. */
  readonly called: (level: string) => string
}

/** Severities as Google Cloud Logging knows them: it reads the members `severity` and `message`, and no other level. */
const GOOGLE_SEVERITIES: Readonly<Record<string, string>> = { trace: 'DEBUG', debug: 'DEBUG', info: 'INFO', warn: 'WARNING', error: 'ERROR', fatal: 'CRITICAL' }

const formats: Readonly<Record<LogFormat, Names>> = {
  json: { level: 'level', message: 'msg', called: level => level },
  google: { level: 'severity', message: 'message', called: level => GOOGLE_SEVERITIES[level] ?? 'DEFAULT' }
}

/** A line with the names that its format has for its members. */
type Renaming = (line: object) => Record<string, unknown>

/**
 * Names trace and span as Google Cloud Logging reads them: by the members that "Structured logging" (https://cloud.google.com/logging/docs/structured-logging) calls
 * special, and the trace with its project, without which no line is linked to it (https://cloud.google.com/trace/docs/trace-log-integration).
 */
function googleNames (project: string): Renaming {
  return ({ trace_id: traceId, span_id: spanId, ...others }: { readonly trace_id?: unknown, readonly span_id?: unknown }) => ({
    ...others,
    ...traceId === undefined ? {} : { 'logging.googleapis.com/trace': `projects/${project}/traces/${String(traceId)}` },
    ...spanId === undefined ? {} : { 'logging.googleapis.com/spanId': spanId }
  })
}

/** `null`: a line stays as it is. */
function renamingOf (format: LogFormat, googleProject: string | null): Renaming | null {
  return format === 'google' && googleProject !== null ? googleNames(googleProject) : null
}

/** A logger with text levels and RFC 3339 times, which is what log stores read without being told. */
export function createLogger ({ level, format = 'json', googleProject = null, destination, secrets }: LoggerOptions): Logger {
  const rename = renamingOf(format, googleProject)
  const names = formats[format]
  const options = {
    level,
    base: BASE,
    timestamp,
    messageKey: names.message,
    formatters: { level: (label: string) => ({ [names.level]: names.called(label) }), ...rename === null ? {} : { log: rename } },
    redact: { paths: PLACES.flatMap(place => CREDENTIALS.map(field => join(place, field))), censor: CENSOR },
    ...(secrets === undefined ? {} : { hooks: { streamWrite: (line: string) => withoutSecrets(line, secrets()) } })
  }
  return pino(options, destination)
}

/** Writes a line with these members. */
type WriteLine = (line: { readonly err?: unknown }, message: string) => void

/** What writes the line of each request. */
export interface LineLog { readonly info: WriteLine, readonly error: WriteLine }

/**
 * The same log with an `info` that takes half the time: the members that all lines have, and those of the line as `JSON.stringify` writes them. It looks for no
 * credentials by the names of fields, so no line may have such fields. Lines with an error are made by pino, and all of them where an instrumentation takes part in that.
 */
export function createLineLog (log: Logger, { format = 'json', googleProject = null, destination, secrets = () => [] }: Omit<LoggerOptions, 'level'>): LineLog {
  const rename = renamingOf(format, googleProject)
  const names = formats[format]
  const { mixinSym, streamSym } = pino.symbols
  const isPlain = Reflect.get(log, mixinSym) === undefined && Reflect.get(log, streamSym) === destination
  const making = tracingChannel('pino_asJson')
  const base = JSON.stringify(BASE).slice(1, -1)
  const head = `{"${names.level}":"${names.called('info')}"`
  const messageMember = `,"${names.message}":"`

  return {
    info: (line, message) => {
      if (!isPlain || making.hasSubscribers || line.err !== undefined) log.info(line, message)
      else if (log.isLevelEnabled('info')) destination.write(withoutSecrets(`${head}${timestamp()},${base},${JSON.stringify(rename === null ? line : rename(line)).slice(1, -1)}${messageMember}${message}"}\n`, secrets()))
    },
    error: (line, message) => { log.error(line, message) }
  }
}

/** What stands in all lines. */
const BASE = { service: 'falgate', pid: process.pid }

/** The time as pino wants it: a member of the line. Lines come in bursts, and writing a time out costs as much as three other fields. */
function timestamp (): string {
  const nowMs = Date.now()
  if (nowMs !== lastTime.ms) lastTime = { ms: nowMs, member: `,"time":"${new Date(nowMs).toISOString()}"` }
  return lastTime.member
}

let lastTime = { ms: NaN, member: '' }

/** How long a line may wait for others. */
const GATHER_MS = 10

/** What is gathered at most. */
const GATHER_CHARACTERS = 64 * 1024

/**
 * Standard output, with the lines of ten milliseconds in one write: each write is handed to another thread and back, which costs more than
 * making the line. What was logged is there before the process ends, unless it is killed within that time.
 */
export function standardOutput (): DestinationStream {
  output ??= openOutput()
  return output
}

let output: DestinationStream | undefined

function openOutput (): DestinationStream & { readonly flushSync: () => void } {
  const out = pino.destination({ dest: 1, sync: false })
  let lines = ''

  function pass (): void {
    if (lines === '') return
    const text = lines
    lines = ''
    out.write(text)
  }

  function flushSync (): void {
    pass()
    out.flushSync()
  }

  process.on('exit', flushSync)
  return {
    write: line => {
      if (lines === '') setTimeout(pass, GATHER_MS)
      lines += line
      if (lines.length >= GATHER_CHARACTERS) pass()
    },
    flushSync
  }
}

function join (place: string, field: string): string {
  return place === '' || field.startsWith('[') ? place + field : `${place}.${field}`
}

/** How long failures of one operation are counted instead of logged. */
const TROUBLE_QUIET_MS = 10_000

/**
 * Logs operations that fail inside. The first failure of each is logged at once; while it goes on, a line every ten seconds says how often it failed:
 * a store that is away must not fill a disk.
 */
export function createTroubleLog (log: Logger, now: () => number = () => performance.now()): OnTrouble {
  const told = new Map<Operation, { atMs: number, repeated: number }>()
  return (operation, error) => {
    const last = told.get(operation)
    if (last !== undefined && now() - last.atMs < TROUBLE_QUIET_MS) {
      last.repeated += 1
      return
    }
    told.set(operation, { atMs: now(), repeated: 0 })
    log.error({ operation, err: error, repeated: last?.repeated === 0 ? undefined : last?.repeated }, troubles[operation].sentence)
  }
}

/** What a log line may say about a prompt. */
export interface PromptFacts { readonly prompt?: string, readonly prompt_sha256?: string, readonly prompt_characters?: number }

/** What a log line may say about a prompt: nothing, its SHA-256 and its length in characters, or the text. */
export function describePrompt (prompt: string, mode: PromptLogging): PromptFacts {
  switch (mode) {
    case 'off': return {}
    case 'hash': return { prompt_sha256: hash('sha256', prompt), prompt_characters: charactersIn(prompt) }
    case 'full': return { prompt }
  }
}

/** Code points, because halves of them are no characters to anybody. */
function charactersIn (text: string): number {
  let characters = 0
  for (let at = 0; at < text.length; at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1) characters++
  return characters
}
