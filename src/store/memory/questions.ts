// Questions: an `unknown` with a request id is asked about until fal has forgotten it, at most two questions a second over all replicas (rule 34).

import type { Hidden } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { isFinal } from './books.ts'
import type { Entry } from './entry.ts'
import { adjust } from './rows.ts'
import type { State } from './state.ts'

/** When what becomes unknown now is asked about first; never without an id to ask for. */
export function firstQuestion (state: State, requestId: string | null): Pick<Hidden, 'askAtMs' | 'questions'> {
  return { askAtMs: requestId === null ? null : state.now() + ledgerConstants.firstQuestionMs, questions: 0 }
}

/** Is there a question about it now? An operator's settlement is a booking and ends none. */
export function isQuestionDue (state: State, { row, hidden }: Entry): boolean {
  return hidden.askAtMs !== null && hidden.askAtMs <= state.now() && (row.phase === 'unknown' || (isFinal(row) && hidden.settled))
}

/** May it be asked about now? Its next question is written down either way, so that one whose asker dies is asked about again. */
export function takeQuestion (state: State, entry: Entry): boolean {
  const now = state.now()
  const [earlier, latest] = state.askedAtMs
  if (earlier <= now && earlier > now - ledgerConstants.questionWindowMs) {
    // Each goes to a moment of its own, so that many do not stand in front of everything else that is due.
    const behind = state.askLaterMs + ledgerConstants.questionWindowMs / 2
    state.askLaterMs = Math.max(now + ledgerConstants.questionWindowMs, behind > now + ledgerConstants.maxQuestionMs ? 0 : behind)
    adjust(state, entry, { askAtMs: state.askLaterMs })
    return false
  }
  state.askedAtMs = [latest, now]
  const questions = entry.hidden.questions + 1
  adjust(state, entry, { questions, askAtMs: nextQuestion(state, entry, questions) })
  return true
}

/**
 * The pause doubles; fal keeps a result for an hour. That time is counted from the claim, a moment before the acceptance, and a few questions are asked
 * whatever the clock says, because a clock that was set forward is what made it unknown.
 */
function nextQuestion (state: State, { row }: Entry, questions: number): number | null {
  const now = state.now()
  const atMs = now + Math.min(ledgerConstants.firstQuestionMs * 2 ** questions, ledgerConstants.maxQuestionMs)
  const claimedAtMs = (row.runUntilMs ?? now) - state.times.runMs
  return questions >= ledgerConstants.minQuestions && atMs > claimedAtMs + ledgerConstants.askForMs ? null : atMs
}
