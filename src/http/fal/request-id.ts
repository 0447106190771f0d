// The ids that fal's clients are given: the generation's own for its buyer; for a caller that got it for free the same with another version digit,
// so that its result can say that this request was billed nothing, although nothing was written down about it.

import type { AnswerSource } from '../../metrics.ts'

/** What an id of a request leads to. */
export interface RequestId {
  /** The generation's id. */
  readonly id: string
  /** The request that was given this id was not billed. */
  readonly isFree: boolean
}

/** Version 7 of RFC 9562 for what was bought, as all ids here; version 8, which is free to mean anything, for what was not. */
const ID = /^([0-9a-f]{8}-[0-9a-f]{4}-)([78])([0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$/

/** Where the digit of the version stands in an id. */
const VERSION_AT = 14

/** The id for an answer that came about like this. */
export function requestIdFor (id: string, source: AnswerSource): string {
  return source === 'bought' ? id : id.replace(ID, '$18$3')
}

/** Reads an id that was given out; null for everything that cannot be one. */
export function parseRequestId (text: string): RequestId | null {
  if (!ID.test(text)) return null
  // Mostly it is the generation's own, which is looked up faster than a copy.
  return text[VERSION_AT] === '7' ? { id: text, isFree: false } : { id: text.replace(ID, '$17$3'), isFree: true }
}
