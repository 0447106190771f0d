// One log line and the counters for each change of a generation's state.

import type { Logger } from 'pino'
import type { Metrics } from '../metrics.ts'
import { formatUsd } from '../money.ts'
import { hasEnded } from './phases.ts'
import type { Row } from './ports.ts'

/** Tells log and metrics about every change that this process made. */
export function createObserver (log: Logger, metrics: Metrics, now: () => number): (from: Row, to: Row, phaseMs: number | null) => void {
  return (from, to, phaseMs) => {
    const seconds = phaseMs === null ? undefined : Math.max(0, Math.round(phaseMs)) / 1000
    if (seconds !== undefined) metrics.phaseSeconds(to.model, from.phase, seconds)
    if (hasEnded(to.phase)) count(to, metrics)
    log[levelOf(to)]({
      generation_id: to.id,
      tenant: to.tenant,
      model: to.model,
      from: from.phase,
      to: to.phase,
      attempt: to.attempt,
      fal_request_id: to.requestId ?? undefined,
      code: to.failure?.code,
      cost_usd: to.cost === null ? undefined : formatUsd(to.cost),
      phase_seconds: seconds,
      total_seconds: hasEnded(to.phase) ? (now() - to.createdAtMs) / 1000 : undefined
    }, 'generation')
  }
}

function count (row: Row, metrics: Metrics): void {
  metrics.generationEnded(row.tenant, row.model, row.phase)
  if (row.cost !== null && row.cost > 0) metrics.spent(row.tenant, row.model, row.cost)
  if (row.cost !== null && row.cost > row.price) metrics.overrun()
  if (row.failure?.code === 'result-expired') metrics.resultExpired()
}

/** Money without a picture, and an upstream that does not take our key, are ours to look after; a refused prompt is not. */
function levelOf (row: Row): 'info' | 'warn' | 'error' {
  if (row.phase === 'unknown' || row.failure?.code === 'result-expired' || row.failure?.code === 'upstream-account-blocked' || row.failure?.code === 'model-retired') return 'error'
  return row.phase === 'failed' && row.failure?.code !== 'content-refused' && row.failure?.code !== 'invalid-input' ? 'warn' : 'info'
}
