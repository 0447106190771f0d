// What was asked for on the command line.

import { parseArgs } from 'node:util'
import { parseDateTime, parseDay } from '../date-time.ts'
import { parseUsd, type MicroUsd } from '../money.ts'
import { modelOptions, readModel, type ModelWork } from './model-arguments.ts'

export const commandNames = ['serve', 'check', 'doctor', 'health', 'key', 'sandbox', 'top', 'usage', 'unknown', 'settle', 'correct', 'webhooks', 'ledger', 'media', 'export', 'import', 'model'] as const
export type CommandName = typeof commandNames[number]

/** A command, a request for help or for the version, or what could not be understood. */
export type Asked =
  | { readonly kind: 'run', readonly command: Exclude<CommandName, 'doctor' | 'top' | 'key' | 'usage' | 'unknown' | 'settle' | 'correct' | 'webhooks' | 'ledger' | 'media' | 'export' | 'import' | 'model'> }
  | { readonly kind: 'run', readonly command: 'doctor', readonly format: 'text' | 'json' }
  /** `tenantId` `null`: all. */
  | { readonly kind: 'run', readonly command: 'top', readonly once: 'text' | 'json' | null, readonly everyMs: number, readonly tenantId: string | null }
  | { readonly kind: 'run', readonly command: 'key', readonly tenantId: string }
  /** `null`: the command's own default. */
  | { readonly kind: 'run', readonly command: 'usage', readonly format: 'csv' | 'jsonl', readonly fromMs: number | null, readonly toMs: number | null }
  | { readonly kind: 'run', readonly command: 'unknown', readonly format: 'table' | 'jsonl' }
  | { readonly kind: 'run', readonly command: 'settle', readonly id: string, readonly billed: boolean }
  /** `about`: a generation, or to confirm also a model; `cost` `null`: what was booked is right. */
  | { readonly kind: 'run', readonly command: 'correct', readonly about: string, readonly cost: MicroUsd | null }
  | { readonly kind: 'run', readonly command: 'webhooks', readonly work: 'list', readonly format: 'table' | 'json', readonly isStuck: boolean, readonly tenant: string | null }
  | { readonly kind: 'run', readonly command: 'webhooks', readonly work: 'send', readonly id: string }
  | { readonly kind: 'run', readonly command: 'ledger', readonly work: 'recount' | 'mend', readonly isMending: boolean }
  | { readonly kind: 'run', readonly command: 'ledger', readonly work: 'take-back' }
  | { readonly kind: 'run', readonly command: 'media', readonly work: 'ls', readonly format: 'text' | 'json' }
  | { readonly kind: 'run', readonly command: 'media', readonly work: 'gc', readonly isDry: boolean, readonly takesStrays: boolean }
  /** `about`: the name of a file, or a generation. */
  | { readonly kind: 'run', readonly command: 'media', readonly work: 'rm', readonly about: string }
  /** `file` `null`: standard output. */
  | { readonly kind: 'run', readonly command: 'export', readonly file: string | null, readonly isMove: boolean }
  | { readonly kind: 'run', readonly command: 'import', readonly file: string, readonly takesBackup: boolean }
  | { readonly kind: 'run', readonly command: 'model', readonly about: ModelWork }
  | { readonly kind: 'help', readonly command: CommandName | null }
  | { readonly kind: 'version' }
  | { readonly kind: 'misused', readonly message: string }

const options = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
  csv: { type: 'boolean' },
  jsonl: { type: 'boolean' },
  json: { type: 'boolean' },
  once: { type: 'boolean' },
  interval: { type: 'string' },
  tenant: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  billed: { type: 'boolean' },
  unbilled: { type: 'boolean' },
  usd: { type: 'string' },
  confirm: { type: 'boolean' },
  write: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  strays: { type: 'boolean' },
  stuck: { type: 'boolean' },
  move: { type: 'boolean' },
  backup: { type: 'boolean' },
  ...modelOptions
} as const

type Parsed = ReturnType<typeof parseArgs<{ options: typeof options, allowPositionals: true }>>
type Values = Parsed['values']

/** The options that belong to one command. */
const ownOptions: Readonly<Partial<Record<CommandName, readonly (keyof Values)[]>>> = {
  doctor: ['json'],
  top: ['json', 'once', 'interval', 'tenant'],
  usage: ['csv', 'jsonl', 'from', 'to'],
  unknown: ['jsonl'],
  settle: ['billed', 'unbilled'],
  correct: ['usd', 'confirm'],
  webhooks: ['stuck', 'json', 'tenant'],
  ledger: ['write'],
  media: ['json', 'dry-run', 'strays'],
  export: ['move'],
  import: ['backup'],
  model: ['from', 'usd', 'per', 'max-usd', 'price', 'free', 'accept-price', 'cache-version', 'replace']
}

