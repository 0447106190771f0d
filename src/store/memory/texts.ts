// Where a long text of a row lies, in a ledger that keeps those of ended rows on disk: its place then stands in the row in place of the text.

/** A text in a file of the ledger. */
export interface Place {
  readonly file: number
  readonly offset: number
  readonly bytes: number
}

/** What is sent to fal and what fal answers is JSON, which holds no such character. */
const MARK = '\u0000'

/** What stands in a row for the text at this place. */
export function referTo ({ file, offset, bytes }: Place): string {
  return `${MARK}${file} ${offset} ${bytes}`
}

/** The place that stands there, or `null` when it is the text itself. */
export function placeIn (text: string): Place | null {
  if (!text.startsWith(MARK)) return null
  const [file = 0, offset = 0, bytes = 0] = text.slice(MARK.length).split(' ').map(Number)
  return { file, offset, bytes }
}

/** How long the text is, wherever it lies. */
export function textBytes (text: string | null): number {
  return text === null ? 0 : placeIn(text)?.bytes ?? Buffer.byteLength(text)
}
