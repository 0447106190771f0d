// The step of a generation that is at fal: waits for the next thing that fal shows of it.
//
//   what comes                       | what is done
//   ---------------------------------|------------------------------------------------
//   a wish to cancel stands in it    | fal is asked to stop, and it is followed on
//   its time to run is over          | fal is asked to stop, and it is lost
//   an interruption                  | the row is read again
//   queued, running                  | it is recorded
//   completed                        | its result is collected
//   missing                          | the same, but fal may have begun to know it late

import type { Followed } from '../generation.ts'
import { collect } from './step-collect.ts'
import type { StepContext, StepResult } from './step-context.ts'
import { isOverdue, lose } from './step-end.ts'

export async function waitAtFal (row: Followed, context: StepContext): Promise<StepResult> {
  if (row.cancelWished) context.askToCancel(row)
  if (isOverdue(row, context.ledger.now())) {
    context.askToCancel(row)
    return await lose(row, context)
  }
  const seen = await context.nextSighting(row)
  switch (seen.kind) {
    case 'interrupted':
      return { kind: 'interrupted', row }
    case 'queued':
      if (seen.position !== null && seen.position > 0) context.onBehind(row, seen.position)
      return context.progress(row, seen)
    case 'running':
      return context.progress(row, seen)
    case 'completed':
      return await collect(row, context, 'completed', seen.log)
    case 'missing':
      return await collect(row, context, 'not-completed')
  }
}