const TENANT_ID = /^[A-Za-z0-9._-]{1,64}$/
const TENANT_RULE = 'a tenant\'s id has 1 to 64 letters, digits, dots, underscores and hyphens'
const GENERATION_ID = /^[0-9A-Za-z-]{1,64}$/
const GENERATION_RULE = 'a generation\'s id has up to 64 letters, digits and hyphens'

/** Reads the arguments after `falgate`. Help wins over everything that else would be wrong. */
export function readArguments (args: readonly string[]): Asked {
  const parsed = parse(args)
  if (typeof parsed === 'string') return misused(parsed)
  const { values, positionals: [name, ...operands] } = parsed

  if (name === 'help') return readHelp(operands)
  const command = name === undefined ? 'serve' : commandNames.find(known => known === name)
  if (command === undefined) return misused(`there is no command "${name}"`)
  if (values.help === true) return { kind: 'help', command: name === undefined ? null : command }
  if (values.version === true) return { kind: 'version' }
  const stray = Object.keys(values).find(option => !ownOptions[command]?.some(own => own === option))
  if (stray !== undefined) return misused(`${command} has no option --${stray}`)

  if (command === 'key') return readKey(operands)
  if (command === 'settle') return readSettle(operands, values)
  if (command === 'correct') return readCorrect(operands, values)
  if (command === 'webhooks') return readWebhooks(operands, values)
  if (command === 'ledger') return readLedger(operands, values)
  if (command === 'media') return readMedia(operands, values)
  if (command === 'export') return readExport(operands, values)
  if (command === 'import') return readImport(operands, values)
  if (command === 'model') return readModelWork(operands, values)
  if (operands.length > 0) return misused(`${command} takes no argument`)
  if (command === 'usage') return readUsage(values)
  if (command === 'top') return readTop(values)
  if (command === 'doctor') return { kind: 'run', command, format: values.json === true ? 'json' : 'text' }
  if (command === 'unknown') return { kind: 'run', command, format: values.jsonl === true ? 'jsonl' : 'table' }
  return { kind: 'run', command }
}

/** `falgate help` says what `--help` says. */
function readHelp ([name, ...others]: readonly string[]): Asked {
  const command = name === undefined ? null : commandNames.find(known => known === name)
  if (command === undefined) return misused(`there is no command "${name}"`)
  return others.length > 0 ? misused('help takes one command at a time') : { kind: 'help', command }
}

function readKey ([tenantId, ...others]: readonly string[]): Asked {
  if (tenantId === undefined) return misused('key needs the id of a tenant')
  if (others.length > 0) return misused('key takes one tenant at a time')
  return TENANT_ID.test(tenantId) ? { kind: 'run', command: 'key', tenantId } : misused(TENANT_RULE)
}

function readSettle ([id, ...others]: readonly string[], { billed, unbilled }: Values): Asked {
  if (id === undefined) return misused('settle needs the id of a generation')
  if (others.length > 0) return misused('settle takes one generation at a time')
  if (!GENERATION_ID.test(id)) return misused(GENERATION_RULE)
  // Neither is a default: a slip of the hand must not decide about money.
  if ((billed === true) === (unbilled === true)) return misused('settle needs one of --billed and --unbilled')
  return { kind: 'run', command: 'settle', id, billed: billed === true }
}

function readWebhooks ([work, id, ...others]: readonly string[], values: Values): Asked {
  const { stuck, json } = values
  const tenant = values.tenant ?? null
  if (work === undefined) {
    if (tenant !== null && !TENANT_ID.test(tenant)) return misused(TENANT_RULE)
    return { kind: 'run', command: 'webhooks', work: 'list', format: json === true ? 'json' : 'table', isStuck: stuck === true, tenant }
  }
  if (work !== 'send') return misused('webhooks knows one word, send')
  if (id === undefined) return misused('webhooks send needs the id of a generation')
  if (others.length > 0 || stuck === true || json === true || tenant !== null) return misused('webhooks send takes one generation at a time, and no option')
  return GENERATION_ID.test(id) ? { kind: 'run', command: 'webhooks', work, id } : misused(GENERATION_RULE)
}

/** More than that is a slip of the hand, too. */
const MAX_COST = 1_000_000_000_000

const MODEL_ID = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)+$/

function readCorrect ([about, ...others]: readonly string[], { usd, confirm }: Values): Asked {
  const command = 'correct'
  if (about === undefined) return misused('correct needs the id of a generation')
  if (others.length > 0) return misused('correct takes one generation at a time')
  const isModel = MODEL_ID.test(about)
  if (!isModel && !GENERATION_ID.test(about)) return misused(GENERATION_RULE)
  if ((usd !== undefined) === (confirm === true)) return misused('correct needs one of --usd and --confirm')
  if (usd === undefined) return { kind: 'run', command, about, cost: null }
  if (isModel) return misused('of a model the price can only be confirmed')
  const cost = parseUsd(usd)
  if (cost === null || cost > MAX_COST) return misused('--usd needs dollars, as a plain number of at most a million')
  return { kind: 'run', command, about, cost }
}

