// What a doctor says of one thing.

/** What is looked at, in the order in which it is told. Programs know these words. */
export const checks = [
  'settings', 'files', 'node', 'open-files', 'disk', 'clock', 'redis', 'redis-version', 'redis-role', 'redis-eviction', 'redis-persistence', 'redis-rights', 'redis-account', 'redis-latency',
  'redis-memory', 'redis-replicas', 'folder', 'folder-owner', 'folder-room', 'folder-reserve', 'folder-snapshot', 'media', 'fal', 'fal-key', 'fal-storage', 'models'
] as const
export type Check = typeof checks[number]

/** `fault`: with that nothing is bought, or money may be lost. `warning`: it goes on, and may hurt one day. `not-tried`: nothing is known of it, and the sentence says why. */
export type Verdict = 'ok' | 'warning' | 'fault' | 'not-tried'

export interface Finding {
  readonly check: Check
  readonly verdict: Verdict
  /** One sentence: what there is, or what is wrong and what to do. Nothing secret, and nothing of what files hold. */
  readonly sentence: string
  /** What was measured, with the units at the ends of the names. */
  readonly measured?: Readonly<Record<string, number>>
}

export function ok (check: Check, sentence: string, measured?: Finding['measured']): Finding {
  return found(check, 'ok', sentence, measured)
}

export function warning (check: Check, sentence: string, measured?: Finding['measured']): Finding {
  return found(check, 'warning', sentence, measured)
}

export function fault (check: Check, sentence: string, measured?: Finding['measured']): Finding {
  return found(check, 'fault', sentence, measured)
}

export function notTried (check: Check, sentence: string): Finding {
  return found(check, 'not-tried', sentence)
}

function found (check: Check, verdict: Verdict, sentence: string, measured?: Finding['measured']): Finding {
  return { check, verdict, sentence, ...measured === undefined ? {} : { measured } }
}

/** For people: `1.5 GiB`. */
export function bytesText (bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** For people: `0.4 ms`, `51 ms`. */
export function msText (ms: number): string {
  return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`
}
