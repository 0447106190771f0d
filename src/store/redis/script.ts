// The ledger's Lua: one source, known to Redis as a library of functions and, where none can be loaded, as scripts. Each twice, because `allow-oom`
// belongs to a function or script and not to a call (rule 15).
//
// A script makes its closures again with every call, which cost 45 us of the 55 that a call took; a library's are made once, when it is loaded. Its name holds
// a hash of its source, so older and newer replicas have one each. Redis keeps libraries in its files and passes them on to its replicas.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { entriesOf, initialTextOf } from '../../generation/fields.ts'
import { hiddenFields, largeFields, listedFields, rowFields, termFields } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { openOperations } from '../../generation/ledger.ts'
import { moves, phases, statusOf } from '../../generation/phases.ts'
import { movingWords, NOBODYS_LEDGER, UNMARKED_LEDGER } from '../../upstream-account.ts'
import { firstFields, folds, rareFields } from './folds.ts'

/** A script as Redis knows it. */
export interface Script { readonly source: string, readonly sha: string }

/** The operations under one header: a function of the library, and the script that takes its place. */
export interface Program { readonly functionName: string, readonly script: Script }

export interface Scripts {
  /** Both programs as a library, for FUNCTION LOAD. */
  readonly library: string
  /** Refused as a whole, before its first write, when Redis' memory is full: for admission. */
  readonly bounded: Program
  /** May exceed `maxmemory`: for everything else. */
  readonly unbounded: Program
  /** Reads the whole namespace: for tests. */
  readonly audit: Script
}

/**
 * What the operations are made of, in the order in which the parts need each other. Each part is a block of its own that returns a table, known to the parts
 * behind it by this name: Lua 5.1 allows a chunk 200 local names and a function 60 names from outside.
 */
const blocks = [
  'Folds', 'Tokens', 'Tickets', 'Books', 'Accounts', 'Breakers', 'Queue', 'Aside', 'Kept', 'Tally', 'HookPlaces', 'Rows', 'Logs', 'Outbox', 'Requests', 'Names', 'Duplicates', 'Media', 'Prices', 'History', 'Hooks', 'Admission', 'Claim', 'Evidence', 'Erase', 'Restore', 'Leases', 'Delivery',
  'Readers', 'Decisions', 'Rights', 'Recount', 'Moving'
] as const

/** What is asked of Redis outside of scripts, by those who list, wait or lay aside. Connecting takes HELLO and INFO, a database SELECT, and scripts what runs them. */
const plainCommands = ['HMGET', 'MGET', 'PUBLISH', 'SUBSCRIBE', 'UNSUBSCRIBE', 'ZCOUNT', 'ZRANGEBYSCORE']

/** What an export reads, and an import removes of one that was broken off, outside of scripts. */
const plainMoveCommands = ['HGETALL', 'HLEN', 'HMGET', 'HSCAN', 'LRANGE', 'MGET', 'PEXPIRETIME', 'SCAN', 'UNLINK', 'XLEN', 'XRANGE', 'XREVRANGE', 'ZRANGE', 'ZSCORE']

/** The commands that this Lua calls, in capitals and in order. */
export function commandsIn (source: string): readonly string[] {
  return [...new Set([...source.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, command = '']) => command))].sort()
}

/** What a gateway's Redis user has to be allowed on the ledger's keys and channels, beside what connects and what runs scripts. */
export function ledgerCommands (): readonly string[] {
  const lua = ['base', ...blocks.filter(name => !operatorsBlocks.some(own => own === name)).map(fileOf), 'operations'].map(read).join('\n')
  return [...new Set([...commandsIn(lua), ...plainCommands])].sort()
}

/** Those that only operators' commands on a whole ledger use. */
const operatorsBlocks = ['Recount', 'Moving'] as const

/** What `falgate ledger recount` needs beside that. */
export function countCommands (): readonly string[] {
  const gateways = new Set(ledgerCommands())
  return [...commandsIn(read('recount')), 'SCAN'].filter(command => !gateways.has(command)).sort()
}

/** What `falgate export` and `import` need beside what a gateway's user is allowed. */
export function moveCommands (): readonly string[] {
  const gateways = new Set(ledgerCommands())
  return [...new Set([...commandsIn(read('moving')), ...plainMoveCommands])].filter(command => !gateways.has(command)).sort()
}

/** Lua stands in `src/` as it was written; this file runs from `build/src/store/redis/`. */
const folder = new URL('../../../../src/store/redis/lua/', import.meta.url)

