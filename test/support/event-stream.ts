// Reading server-sent events as a client does, comments included.

import { STUDIO_KEY } from './gateway.ts'

export interface ReadEvent { readonly event: string, readonly id: string, readonly data: string }

export interface ReadStream {
  readonly status: number
  readonly headers: Headers
  /** What has come so far. */
  readonly events: readonly ReadEvent[]
  readonly comments: readonly string[]
  /** The data of the events of this name, as JSON. */
  readonly told: (name: string) => readonly Record<string, unknown>[]
  /** Resolves at the stream's end, and rejects when it breaks off. */
  readonly over: Promise<void>
  readonly leave: () => void
}

export interface StreamOptions { readonly key?: string, readonly lastEventId?: string }

/** Opens the events of a generation at this gateway. */
export async function followAt (base: string, id: string, { key = STUDIO_KEY, lastEventId }: StreamOptions = {}): Promise<ReadStream> {
  const leaving = new AbortController()
  const response = await fetch(`${base}/generations/${id}/events`, {
    signal: leaving.signal,
    headers: { authorization: `Bearer ${key}`, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) }
  })
  const events: ReadEvent[] = []
  const comments: string[] = []

  async function read (): Promise<void> {
    if (response.body === null) return
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of response.body) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) take(block.split('\n'))
    }
  }

  function take (lines: readonly string[]): void {
    const field = (name: string): string => lines.filter(line => line.startsWith(name + ': ')).map(line => line.slice(name.length + 2)).join('\n')
    comments.push(...lines.filter(line => line.startsWith(': ')).map(line => line.slice(2)))
    if (lines.some(line => line.startsWith('data: '))) events.push({ event: field('event'), id: field('id'), data: field('data') })
  }

  const over = read()
  over.catch(() => {}) // code that cares waits for it
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments,
    told: name => events.filter(({ event }) => event === name).map(({ data }) => Object(JSON.parse(data))),
    over,
    leave: () => { leaving.abort() }
  }
}
