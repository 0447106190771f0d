// Numbers of texts, for tables that keep a number in place of a text that can be read elsewhere.

/** Digests and ids that are drawn at random: so many of their last characters tell two from each other as well as all of them. */
const HASHED = 12

/** A number of the text, of 29 bits: with two more it is what V8 keeps in place of a pointer. */
export function hashOf (text: string): number {
  let hash = 0x811c9dc5
  for (let at = Math.max(0, text.length - HASHED); at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 3
}
