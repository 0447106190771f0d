// Keys inside the texts of others: the last fence of whatever leaves the process in words that are not ours.

/** What stands in place of a key. */
export const CENSOR = '[redacted]'

/** Takes what is secret out of a text. */
export type Censor = (text: string) => string

/** Parts of a key that are shorter could be any word. */
const MIN_PART_CHARACTERS = 8

/** What must not appear anywhere of a key: the whole of it, and its secret alone, where it has the form `id:secret`. */
export function secretsOf (key: string): readonly string[] {
  const secret = key.slice(key.indexOf(':') + 1)
  return secret === key || secret.length < MIN_PART_CHARACTERS ? [key] : [key, secret]
}

/** The text with each of these replaced. Longer ones come first: field names cannot find a key inside a sentence. */
export function withoutSecrets (text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) {
    if (secret !== '' && clean.includes(secret)) clean = clean.replaceAll(secret, CENSOR)
  }
  return clean
}

/**
 * The beginning of a text of others as it may be told. It is censored before it is cut: what the cut leaves of a key, no censor finds any more.
 * `toWellFormed` because the cut may fall inside a surrogate pair.
 */
export function startOf (text: string, maxCharacters: number, censor: Censor): string {
  return censor(text).slice(0, maxCharacters).toWellFormed()
}
