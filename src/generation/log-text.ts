// A log line as JSON text: how stores keep it, and what its bytes are counted by.

import type { LogLine } from './ports.ts'

export function logText ({ timestamp, level, message }: LogLine): string {
  return JSON.stringify([timestamp, level, message])
}

/** Reads a text of {@link logText}; throws for any other. */
export function logLineOf (text: string): LogLine {
  const parts: unknown = JSON.parse(text)
  const [timestamp, level, message]: readonly unknown[] = Array.isArray(parts) ? parts : []
  if (typeof message !== 'string') throw new Error('a log line has no message')
  return { message, timestamp: typeof timestamp === 'string' ? timestamp : null, level: typeof level === 'string' ? level : null }
}
