// The central keys of fal: one, or one for each of several accounts, as they stand in a file.

import { mistakeIn } from './environment.ts'
import { integer, namespace, secret } from './setting-kinds.ts'

/** The key of an account. `slots`: how many generations may be at fal with it at once; `null`: as many as FAL_CONCURRENCY says. */
export interface FalKey { readonly name: string, readonly key: string, readonly slots: number | null }

/** More accounts are a list that nobody keeps by hand, and each has metrics of its own. */
const MAX_KEYS = 16

const MAX_SLOTS = 10_000
const OPTION = 'concurrency='
const FORM = 'a name, a key and perhaps concurrency=<number>, apart by spaces'

/**
 * The keys in a file: one bare key, whose account is called `bareName`, or a line for each account: `<name> <key>`, perhaps with `concurrency=<number>` behind it. Empty
 * lines and lines that begin with `#` are left out. Faults name lines, and nothing of what stands there.
 */
export function parseFalKeys (text: string, bareName: string): { readonly ok: true, readonly keys: readonly FalKey[] } | { readonly ok: false, readonly faults: readonly string[] } {
  const lines = text.split(/\r?\n/).flatMap((line, index) => {
    const words = line.trim().split(/\s+/)
    return words[0] === '' || line.trim().startsWith('#') ? [] : [{ number: index + 1, words, line: line.trim() }]
  })
  const [first] = lines
  if (first === undefined) return { ok: false, faults: ['the file does not hold a key'] }
  if (lines.length > MAX_KEYS) return { ok: false, faults: [`${lines.length} lines with keys: there may be at most ${MAX_KEYS}`] }
  if (lines.length === 1 && (first.words.length === 1 || mistakeIn('FAL_KEY', first.line) !== null)) return bareKey(first.line, bareName)
  const read = lines.map(({ number, words }) => readLine(words, number))
  const faults = read.flatMap(found => typeof found === 'string' ? [found] : [])
  if (faults.length > 0) return { ok: false, faults }
  const keys = read.flatMap(found => typeof found === 'string' ? [] : [found])
  const doubles = [...twice(keys, ({ name }) => name, 'name'), ...twice(keys, ({ key }) => key, 'key')]
  if (doubles.length > 0) return { ok: false, faults: doubles }
  return { ok: true, keys: keys.map(({ number, ...key }) => key) }
}

function bareKey (text: string, name: string): ReturnType<typeof parseFalKeys> {
  const mistake = mistakeIn('FAL_KEY', text)
  if (mistake !== null) return { ok: false, faults: [`its content ${mistake}`] }
  const key = secret().parse(text)
  if (key === null) return { ok: false, faults: ['the file does not hold a key'] }
  if (key === 'sandbox') return { ok: false, faults: ['the file holds the word sandbox; use FAL_KEY=sandbox'] }
  return { ok: true, keys: [{ name, key, slots: null }] }
}

/** The key of a line, or what is wrong with it. */
function readLine (words: readonly string[], number: number): FalKey & { readonly number: number } | string {
  const [name = '', key, option, ...others] = words
  const where = `line ${number}:`
  if (key === undefined) return `${where} where there are several keys, each line is ${FORM}`
  // The words of a line are never told: one of them is a key.
  if (namespace().parse(name) === null) return `${where} first comes the name of the account: ${namespace().expects}`
  const mistake = mistakeIn('FAL_KEY', key)
  if (mistake !== null) return `${where} the key ${mistake}`
  if (secret().parse(key) === null) return `${where} the key: expected ${secret().expects}`
  if (key === 'sandbox') return `${where} the sandbox is no account; use FAL_KEY=sandbox`
  if (others.length > 0 || (option !== undefined && !option.startsWith(OPTION))) return `${where} expected ${FORM}`
  const slots = option === undefined ? null : integer(0, MAX_SLOTS).parse(option.slice(OPTION.length))
  if (option !== undefined && slots === null) return `${where} concurrency: expected ${integer(0, MAX_SLOTS).expects}`
  return { name, key, slots, number }
}

function twice (keys: readonly (FalKey & { readonly number: number })[], of: (key: FalKey) => string, what: string): string[] {
  return keys.flatMap((key, index) => {
    const earlier = keys.slice(0, index).find(other => of(other) === of(key))
    return earlier === undefined ? [] : [`lines ${earlier.number} and ${key.number}: the same ${what} twice`]
  })
}