function readLedger ([work, ...others]: readonly string[], { write }: Values): Asked {
  if (work === 'take-back') return others.length > 0 || write === true ? misused('ledger take-back takes no argument') : { kind: 'run', command: 'ledger', work }
  if (work !== 'recount' && work !== 'mend') return misused('ledger needs what is to be done: recount, mend or take-back')
  if (others.length > 0) return misused(`ledger ${work} takes no argument`)
  return { kind: 'run', command: 'ledger', work, isMending: write === true }
}

const FILE_NAME = /^[0-9a-f]{64}\.[a-z0-9]{1,11}$/

function readMedia ([work, ...operands]: readonly string[], { json, 'dry-run': dryRun, strays }: Values): Asked {
  const command = 'media'
  if (work !== 'ls' && work !== 'gc' && work !== 'rm') return misused('media needs what is to be done: ls, gc or rm')
  if (work !== 'ls' && json === true) return misused(`media ${work} has no option --json`)
  if (work !== 'gc' && (dryRun === true || strays === true)) return misused(`media ${work} has no option --${dryRun === true ? 'dry-run' : 'strays'}`)
  const [about, ...others] = operands
  if (work === 'rm') {
    if (about === undefined) return misused('media rm needs the name of a file, or the id of a generation')
    if (others.length > 0) return misused('media rm takes one at a time')
    return FILE_NAME.test(about) || GENERATION_ID.test(about) ? { kind: 'run', command, work, about } : misused('a file\'s name is a SHA-256 in hex with an ending, a generation\'s id has up to 64 letters, digits and hyphens')
  }
  if (about !== undefined) return misused(`media ${work} takes no argument`)
  return work === 'ls' ? { kind: 'run', command, work, format: json === true ? 'json' : 'text' } : { kind: 'run', command, work, isDry: dryRun === true, takesStrays: strays === true }
}

function readExport ([file, ...others]: readonly string[], { move }: Values): Asked {
  return others.length > 0 ? misused('export writes one file') : { kind: 'run', command: 'export', file: file ?? null, isMove: move === true }
}

function readImport ([file, ...others]: readonly string[], { backup }: Values): Asked {
  if (file === undefined) return misused('import needs the file that an export wrote')
  return others.length > 0 ? misused('import takes one file') : { kind: 'run', command: 'import', file, takesBackup: backup === true }
}

function readModelWork (operands: readonly string[], values: Values): Asked {
  const about = readModel(operands, values)
  return typeof about === 'string' ? misused(about) : { kind: 'run', command: 'model', about }
}

function readUsage ({ csv, jsonl, from, to }: Values): Asked {
  if ((csv === true) === (jsonl === true)) return misused('usage needs one of --csv and --jsonl')
  const [fromMs, toMs] = [timeOf(from), timeOf(to)]
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) return misused('--from and --to need a day such as 2026-11-01 or a time such as 2026-11-01T12:00:00Z')
  if (fromMs !== null && toMs !== null && fromMs >= toMs) return misused('--from has to be before --to')
  return { kind: 'run', command: 'usage', format: csv === true ? 'csv' : 'jsonl', fromMs, toMs }
}

const EVERY_SECONDS = 2

function readTop ({ once, json, interval, tenant }: Values): Asked {
  if (json === true && once !== true) return misused('--json needs --once')
  if (once === true && interval !== undefined) return misused('top takes --once or --interval, not both')
  const seconds = interval === undefined ? EVERY_SECONDS : /^\d{1,4}(\.\d)?$/.test(interval) ? Number(interval) : NaN
  if (!(seconds >= 0.5 && seconds <= 3600)) return misused('--interval needs seconds, from 0.5 to 3600')
  if (tenant !== undefined && !TENANT_ID.test(tenant)) return misused(TENANT_RULE)
  return { kind: 'run', command: 'top', once: once === true ? (json === true ? 'json' : 'text') : null, everyMs: seconds * 1000, tenantId: tenant ?? null }
}

/** `NaN` for what is neither a day nor a time. */
function timeOf (text: string | undefined): number | null {
  return text === undefined ? null : parseDay(text) ?? parseDateTime(text) ?? NaN
}

function parse (args: readonly string[]): Parsed | string {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    // Node explains at length; its first sentence names the option.
    return error instanceof Error ? error.message.replace(/\. .*$/s, '') : 'the options cannot be read'
  }
}

function misused (message: string): Asked {
  return { kind: 'misused', message }
}
