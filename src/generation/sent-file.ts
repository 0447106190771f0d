// Files that callers send with a request, for models that take pictures.

import type { Readable } from 'node:stream'

/** What the names of files begin with that are not at fal yet. Nothing is there, nor ever will be (RFC 6761), and no caller may say it: two requests would be one. */
export const SENT_FILES_BASE = 'https://files.invalid/'

/** A picture that a caller sent, checked. */
export interface SentFile {
  readonly bytes: number
  /** What stands in the input for it: the file itself (`data:`), or a name made of what it holds, until it is uploaded to fal. */
  readonly address: string
  /** Uploads it to where fal finds it, and gives its address there. `null`: it stands in its address. Rejects with a `Problem`. */
  readonly upload: ((signal: AbortSignal) => Promise<string>) | null
  /** Lets go of it. Twice is harmless. */
  readonly remove: () => Promise<void>
}

/** `cut-off`: it did not arrive whole. */
export type Refusal = 'empty' | 'too-long' | 'no-picture' | 'cut-off'

/** How files of callers are taken. */
export interface SentFiles {
  /** What all files of one request may come to. */
  readonly maxBytes: number
  /** Reads a stream to its end, or no further than the bound. Rejects with a `Problem` when it cannot be put down. */
  readonly take: (content: Readable, maxBytes: number) => Promise<SentFile | Refusal>
}
