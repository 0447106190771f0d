// Damage that is not that of the last write, which may be cut off: it stops the start.

/** What has to be given up to start again: the journal from there on, that file alone from there on, or more than can be. */
export type Loss = 'journal' | 'file' | 'all'

/** A text beside the journal that is not what was written there. What only could not be read this time is none. */
export class DamagedTextError extends Error {}

/** What to do about what can be mended. */
export const MEND = '`falgate ledger mend` shows what would be lost, and puts it right when told to.'

/** A file of the log that cannot be read, and where. */
export class DamageError extends Error {
  override readonly name = 'DamageError'
  readonly file: string
  /** Of the first byte that cannot be relied upon. */
  readonly offset: number
  readonly loss: Loss
  /** What is damaged, without what to do. */
  readonly finding: string

  constructor (file: string, offset: number, what: string, loss: Loss) {
    const finding = `${file} is damaged at byte ${offset}: ${what}.`
    super(`${finding} ${loss === 'all' ? 'Put a copy of the folder in its place.' : `Keep a copy of the folder. ${MEND}`}`)
    this.file = file
    this.offset = offset
    this.loss = loss
    this.finding = finding
  }
}

/** Who wrote the folder knows a newer format. */
export function newerFormat (file: string, version: number): Error {
  return new Error(`${file} was written by a newer version of falgate (format ${version}). Start that version on this folder, or another folder with this one.`)
}
