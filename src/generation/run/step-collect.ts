// The step of a generation that fal is done with: fetches its result and ends it. What would throw the picture away is looked at again (rule 25): the doubt and
// its time stand in the row, so a process that takes it over goes on with the same looks.
//
//   the result                                  | what is done
//   --------------------------------------------|-----------------------------------------------------------------------------
//   succeeded; cancelled, as was asked for      | it ends so
//   failed                                      | it ends so; when that costs nothing, only the third time in a row that it is said
//   pending, unavailable                        | a doubt; again after a pause, until its time and that of all looks are over: unknown
//   no output; gone; cancelled by nobody        | a doubt; again after the pause of each look; after the last one it ends so if fal itself said the
//                                               | same each time, and is unknown if it did not
//
// Between two looks fal is asked where it stands, unless it said that it is done: what it shows at work again is followed again.

import { BELIEVE_PAUSE_MS, type Doubt } from '../doubt.ts'
import type { Failure, Followed } from '../generation.ts'
import type { LogPiece } from '../upstream.ts'
import { createLooks, type Unusable } from './looks.ts'
import type { Progress } from './progress-piece.ts'
import { over, type StepContext, type StepResult } from './step-context.ts'
import { close, lose } from './step-end.ts'

const LOOKED_IN_VAIN: Failure = { code: 'outcome-unknown', detail: 'It was done, and its result could not be had.' }

/** `completed`: fal said that it is done. `log`: lines that came with that. */
export async function collect (row: Followed, context: StepContext, said: 'completed' | 'not-completed', log?: LogPiece): Promise<StepResult> {
  // What lies behind an id that the ledger has for another generation is that one's.
  if (!await context.isOurs()) return over
  const looks = createLooks(row, context)
  for (let isCompleted = said === 'completed'; ;) {
    const result = await context.fetchResult(row)
    if (result.kind === 'interrupted') return { kind: 'interrupted', row }

    const verdict = looks.verdictOn(result, row)
    if (verdict.kind === 'end') return await close(row, verdict.result, context, log)
    if (verdict.kind === 'too-soon') {
      if (await context.pause(BELIEVE_PAUSE_MS) === 'interrupted') return { kind: 'interrupted', row }
      continue
    }

    row = context.doubt(row, doubtIn(verdict.result), log)
    const pauseMs = looks.pauseBeforeNext(verdict.result, row)
    if (pauseMs === null) return await conclude(verdict.result, row, context, log)
    if (await context.interruptiblePause(pauseMs) === 'interrupted') return { kind: 'interrupted', row }
    if (isCompleted) continue

    const state = await context.fetchState(row)
    if (state === 'interrupted') return { kind: 'interrupted', row }
    // fal did not know it yet, and now it does.
    if (state === 'queued' || state === 'running') return context.progress(row, atWork(state))
    isCompleted = state === 'completed'
  }
}

function doubtIn ({ kind }: Unusable): Doubt {
  return kind === 'pending' ? 'unavailable' : kind
}

/** Only what fal itself said, and never anything else, is believed against a picture. */
async function conclude (result: Unusable, row: Followed, context: StepContext, log?: LogPiece): Promise<StepResult> {
  const isBelieved = result.kind !== 'pending' && result.kind !== 'unavailable' && result.kind === row.doubt && result.isClear
  return isBelieved ? await close(row, result, context, log) : await lose(row, context, LOOKED_IN_VAIN)
}

function atWork (kind: 'queued' | 'running'): Progress {
  const log = { from: 0, lines: [] }
  return kind === 'queued' ? { kind, position: null, log } : { kind, log }
}
