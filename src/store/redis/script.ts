// The ledger's Lua: one source, loaded under two headers, because `allow-oom` belongs to a script and not to a call (rule 15).

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { moves } from '../../generation/phases.ts'
import { ledgerConstants } from '../../generation/ports.ts'

/** A script as Redis knows it. */
export interface Script { readonly source: string, readonly sha: string }

export interface Scripts {
  /** Refused as a whole, before its first write, when Redis' memory is full: for admission. */
  readonly bounded: Script
  /** May exceed `maxmemory`: for everything else. */
  readonly unbounded: Script
  /** Reads the whole namespace: for tests. */
  readonly audit: Script
}

/** What the operations are made of, in the order in which the parts need each other. */
const parts = [
  'base', 'tokens', 'books', 'guards', 'line', 'rows', 'logs', 'news', 'names', 'twins', 'admit', 'claim', 'evidence', 'leases', 'delivery', 'readers', 'verdicts'
] as const

/** Lua stands in `src/` as it was written; this file runs from `build/src/store/redis/`. */
const folder = new URL('../../../../src/store/redis/lua/', import.meta.url)

/** Reads and puts together the scripts; once per ledger. */
export function readScripts (): Scripts {
  const shared = [facts(), ...parts.map(read)].join('\n')
  const operations = read('operations')
  return {
    bounded: scriptOf('#!lua\n' + shared + operations),
    unbounded: scriptOf('#!lua flags=allow-oom\n' + shared + operations),
    audit: scriptOf('#!lua flags=allow-oom\n' + shared + read('audit'))
  }
}

/** What TypeScript knows already, as Lua: the legal moves and the constants of the rules. */
function facts (): string {
  const table = (fields: readonly string[]): string => `{ ${fields.join(', ')} }`
  const legal = Object.entries(moves).map(([from, to]) => `${from} = ${table(to.map(phase => `${phase} = true`))}`)
  const limits = Object.entries(ledgerConstants).map(([name, value]) => `${name} = ${value}`)
  return `local moves = ${table(legal)}\nlocal constants = ${table(limits)}`
}

function read (part: string): string {
  return readFileSync(new URL(part + '.lua', folder), 'utf8')
}

function scriptOf (source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}
