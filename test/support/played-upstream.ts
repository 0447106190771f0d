// fal as a test plays it: each question waits until the test answers it.

import type { Interrupted, Result, Sighting, Submitted, Upstream } from '../../src/generation/upstream.ts'

/** A question that waits for the test's answer, as long as it is open: not answered, and not interrupted. */
export interface Asked<T> { readonly answer: (answer: T) => void, readonly fail: (error: unknown) => void, readonly isOpen: () => boolean }

export interface PlayedUpstream {
  readonly upstream: Upstream
  readonly submits: Asked<Submitted>[]
  readonly sightings: Asked<Sighting | Interrupted>[]
  readonly results: Asked<Result>[]
  /** Questions where a generation stands. */
  readonly states: Asked<Sighting['kind'] | 'unavailable'>[]
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
  const states: Asked<Sighting['kind'] | 'unavailable'>[] = []

  /** `interrupted`: the answer when the signal fires first. */
  async function ask<T> (asked: Asked<T>[], signal?: AbortSignal, interrupted?: T): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      let isOpen = true
      const close = <Given>(settle: (given: Given) => void) => (given: Given): void => {
        isOpen = false
        settle(given)
      }
      asked.push({ answer: close(resolve), fail: close(reject), isOpen: () => isOpen })
      if (signal === undefined || interrupted === undefined) return
      const interrupt = (): void => { close(resolve)(interrupted) }
      if (signal.aborted) interrupt()
      else signal.addEventListener('abort', interrupt)
    })
  }

  return {
    upstream: {
      submit: async () => await ask(submits),
      openStatusReader: (_model, requestId) => {
        followed.add(requestId)
        return {
          next: async signal => await ask(sightings, signal, { kind: 'interrupted' }),
          close: () => { followed.delete(requestId) }
        }
      },
      state: async (_model, _requestId, signal) => await ask(states, signal, 'unavailable'),
      result: async (_model, _requestId, signal) => await ask(results, signal, { kind: 'unavailable', retryAfterMs: null }),
      cancel: async (_model, requestId) => {
        cancels.push(requestId)
        return 'asked'
      }
    },
    submits,
    sightings,
    results,
    states,
    cancels,
    followed
  }
}
