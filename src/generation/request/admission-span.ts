// The span of a call's admission: what the ledger made of it, in the trace of the caller's request.

import { Problem } from '../../errors.ts'
import type { TraceContext } from '../../trace-context.ts'
import type { Span, Tracing } from '../../tracing.ts'
import type { Got } from '../admission.ts'
import type { CallOptions } from './call.ts'

/** An admission that bought nothing and was not refused: nobody is there to buy for, or this process takes no work any more. */
type Unasked = { readonly outcome: 'caller-gone' | 'draining' }

/**
 * Admits in a span. `admit` is given the trace that what is bought belongs to: below this span, or the caller's own where nothing is recorded. A call that comes
 * to a generation of another one's names that trace, too.
 */
export async function inAdmissionSpan<Settled extends Got | Unasked> (tracing: Tracing, { trace, tenant, model }: Pick<CallOptions, 'trace' | 'tenant' | 'model'>, admit: (trace: TraceContext | null) => Promise<Settled>): Promise<Settled> {
  const span = tracing.begin('falgate.admission', trace, { 'falgate.tenant': tenant.id, 'gen_ai.request.model': model.endpointId })
  try {
    const admitted = await span.around(async () => await admit(span.trace ?? trace))
    tell(span, admitted)
    span.end()
    return admitted
  } catch (error) {
    span.end(error instanceof Problem ? error.code : 'internal')
    throw error
  }
}

function tell (span: Span, admitted: Got | Unasked): void {
  switch (admitted.outcome) {
    case 'caller-gone':
    case 'draining':
      return span.add({ 'falgate.outcome': admitted.outcome })
    case 'gone':
      return span.add({ 'falgate.source': 'replayed', 'falgate.generation_id': admitted.end.id })
    case 'bought':
    case 'hit':
    case 'joined':
    case 'replayed':
    case 'adopted':
      span.add({ 'falgate.source': admitted.outcome, 'falgate.generation_id': admitted.row.id })
      if (admitted.outcome !== 'bought') span.link(admitted.row.trace)
  }
}
