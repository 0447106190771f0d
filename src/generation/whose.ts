// Whose doing something is: the facts about a generation that its log lines and its spans have.

import { traceFacts } from '../trace-context.ts'
import type { SpanFacts } from '../tracing.ts'
import type { Generation } from './generation.ts'

/** A generation, as far as it is named beside what is done for it. */
export type Whose = Pick<Generation, 'id' | 'tenant' | 'model' | 'attempt' | 'takeovers' | 'requestId' | 'trace'>

/** In a log line. */
export function lineFactsOf ({ id, tenant, model, requestId, trace }: Omit<Whose, 'attempt' | 'takeovers'>) {
  return { generation_id: id, tenant, model, fal_request_id: requestId ?? undefined, ...traceFacts(trace) }
}

/** On a span. */
export function spanFactsOf ({ id, tenant, model, attempt, takeovers, requestId }: Omit<Whose, 'trace'>): SpanFacts {
  return {
    'falgate.generation_id': id,
    'falgate.tenant': tenant,
    'falgate.attempt': attempt,
    'falgate.takeovers': takeovers,
    'falgate.fal_request_id': requestId ?? undefined,
    'gen_ai.request.model': model
  }
}
