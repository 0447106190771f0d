// The name that was probably meant: for sentences about names that are not known.

import { distance } from 'fastest-levenshtein'

/** Longer names are not compared: the table of a comparison grows with both. */
const MAX_COMPARED = 64

/** The known name that is at most a third of its letters away; `null` when none is. Upper and lower case count as the same letter. */
export function nearestName (name: string, known: Iterable<string>): string | null {
  let nearest: string | null = null
  let fewest = Infinity
  if (name.length > MAX_COMPARED) return null
  for (const candidate of known) {
    if (candidate.length > MAX_COMPARED) continue
    const edits = distance(name.toLowerCase(), candidate.toLowerCase())
    if (edits < fewest && edits <= Math.max(1, Math.floor(Math.max(name.length, candidate.length) / 3))) [nearest, fewest] = [candidate, edits]
  }
  return nearest
}

/** `; did you mean "x"?`, or nothing: the end of a sentence. */
export function hintOf (name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known)
  return nearest === null ? '' : `; did you mean ${JSON.stringify(nearest)}?`
}
