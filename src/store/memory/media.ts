// Files of outputs that are stored, or will be.

import type { Generation, Hidden } from '../../generation/generation.ts'
import { ledgerConstants } from '../../generation/ledger-constants.ts'
import { hasMissing, media as mediaField, type Media } from '../../generation/media.ts'
import { adjust, change, show } from './rows.ts'
import type { State } from './state.ts'

/** When the files of a row that ends now are to be stored, as far as they are not. */
export function firstDue (state: State, media: Media | null): Pick<Hidden, 'filesAtMs'> {
  return { filesAtMs: hasMissing(media) ? state.now() : null }
}

/** The ledger's `takeMissing`. */
export function takeMissing (state: State, max: number): Generation[] {
  return state.files.first(max, state.now()).flatMap(id => {
    const entry = state.rows.get(id)
    if (entry === undefined) return []
    adjust(state, entry, { filesAtMs: state.now() + ledgerConstants.filesLeaseMs })
    return [show(state, entry)]
  })
}

/** The ledger's `keepFiles`. */
export function keepFiles (state: State, id: string, was: Media, media: Media): Generation | null {
  const entry = state.rows.get(id)
  if (entry === undefined) return null
  const { row } = entry
  if (row.phase === 'succeeded' && row.media !== null && mediaField.write(row.media) === mediaField.write(was)) {
    const now = state.now()
    const pauseMs = Math.min(Math.max(now - (row.finishedAtMs ?? now), ledgerConstants.filesFirstPauseMs), ledgerConstants.filesLastPauseMs)
    change(state, entry, { media: media.length === 0 ? null : media }, { filesAtMs: hasMissing(media) ? now + pauseMs : null })
  }
  return show(state, entry)
}

/** The ledger's `noteDeadLinks`. */
export function noteDeadLinks (state: State, id: string): void {
  const entry = state.rows.get(id)
  if (entry?.row.phase === 'succeeded' && !entry.hidden.linksDead) change(state, entry, {}, { linksDead: true })
}
