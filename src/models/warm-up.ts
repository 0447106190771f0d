// Compiling ahead of need, without a pause for anybody.

import { setTimeout as pause } from 'node:timers/promises'
import { UnusableInput } from './checkable.ts'
import type { Model } from './model.ts'

/** More parts than these are left to be compiled when they are needed: those of about 800 models. */
const MOST = 10_000

/** After each part the process has so many times as long for everything else, which is what it is there for. */
const REST = 3

/** Models as they are compiled: those with the most `uses` first, by endpoint id; the others keep their order. */
export function mostUsedFirst<One extends Pick<Model, 'endpointId'>> (models: readonly One[], uses: ReadonlyMap<string, number>): readonly One[] {
  const usesOf = ({ endpointId }: One): number => uses.get(endpointId) ?? 0
  return models.toSorted((one, other) => usesOf(other) - usesOf(one))
}

/**
 * Compiles what was not compiled yet, in the order of the models: one part at a time, about a millisecond, and a pause after each. It ends when all is done, after
 * `most` parts, or on the signal. A model whose schema turns out not to be usable is left. Never rejects for that.
 */
export async function warmUp (models: Iterable<Pick<Model, 'compileNext'>>, { signal, most = MOST }: { readonly signal: AbortSignal, readonly most?: number }): Promise<void> {
  let left = most
  for (const model of models) {
    while (left-- > 0 && !signal.aborted) {
      const beganMs = performance.now()
      if (!compilesNext(model)) break
      await pause(REST * (performance.now() - beganMs))
    }
    if (left <= 0 || signal.aborted) return
  }
}

function compilesNext (model: Pick<Model, 'compileNext'>): boolean {
  try {
    return model.compileNext()
  } catch (error) {
    if (error instanceof UnusableInput) return false
    throw error
  }
}
