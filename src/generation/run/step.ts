// The story of one generation at fal: one step from any phase. Fresh generations and those taken over from a dead process run through the same code.
//
//   phase             | and                                  | the step                                 | leads to
//   ------------------|--------------------------------------|------------------------------------------|---------------------------------------------
//   submitting        | this process may begin the attempt   | submit (`step-submit.ts`)                | accepted, waiting, failed, unknown
//   submitting        | it may not: nobody knows how it went | lose (`step-end.ts`)                     | unknown
//   accepted, running | no request id                        | lose                                     | unknown
//   accepted, running |                                      | wait (`step-wait.ts`): one sighting      | accepted, running, what collect leads to, unknown
//   accepted, running | fal is done, or there is a doubt     | collect (`step-collect.ts`)              | succeeded, failed, cancelled, unknown, at work again
//   waiting, or ended |                                      | none: a claim or a question moves it on  | over

import { hasRequestId, type Generation } from '../generation.ts'
import { collect } from './step-collect.ts'
import { over, type StepContext, type StepResult } from './step-context.ts'
import { lose } from './step-end.ts'
import { submit } from './step-submit.ts'
import { waitAtFal } from './step-wait.ts'

/** Does the one thing that the row's phase allows. */
export async function step (row: Generation, context: StepContext): Promise<StepResult> {
  switch (row.phase) {
    case 'submitting':
      return await submit(row, context)
    case 'accepted':
    case 'running':
      if (!hasRequestId(row)) return await lose(row, context)
      return row.doubt === null ? await waitAtFal(row, context) : await collect(row, context, 'not-completed')
    case 'waiting':
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'unknown':
      return over
  }
}
