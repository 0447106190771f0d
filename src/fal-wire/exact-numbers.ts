// Numbers with more digits than JavaScript keeps: JSON.parse rounds them, so their digits are read from the text they came in.

/**
 * The digits of such numbers, in the places where they stand: by name in an object, by index in a list, and the same further inside. What is not in it is
 * printed by JavaScript exactly as it was meant.
 */
export type ExactNumbers = ReadonlyMap<string | number, string | ExactNumbers>

/** An object or a list that is being read. */
interface Open {
  readonly isList: boolean
  /** Where the next value goes. */
  place: string | number
  /** Made when the first number has to be kept. */
  digits: Map<string | number, string | ExactNumbers> | null
}

/** A number that JavaScript prints as it was meant has at most 15 digits, and no exponent. */
const FEW_DIGITS = 15

const NUMBER = /-?\d[\d.eE+-]*/y

/** The numbers in a JSON text whose value JavaScript would change; `null`: there are none. Expects text that JSON.parse accepted, and costs little where all are short. */
export function exactNumbers (text: string): ExactNumbers | null {
  return hasLongNumber(text) ? collect(text) : null
}

/** Looks at what is between texts. */
function hasLongNumber (text: string): boolean {
  let at = 0
  let digits = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === 0x22) {
      at = endOfString(text, at)
      digits = 0
      continue
    }
    if (code >= 0x30 && code <= 0x39) {
      if (++digits > FEW_DIGITS) return true
    } else if (code === 0x45 || code === 0x65) {
      // The `e` of a word comes after no digit.
      if (digits > 0) return true
    } else if (code !== 0x2e) digits = 0
    at++
  }
  return false
}

function collect (text: string): ExactNumbers | null {
  const open: Open[] = []
  let top: ExactNumbers | null = null
  let at = 0

  /** A value ends: what was kept of it, if anything, takes the place of what an equal key before it had. */
  const put = (value: string | ExactNumbers | null): void => {
    const holder = open.at(-1)
    if (holder === undefined) {
      if (typeof value === 'object') top = value
      return
    }
    if (value !== null) (holder.digits ??= new Map()).set(holder.place, value)
    else holder.digits?.delete(holder.place)
    if (holder.digits?.size === 0) holder.digits = null
    if (typeof holder.place === 'number') holder.place++
  }

  while (at < text.length) {
    const char = text[at]
    const holder = open.at(-1)
    if (char === '"') {
      const end = endOfString(text, at)
      if (holder !== undefined && !holder.isList && isKey(text, end)) holder.place = String(JSON.parse(text.slice(at, end)))
      else put(null)
      at = end
    } else if (char === '{' || char === '[') {
      open.push({ isList: char === '[', place: char === '[' ? 0 : '', digits: null })
      at++
    } else if (char === '}' || char === ']') {
      open.pop()
      put(holder?.digits ?? null)
      at++
    } else if (char === 't' || char === 'f' || char === 'n') {
      put(null)
      at += char === 'f' ? 5 : 4
    } else {
      NUMBER.lastIndex = at
      const number = NUMBER.exec(text)?.[0]
      if (number !== undefined) put(isSameNumber(number, String(Number(number))) ? null : number)
      at += number?.length ?? 1
    }
  }
  return top
}

/** Is the text that ended here a key? */
function isKey (text: string, end: number): boolean {
  let at = end
  while (/\s/.test(text[at] ?? '')) at++
  return text[at] === ':'
}

function endOfString (text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0
    while (text[at - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return at + 1
  }
  return text.length
}

const PARTS = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/

/** Longer numbers are not compared: they are kept as they are. */
const MAX_COMPARED = 1_100

/** Do two texts of JSON numbers mean exactly the same number? `Infinity` is none. */
function isSameNumber (one: string, other: string): boolean {
  if (one.length > MAX_COMPARED) return false
  const [left, right] = [plain(one), plain(other)]
  return left !== null && right !== null && left === right
}

/** One text for each number: its digits without zeros around them, and where the point is. */
function plain (number: string): string | null {
  const match = PARTS.exec(number)
  if (match === null) return null
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  return `${sign}${significant}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length)}`
}