/** Reads and puts together the library and the scripts; once per ledger. */
export function readScripts (): Scripts {
  const operations = operationsSource()
  const name = 'falgate_' + shaOf(operations).slice(0, 16)
  const boundedName = name + '_bounded'
  const call = operations + '\nreturn run(KEYS, ARGV)\n'
  return {
    library: `#!lua name=${name}\n${operations}
redis.register_function{ function_name = '${boundedName}', callback = run }
redis.register_function{ function_name = '${name}', callback = run, flags = { 'allow-oom' } }\n`,
    bounded: { functionName: boundedName, script: scriptOf('#!lua\n' + call) },
    unbounded: { functionName: name, script: scriptOf('#!lua flags=allow-oom\n' + call) },
    audit: scriptOf('#!lua flags=allow-oom\n' + operations + read('audit'))
  }
}

/**
 * The chunk of all operations. When it is loaded as a library it can only define: nothing of Lua, not even `ipairs`, may be called outside of functions.
 * What follows it may call `run`. `extra` goes to the top of every block: a test of the headroom.
 */
export function operationsSource (extra = ''): string {
  return [facts(), read('base'), rowFunctions(), ...blocks.map(name => `local ${name} = (function ()\n${extra}${read(fileOf(name))}end)()`), read('operations')].join('\n')
}

/** `Tokens` stands in `tokens.lua`. */
function fileOf (block: string): string {
  return block.toLowerCase()
}

/** What TypeScript knows already, as Lua: the legal moves, the public words for phases, the constants of the rules, the fields of a row, the commands that it calls. */
function facts (): string {
  const legal = Object.entries(moves).map(([from, to]) => `${from} = ${table(to.map(phase => `${phase} = true`))}`)
  const words = phases.map(phase => `${phase} = '${statusOf(phase)}'`)
  const limits = Object.entries(ledgerConstants).map(([name, value]) => `${name} = ${value}`)
  const open = openOperations.map(name => `${name} = true`)
  return `local moves = ${table(legal)}\nlocal statuses = ${table(words)}\nlocal constants = ${table(limits)}\nlocal fields = ${table(fieldFacts())}
local openOperations = ${table(open)}\nlocal commands = { gateway = ${listOfTexts(ledgerCommands())}, recount = ${listOfTexts([...ledgerCommands(), ...countCommands()])}, move = ${listOfTexts([...ledgerCommands(), ...moveCommands()])} }
local ledgers = { compact = 'compact', unmarked = '${UNMARKED_LEDGER}', nobodys = '${NOBODYS_LEDGER}', moving = ${listOfTexts(movingWords)} }`
}

/**
 * What is done with each field of every row that is read or changed, written out field by field: a loop over their names takes Lua three times as long, and a table
 * that is made with its fields is not made larger five times. A field whose initial value has no text is not there in a new row.
 */
function rowFunctions (): string {
  const all = [...entriesOf(rowFields), ...entriesOf(hiddenFields)]
  const typed = all.flatMap(([name, { kind }]) => {
    if (kind === 'integer') return [`${name} = kept.${name} and kept.${name} + 0`]
    return kind === 'flag' ? [`${name} = kept.${name} == '1' or nil`] : []
  })
  const texts = all.map(([name, { kind }]) => {
    if (kind === 'integer') return `${name} = row.${name} and text(row.${name}) or nil`
    return `${name} = row.${name}${kind === 'flag' ? " and '1'" : ''} or nil`
  })
  const begun = all.flatMap(([name, field]) => {
    if (field.from === 'admitted') return [`${name} = admission.${name}`]
    const initial = field.from === 'initial' ? initialTextOf(field) : undefined
    return initial === undefined ? [] : [`${name} = ${field.kind === 'integer' ? initial : `'${initial}'`}`]
  })
  const lines = Object.keys(listedFields).map(name => `(kept.${name} or '')`)
  // One name of the 200 that Lua allows at the top.
  return `local RowTexts = (function ()
-- A row's numbers and flags, from its texts.
local function typedOf (id, kept)
  return { id = id, texts = kept, ${typed.join(', ')} }
end
-- The texts of a whole row.
local function textsOf (row)
  return { ${texts.join(', ')}, bytes = row.bytes, schema = row.schema }
end
-- A new row as far as it follows from its admission.
local function begunFrom (admission)
  return { id = admission.id, ${begun.join(', ')} }
end
-- The fields that a list shows, a line each, from the texts of a row.
local function listedLines (kept)
  return ${lines.join(" .. '\\n' .. ")}
end
-- What callers are shown of a row, from its texts.
local function shownOf (kept, id, purchase)
  return { id = id, purchase = purchase, stored = nil, ${Object.keys(rowFields).map(name => `${name} = kept.${name}`).join(', ')} }
end
local folds, unfolds = {}, {}
${Object.entries(folds).map(([fold, names]) => foldFunctions(fold, names)).join('\n')}
${unfoldedFunction()}
-- Of where a row stands what its delivery asks for, and how it stands when it is delivered.
local function delivered (stand)
  local ${folds.s.join(', ')} = cmsgpack.unpack(stand)
  return phase, delivered, joinsTwins, cmsgpack.pack(${folds.s.map(name => name === 'delivered' ? "'1'" : name).join(', ')})
end
return { typedOf = typedOf, textsOf = textsOf, begunFrom = begunFrom, listedLines = listedLines, shownOf = shownOf, folds = folds, unfolds = unfolds, unfolded = unfolded, delivered = delivered }
end)()`
}

