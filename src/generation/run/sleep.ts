// A pause that may be cut short, which is an answer and no error.

import { setTimeout } from 'node:timers/promises'

export async function sleep (ms: number, signal: AbortSignal): Promise<'over' | 'interrupted'> {
  try {
    await setTimeout(ms, undefined, { signal })
    return 'over'
  } catch {
    return 'interrupted'
  }
}
