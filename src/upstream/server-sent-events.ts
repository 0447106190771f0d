// Splits a stream of bytes into server-sent events. Source: the WHATWG HTML standard, section "Server-sent events".

const LF = 0x0a
const CR = 0x0d
const NOTHING = Buffer.alloc(0)

/**
 * Takes the bytes of a stream as they come, and gives the data of each event. Comments (fal's `: ping`) and other fields are dropped, as is an event that the
 * stream's end cuts off. Chunks may end anywhere, inside a character or between CR and LF. Gives false when one event has grown beyond
 * `maxEventBytes`; no more is fed to it then.
 */
export function createEventSplitter (maxEventBytes: number, onEvent: (data: string) => void): (chunk: Buffer) => boolean {
  /** The beginning of a line whose end has not come: `keptBytes` of a buffer that may be longer. */
  let kept = NOTHING
  let keptBytes = 0
  let data: string[] = []
  let dataBytes = 0
  let isFirstLine = true
  let endedWithCr = false

  /** What it takes grows with what comes, however small the chunks are. */
  function keep (bytes: Buffer): void {
    if (keptBytes + bytes.length > kept.length) {
      const longer = Buffer.allocUnsafe(Math.max(2 * kept.length, keptBytes + bytes.length))
      kept.copy(longer, 0, 0, keptBytes)
      kept = longer
    }
    bytes.copy(kept, keptBytes)
    keptBytes += bytes.length
  }

  function endLine (chunk: Buffer, from: number, to: number): void {
    if (keptBytes === 0) return takeLine(chunk.toString('utf8', from, to))
    keep(chunk.subarray(from, to))
    takeLine(kept.toString('utf8', 0, keptBytes))
    kept = NOTHING
    keptBytes = 0
  }

  function takeLine (text: string): void {
    const line = isFirstLine ? text.replace(/^\uFEFF/, '') : text
    isFirstLine = false
    if (line.startsWith('data:')) {
      data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
      dataBytes += Buffer.byteLength(line)
    } else if (line === '' && data.length > 0) {
      const event = data.join('\n')
      data = []
      dataBytes = 0
      onEvent(event)
    }
  }

  return chunk => {
    if (chunk.length === 0) return true
    let from = endedWithCr && chunk[0] === LF ? 1 : 0
    endedWithCr = chunk.at(-1) === CR
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]
      if (byte !== LF && byte !== CR) continue
      endLine(chunk, from, at)
      if (byte === CR && chunk[at + 1] === LF) at++
      from = at + 1
    }
    if (from < chunk.length) keep(chunk.subarray(from))
    return keptBytes + dataBytes <= maxEventBytes
  }
}
