// Dates and times as operators write them.

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/
const DAY = /^\d{4}-\d\d-\d\d$/

/**
 * Milliseconds since 1970 of an RFC 3339 time, or `null` for anything else, also for a day that no month has: JavaScript takes some of these for days of the
 * next month. The zone is required: a local one would differ between replicas.
 */
export function parseDateTime (text: string): number | null {
  return DATE_TIME.test(text) && isDay(text.slice(0, 10)) ? timeOf(text) : null
}

/** Milliseconds since 1970 of the first moment of a day in UTC, or `null` for anything else. */
export function parseDay (text: string): number | null {
  return DAY.test(text) && isDay(text) ? timeOf(text) : null
}

function isDay (text: string): boolean {
  const time = timeOf(text)
  return time !== null && new Date(time).toISOString().startsWith(text)
}

function timeOf (text: string): number | null {
  const time = Date.parse(text)
  return Number.isNaN(time) ? null : time
}
