// Asking fal what became of a generation that is unknown here (rule 34).

import { BELIEVE_PAUSE_MS, TRIES_TO_BELIEVE } from '../doubt.ts'
import type { Ending } from '../evidence.ts'
import type { Followed } from '../generation.ts'
import type { CacheVersionOf } from '../key.ts'
import type { Upstream } from '../upstream.ts'
import { endingOf } from './ending.ts'
import { sleep } from './sleep.ts'

export interface FindEndDeps {
  readonly upstreamOf: (account: string | null) => Pick<Upstream, 'state' | 'result'>
  readonly cacheVersionOf: CacheVersionOf
}

/**
 * What fal says became of it, asked once; null: it says nothing that could be believed, or the signal fired. One that is still at work is asked about again:
 * a process that followed it would find its time to run over.
 */
export async function findEnd (row: Followed, { upstreamOf, cacheVersionOf }: FindEndDeps, signal: AbortSignal): Promise<Ending | null> {
  const upstream = upstreamOf(row.upstream)
  const state = await upstream.state(row.model, row.requestId, signal, row)
  if (state !== 'completed' && state !== 'missing') return null
  for (let tries = 1; ; tries++) {
    const result = await upstream.result(row.model, row.requestId, signal, row)
    if (result.kind === 'succeeded') return endingOf(row, result, cacheVersionOf)
    if (result.kind === 'cancelled') return result.isClear && row.cancelWished ? endingOf(row, result, cacheVersionOf) : null
    if (result.kind !== 'failed') return null
    if (!result.free || tries >= TRIES_TO_BELIEVE) return endingOf(row, result, cacheVersionOf)
    if (await sleep(BELIEVE_PAUSE_MS, signal) === 'interrupted') return null
  }
}
