// The JSON of files that operators write by hand: with a byte order mark or without, and with the place of what is wrong.

/** A file's content, or what is wrong with it in a sentence that quotes nothing. */
export type JsonFileReading = { readonly ok: true, readonly content: unknown } | { readonly ok: false, readonly fault: string }

/** Reads the JSON of a file whose bytes were taken for UTF-8. Some editors put a byte order mark in front, which means nothing there. */
export function readJsonFile (text: string): JsonFileReading {
  const json = text.startsWith('\ufeff') ? text.slice(1) : text
  try {
    const content: unknown = JSON.parse(json)
    return { ok: true, content }
  } catch {
    // The parser's own message quotes the text around the fault, which may be a secret.
    return { ok: false, fault: `the file is not valid JSON: ${isOtherEncoding(json) ? 'it is not in UTF-8' : sentenceOf(json, faultIn(json))}` }
  }
}

/** Other encodings begin with bytes that UTF-8 does not know, or have a NUL beside each letter. */
function isOtherEncoding (text: string): boolean {
  return text.startsWith('\ufffd') || text.slice(0, 2).includes('\0')
}

/** What had to stand where the text stops being JSON. */
interface SyntaxFault { readonly at: number, readonly expected: string }

function sentenceOf (text: string, { at, expected }: SyntaxFault): string {
  const lines = text.slice(0, at).split(/\r\n|\n|\r/)
  return `expected ${expected} at line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`
}

const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y

/** Where a text that `JSON.parse` refuses goes wrong. */
function faultIn (text: string): SyntaxFault {
  const open: string[] = []
  /** A value, a name, or what follows one of them; after `{` and `[` there may be none. */
  let next: 'value' | 'first-item' | 'name' | 'first-name' | 'colon' | 'more' = 'value'
  let at = 0
  for (;;) {
    while (isBlank(text[at])) at++
    const sign = text[at]
    const closing = open.at(-1) === '{' ? '}' : ']'
    const mayClose = open.length > 0 && (next === 'more' || next === 'first-item' || next === 'first-name')
    if (mayClose && sign === closing) {
      open.pop()
      at++
      next = 'more'
    } else if (next === 'more') {
      if (open.length === 0) return { at, expected: 'the end of the file' }
      if (sign !== ',') return { at, expected: `a comma or ${closing}` }
      at++
      next = closing === '}' ? 'name' : 'value'
    } else if (next === 'colon') {
      if (sign !== ':') return { at, expected: 'a colon' }
      at++
      next = 'value'
    } else if (next === 'name' || next === 'first-name') {
      if (sign !== '"') return { at, expected: `a name in double quotes${mayClose ? ' or }' : ''}` }
      const name = stringAt(text, at)
      if (name.fault !== null) return { at: name.end, expected: name.fault }
      at = name.end
      next = 'colon'
    } else if (sign === '{' || sign === '[') {
      open.push(sign)
      at++
      next = sign === '{' ? 'first-name' : 'first-item'
    } else {
      const value = sign === '"' ? stringAt(text, at) : scalarAt(text, at, mayClose ? 'a value or ]' : 'a value')
      if (value.fault !== null) return { at: value.end, expected: value.fault }
      at = value.end
      next = 'more'
    }
  }
}

interface Scanned { readonly end: number, readonly fault: string | null }

function scalarAt (text: string, at: number, expected: string): Scanned {
  SCALAR.lastIndex = at
  return SCALAR.test(text) ? { end: SCALAR.lastIndex, fault: null } : { end: at, fault: expected }
}

/** The text in quotes that begins here. */
function stringAt (text: string, start: number): Scanned {
  for (let at = start + 1; ; at++) {
    const sign = text[at]
    if (sign === '"') return { end: at + 1, fault: null }
    // A text goes on in the next line only as \n.
    if (sign === undefined || sign < ' ') return { end: at, fault: 'the closing quote of a text' }
    if (sign !== '\\') continue
    const escaped = /^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(at + 1, at + 6))
    if (escaped === null) return { end: at, fault: 'a backslash that is doubled, or a known escape' }
    at += escaped[0].length
  }
}

function isBlank (sign: string | undefined): boolean {
  return sign === ' ' || sign === '\n' || sign === '\r' || sign === '\t'
}
