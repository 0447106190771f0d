// Files that callers send, on their way to where the upstream can read them.

/** A file that lies on this machine. */
export interface FileToUpload {
  readonly path: string
  /** How many there are in it, which is not one less and not one more. */
  readonly bytes: number
  /** What it is, such as `image/png`: what its bytes say, and never what a caller says that they are. */
  readonly type: string
  /** How the name ends that it is given, such as `png`: a model may go by it. */
  readonly ending: string
}

/**
 * Carries a file to where the upstream can read it, and gives the address that an input names it by. Rejects with a problem for the caller: nothing is bought by then;
 * or with the reason of the signal, when that fires. What the caller calls the file goes nowhere.
 */
export type Upload = (file: FileToUpload, signal: AbortSignal) => Promise<string>
