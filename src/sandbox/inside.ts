// Files inside an answer, as `data:` addresses: what `sync_mode` asks for.

import type { Answer } from './answers.ts'
import type { Pictures } from './pictures.ts'

/** The most bytes of files in one answer. A file beyond it keeps its address. */
const MAX_INSIDE_BYTES = 16 * 1024 * 1024

/** An address of the sandbox in an answer. A quote inside a text is escaped, so that no text of a caller's looks like one. */
const ADDRESS = /"url":"[^"\\]*\/files\/\w+\/([\w.-]+)"/g

/** The same answer with its files inside. */
export async function withFilesInside (answer: Answer, files: Pick<Pictures, 'file'>): Promise<Answer> {
  const text = String(answer.body)
  const parts: string[] = []
  let left = MAX_INSIDE_BYTES
  let at = 0
  for (const match of text.matchAll(ADDRESS)) {
    const file = await files.file(match[1] ?? '')
    if (file === null || file.bytes.length > left) continue
    left -= file.bytes.length
    parts.push(text.slice(at, match.index), `"url":"data:${file.contentType};base64,${file.bytes.toString('base64')}"`)
    at = match.index + match[0].length
  }
  return { ...answer, body: parts.join('') + text.slice(at) }
}