/** What several fields of a row are in one text, and the way back. */
function foldFunctions (fold: string, names: readonly string[]): string {
  return `function folds.${fold} (kept)
  return cmsgpack.pack(${names.map(name => `kept.${name}`).join(', ')})
end
function unfolds.${fold} (text)
  local ${names.join(', ')} = cmsgpack.unpack(text)
  return { ${names.map(name => `${name} = ${name}`).join(', ')} }
end`
}

/** All fields of a row from its hash, with room for those that most rows have: a table that is made larger takes as long as one that is made anew. */
function unfoldedFunction (): string {
  const all = [...entriesOf(rowFields), ...entriesOf(hiddenFields)].map(([name]) => name)
  const inFolds = Object.values(folds).flatMap<string>(names => names)
  const alone = all.filter(name => !inFolds.includes(name) && name !== 'accounts')
  const isRare = (name: string): boolean => rareFields.some(rare => rare === name)
  return `local function unfolded (record, accounts)
${Object.entries(folds).map(([fold, names]) => `  local ${names.join(', ')} = cmsgpack.unpack(record.${fold})`).join('\n')}
  local kept = { ${[...inFolds.map(name => `${name} = ${name}`), ...alone.filter(name => !isRare(name)).map(name => `${name} = record.${name}`)].join(', ')}, accounts = accounts, bytes = record.bytes, s = record.s }
  ${alone.filter(isRare).map(name => `if record.${name} then kept.${name} = record.${name} end`).join('\n  ')}
  return kept
end`
}

function fieldFacts (): readonly string[] {
  const all = [...entriesOf(rowFields), ...entriesOf(hiddenFields)]
  return [
    `brief = ${listOfTexts([...all.map(([name]) => name).filter(name => !largeFields.some(large => large === name)), 'schema', 'bytes', ...Object.keys(folds)])}`,
    `shown = ${listOfTexts(Object.keys(rowFields))}`,
    `terms = ${listOfTexts(Object.keys(termFields))}`,
    `listed = ${listOfTexts(Object.keys(listedFields))}`,
    `isListed = ${table(Object.keys(listedFields).map(name => `${name} = true`))}`,
    `large = ${listOfTexts(largeFields)}`,
    `folds = ${table(Object.entries(folds).map(([fold, names]) => `${fold} = ${listOfTexts(names)}`))}`,
    `foldOf = ${table(Object.entries(folds).flatMap(([fold, names]) => names.map(name => `${name} = '${fold}'`)))}`,
    `first = ${listOfTexts(firstFields)}`,
    `isWritten = ${table([...Object.values(folds).flat(), ...firstFields, 'accounts', 'schema'].map(name => `${name} = true`))}`,
    `isLarge = ${table(largeFields.map(name => `${name} = true`))}`,
    `kinds = ${table(all.flatMap(([name, { kind }]) => kind === 'text' ? [] : [`${name} = '${kind}'`]))}`
  ]
}

function table (entries: readonly string[]): string {
  return `{ ${entries.join(', ')} }`
}

function listOfTexts (texts: readonly string[]): string {
  return table(texts.map(text => `'${text}'`))
}

function read (part: string): string {
  return readFileSync(new URL(part + '.lua', folder), 'utf8')
}

function scriptOf (source: string): Script {
  return { source, sha: shaOf(source) }
}

/** SHA-1 is what Redis names scripts by. */
function shaOf (source: string): string {
  return createHash('sha1').update(source).digest('hex')
}
