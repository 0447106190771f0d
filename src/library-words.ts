// What libraries write with `console`, which is no place of ours: between lines of JSON it would be a line that no log store can read.

import { format } from 'node:util'

/** No more different texts than these are told. */
const MAX_TEXTS = 100

/**
 * Takes over `console.warn` and `console.error`, and tells each text once: attempts to connect repeat theirs. What is written before `tellTo` is called waits for that.
 * Gives the texts that nobody was told of.
 */
export function takeConsole (): { readonly tellTo: (tell: (text: string) => void) => void, readonly untold: () => readonly string[] } {
  const known = new Set<string>()
  let waiting: string[] = []
  let tell = (text: string): void => { waiting.push(text) }

  function take (...parts: readonly unknown[]): void {
    const text = plainWords(format(...parts))
    if (known.has(text) || known.size === MAX_TEXTS) return
    known.add(text)
    tell(text)
  }

  console.warn = take
  console.error = take
  return {
    tellTo: next => {
      tell = next
      for (const text of waiting) tell(text)
      waiting = []
    },
    untold: () => waiting
  }
}

/** ioredis takes any refusal that speaks of a password for this one, also where none was supplied. */
function plainWords (text: string): string {
  return /does not require a password/.test(text) ? 'Redis says that its user has no password' : text.replace(/^\[\w+\] /, '')
}
