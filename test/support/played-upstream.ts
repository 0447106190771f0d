// fal as a test plays it: each question waits until the test answers it.

import type { Interrupted, Result, Sighting, Submitted, Upstream } from '../../src/generation/upstream.ts'

/** A question that waits for the test's answer. */
export interface Asked<T> { readonly answer: (answer: T) => void, readonly fail: (error: unknown) => void }

export interface PlayedUpstream {
  readonly upstream: Upstream
  readonly submits: Asked<Submitted>[]
  readonly sightings: Asked<Sighting | Interrupted>[]
  readonly results: Asked<Result>[]
  /** Request ids that fal was asked to stop. */
  readonly cancels: string[]
  /** Request ids whose status is read. */
  readonly followed: Set<string>
}

export function playUpstream (): PlayedUpstream {
  const submits: Asked<Submitted>[] = []
  const sightings: Asked<Sighting | Interrupted>[] = []
  const results: Asked<Result>[] = []
  const cancels: string[] = []
  const followed = new Set<string>()
  const ask = async <T>(asked: Asked<T>[]): Promise<T> => await new Promise<T>((resolve, reject) => { asked.push({ answer: resolve, fail: reject }) })
  return {
    upstream: {
      submit: async () => await ask(submits),
      openStatusReader: (_model, requestId) => {
        followed.add(requestId)
        return {
          next: async signal => {
            const interrupted = new Promise<Interrupted>(resolve => {
              const tell = (): void => { resolve({ kind: 'interrupted' }) }
              signal.addEventListener('abort', tell)
              if (signal.aborted) tell()
            })
            return await Promise.race([ask(sightings), interrupted])
          },
          close: () => { followed.delete(requestId) }
        }
      },
      state: async () => 'unavailable',
      result: async (_model, _requestId, signal) => await Promise.race([
        ask(results),
        new Promise<Result>(resolve => { signal.addEventListener('abort', () => { resolve({ kind: 'unavailable', retryAfterMs: null }) }) })
      ]),
      cancel: async (_model, requestId) => {
        cancels.push(requestId)
        return 'asked'
      },
      close: async () => {}
    },
    submits,
    sightings,
    results,
    cancels,
    followed
  }
}
