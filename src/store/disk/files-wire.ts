// What the commands about stored files ask the process that has the folder: one operation, and its answer.

import { listOf, recordOf, textOf } from '../../generation/fields.ts'
import type { CondemnedFile, FoundFile, KeptFile, KeptPage, RemovalTerms } from '../../generation/kept-files.ts'
import type { FileOperations } from '../../generation/operators.ts'

/** Runs what was asked for. Rejects for what is no question. */
export async function answerFiles ({ operation, names, gone, max, terms, after, found, isTaking, id }: Readonly<Record<string, unknown>>, files: FileOperations): Promise<unknown> {
  switch (operation) {
    case 'takeOrphans': return await files.takeOrphans(numberOf(max), termsIn(terms))
    case 'filesGone': return await files.filesGone(listOf(gone).map(condemnedIn))
    case 'withdrawFiles': {
      await files.withdrawFiles(textsIn(names))
      return null
    }
    case 'keptFiles': return await files.keptFiles(textOrNull(after))
    case 'meetFiles': return await files.meetFiles(listOf(found).map(foundIn), booleanOf(isTaking))
    case 'filesOf': return await files.filesOf(textOf(id))
    default: throw new Error('The gateway does not know this command: use the falgate that it is')
  }
}

/** The same operations, asked by such questions. */
export function askedFiles (ask: (request: object) => Promise<unknown>): FileOperations {
  return {
    takeOrphans: async (max, terms) => listOf(await ask({ operation: 'takeOrphans', max, terms })).map(condemnedIn),
    filesGone: async gone => textsIn(await ask({ operation: 'filesGone', gone })),
    withdrawFiles: async names => { await ask({ operation: 'withdrawFiles', names }) },
    keptFiles: async after => pageIn(await ask({ operation: 'keptFiles', after })),
    meetFiles: async (found, isTaking) => textsIn(await ask({ operation: 'meetFiles', found, isTaking })),
    filesOf: async id => {
      const names = await ask({ operation: 'filesOf', id })
      return names === null ? null : textsIn(names)
    }
  }
}

function termsIn (value: unknown): RemovalTerms {
  const { idleMs, keepMs, maxBytes } = recordOf(value)
  return { idleMs: numberOf(idleMs), keepMs: numberOf(keepMs), maxBytes: momentOf(maxBytes) }
}

function foundIn (value: unknown): FoundFile {
  const { name, bytes, ageMs } = recordOf(value)
  return { name: textOf(name), bytes: numberOf(bytes), ageMs: numberOf(ageMs) }
}

function condemnedIn (value: unknown): CondemnedFile {
  const { name, bytes, untilMs } = recordOf(value)
  return { name: textOf(name), bytes: numberOf(bytes), untilMs: numberOf(untilMs) }
}

function pageIn (value: unknown): KeptPage {
  const { files, next, nowMs } = recordOf(value)
  return { files: listOf(files).map(keptIn), next: textOrNull(next), nowMs: numberOf(nowMs) }
}

function keptIn (value: unknown): KeptFile {
  const { name, bytes, references, sinceMs, orphanSinceMs, isWithdrawn } = recordOf(value)
  return { name: textOf(name), bytes: numberOf(bytes), references: numberOf(references), sinceMs: numberOf(sinceMs), orphanSinceMs: momentOf(orphanSinceMs), isWithdrawn: booleanOf(isWithdrawn) }
}

function textsIn (value: unknown): readonly string[] {
  return listOf(value).map(textOf)
}

function textOrNull (value: unknown): string | null {
  return value === null || value === undefined ? null : textOf(value)
}

function numberOf (value: unknown): number {
  const number = momentOf(value)
  if (number === null) throw new Error('A whole number is expected')
  return number
}

export function momentOf (value: unknown): number | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new Error('A whole number is expected')
}

export function booleanOf (value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new Error('true or false is expected')
}
