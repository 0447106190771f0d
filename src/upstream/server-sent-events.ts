// Splits a stream of bytes into server-sent events. Source: the WHATWG HTML standard, section "Server-sent events".

/**
 * Gives the data of each event. Comments (fal's `: ping`) and other fields are dropped, as is an event that the stream's end cuts off.
 * Chunks may end anywhere, inside a character or between CR and LF. Throws when one event grows beyond `maxEventCharacters`.
 */
export async function * readEvents (chunks: AsyncIterable<Uint8Array>, maxEventCharacters: number): AsyncGenerator<string, void> {
  const decoder = new TextDecoder()
  let rest = ''
  let data: string[] = []
  let dataCharacters = 0
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield data.join('\n')
        data = []
        dataCharacters = 0
      } else if (line.startsWith('data:')) {
        data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
        dataCharacters += line.length
      }
    }
    if (rest.length + dataCharacters > maxEventCharacters) throw new Error('a server-sent event is too long')
  }
}
