// The parts of a form, one after another, until there are no more or they cannot be read.

/** How long a parser may be silent that has every byte. It waits for nothing outside then. */
const SILENCE_MS = 1000

/** Why a form is not read any further: all of it is there, and its parser says nothing all the same. */
export class PartsStalled extends Error {}

/**
 * The next of what a parser makes of a message; `null`: that was all. Rejects as the parser does, or with {@link PartsStalled}: that of @fastify/multipart does not come
 * to an end with some forms that no client sends. `complete`: every byte has come.
 */
export async function nextPart<Part> (parts: Pick<AsyncIterator<Part, unknown>, 'next'>, message: { readonly complete: boolean }): Promise<Part | null> {
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_resolve, reject) => {
    let wasComplete = false
    timer = setInterval(() => {
      if (wasComplete) reject(new PartsStalled())
      wasComplete = message.complete
    }, SILENCE_MS)
  })
  try {
    const next = await Promise.race([parts.next(), stalled])
    return next.done === true ? null : next.value
  } finally {
    clearInterval(timer)
  }
}
