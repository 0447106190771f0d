// Slips of the hand in an environment: names that nothing reads, and values that say more, or less, than their value.

import { distance } from 'fastest-levenshtein'

/** Names that are near to a setting's and belong to others. */
const foreignNames = new Set(['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY', 'FTP_PROXY'])

/** Longer names are nobody's setting. */
const MAX_NAME_CHARACTERS = 64

/**
 * The variables that look like a setting with a slip in its name, each with a sentence. Where the setting that they are near to is set, they are taken for somebody
 * else's: an environment is shared with other programs.
 */
export function namesMistaken (env: Readonly<Record<string, string | undefined>>, known: readonly string[]): readonly string[] {
  const names = new Set(known)
  return Object.entries(env).flatMap(([name, value]) => {
    if (names.has(name) || foreignNames.has(name.toUpperCase()) || name.length > MAX_NAME_CHARACTERS || isEmpty(value)) return []
    const meant = known.find(candidate => isSlipOf(name.toUpperCase(), candidate))
    return meant !== undefined && isEmpty(env[meant]) ? [`${name}: is no setting of falgate; did you mean ${meant}?`] : []
  })
}

function isEmpty (value: string | undefined): boolean {
  return value === undefined || value.trim() === ''
}

/** One letter more, less or other; two where the names begin with the same word. Short names are near to too many. */
function isSlipOf (name: string, setting: string): boolean {
  if (name === setting) return true
  if (Math.min(name.length, setting.length) < 6) return false
  return distance(name, setting) <= (firstWordOf(name) === firstWordOf(setting) ? 2 : 1)
}

function firstWordOf (name: string): string {
  return name.split('_', 1)[0] ?? ''
}

/**
 * What came into a value on its way from a file or a shell and does not belong to it; `null`: nothing did. Docker, for one, hands on what stands behind the `=` of an
 * `--env-file` as it is. Nothing of the value is told.
 */
export function mistakeIn (name: string, text: string): string | null {
  if (/^\$(?:\w+|\{[^}]*\}|\([^)]*\))$/.test(text)) return 'holds a reference to a variable, which nothing has replaced by its value'
  if (/^(["'`]).*\1$/s.test(text)) return 'stands in quotes, which would be a part of the value'
  const [, pasted] = /^(?:export\s+)?(\w+)\s*=/.exec(text) ?? []
  return pasted === name ? 'repeats its own name and an equals sign, which would be a part of the value' : null
}
