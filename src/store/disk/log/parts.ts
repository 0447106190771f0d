// A batch that is too long for one frame, in pieces. They count as one: the last is the batch, those before it are its parts, and a replay gives all of them or none.

/** Records and texts of a batch, or of a part of one. */
export interface Piece { readonly records: readonly string[], readonly texts: readonly string[] }

/** So much goes into one frame, about; of records and of texts. It is held in memory once more while it is written. */
export const PART_BYTES = 64 * 1024 * 1024

/** Cuts a batch into pieces whose records and whose texts have so many bytes each at most; a single one that is longer is a piece by itself. In order; at least one piece. */
export function piecesOf ({ records, texts }: Piece, partBytes: number): readonly Piece[] {
  const [ofRecords, ofTexts] = [cut(records, partBytes), cut(texts, partBytes)]
  return Array.from({ length: Math.max(ofRecords.length, ofTexts.length, 1) }, (_, index) => ({ records: ofRecords[index] ?? [], texts: ofTexts[index] ?? [] }))
}

function cut (all: readonly string[], most: number): readonly (readonly string[])[] {
  // No character takes more than three bytes for each of its units.
  if (all.reduce((sum, text) => sum + text.length * 3, 0) <= most) return [all]
  const pieces: string[][] = []
  let [piece, bytes]: [string[], number] = [[], 0]
  for (const text of all) {
    const length = Buffer.byteLength(text)
    if (piece.length > 0 && bytes + length > most) {
      pieces.push(piece)
      piece = []
      bytes = 0
    }
    piece.push(text)
    bytes += length
  }
  return [...pieces, piece]
}
