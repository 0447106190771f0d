// Seeds beyond 2^53: JSON.parse rounds them, so their digits are read from the text they came in.

/** The value of `seed` at the top of a JSON object: its exact digits, absent, or not a whole number that can be kept. */
export type ExactSeed = { readonly kind: 'digits', readonly digits: string } | { readonly kind: 'absent' } | { readonly kind: 'inexact' }

/** Most bodies have none. */
export const noSeed: ExactSeed = { kind: 'absent' }

/**
 * The longest seed that is passed on. fal's documents say `integer`, without bounds, and show seeds of 18 digits. fal's servers are Python, which refuses to
 * read an integer of more than 4,300 digits (`sys.int_info.default_max_str_digits`) with an error that is not of fal's form and so looks like an outage.
 * This stays far from both.
 */
export const MAX_SEED_DIGITS = 1_000

/** Can fal's side read this seed? */
export function isSeedReadable (digits: string): boolean {
  return digits.length - (digits.startsWith('-') ? 1 : 0) <= MAX_SEED_DIGITS
}

const PLAIN_DIGITS = /^-?\d+$/

/** What follows a key: the colon and the first word of the value. */
const AFTER_KEY = /\s*:\s*([^\s,}]*)/y

/**
 * The digits of `seed` in an object that was parsed from `text`. A safe integer prints exactly, however it was written (`1.0`, `1e3`);
 * an unsafe one has to be plain digits, and is `inexact` otherwise, as is everything that is no whole number.
 */
export function exactSeed (text: string, parsed: object): ExactSeed {
  if (!Object.hasOwn(parsed, 'seed')) return noSeed
  const seed: unknown = Reflect.get(parsed, 'seed')
  if (seed === null) return noSeed
  if (typeof seed !== 'number') return { kind: 'inexact' }
  if (Number.isSafeInteger(seed)) return { kind: 'digits', digits: String(seed === 0 ? 0 : seed) }
  const raw = lastRawSeed(text)
  return raw !== null && PLAIN_DIGITS.test(raw) ? { kind: 'digits', digits: raw } : { kind: 'inexact' }
}

/**
 * The text of the number behind the last `seed` key at depth one, as JSON.parse takes the last of equal keys.
 * Expects text that JSON.parse accepted, so it need not check the grammar.
 */
function lastRawSeed (text: string): string | null {
  let raw: string | null = null
  let depth = 0
  let at = 0
  while (at < text.length) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      AFTER_KEY.lastIndex = end
      const value = depth === 1 ? AFTER_KEY.exec(text)?.[1] : undefined
      if (value !== undefined && JSON.parse(text.slice(at, end)) === 'seed') raw = value
      at = end
    } else {
      if (char === '{' || char === '[') depth++
      if (char === '}' || char === ']') depth--
      at++
    }
  }
  return raw
}

function endOfString (text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}
