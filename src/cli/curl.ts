// A call to paste into a terminal.

import type { ModelInput } from '../models/model.ts'

/** The lines of a call with curl, indented by two. */
export function curlLines (url: string, key: string, input: ModelInput): readonly string[] {
  return [
    `  curl -i ${url} \\`,
    `    -H 'Authorization: Bearer ${key}' \\`,
    '    -H \'Content-Type: application/json\' \\',
    `    -d ${quoted(input)}`
  ]
}

/** An input as JSON on one line, quoted for a shell. What a terminal would obey or not show is escaped. */
function quoted (input: ModelInput): string {
  const fields = Object.entries(input).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`)
  const json = `{${fields.join(', ')}}`.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, shown =>
    Array.from({ length: shown.length }, (_, at) => `\\u${shown.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''))
  return `'${json.replaceAll('\'', '\'\\\'\'')}'`
}
