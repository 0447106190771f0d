// Compiling ahead of need, without a pause for anybody.

import { UnusableInput } from './checkable.ts'
import type { Model } from './model.ts'

/** More parts than these are left to be compiled when they are needed: those of about 800 models. */
const MOST = 10_000

/**
 * Compiles what was not compiled yet, in the order of the models: one part in each turn of the event loop, about a millisecond. It ends when all is done, after
 * `most` parts, or on the signal. A model whose schema turns out not to be usable is left. Never rejects for that.
 */
export async function warmUp (models: Iterable<Pick<Model, 'compileNext'>>, { signal, most = MOST }: { readonly signal: AbortSignal, readonly most?: number }): Promise<void> {
  let left = most
  for (const model of models) {
    while (left-- > 0 && !signal.aborted && compilesNext(model)) await new Promise(resolve => { setImmediate(resolve) })
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
