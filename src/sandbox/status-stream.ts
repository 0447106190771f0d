// The status stream: one event for every change of a job, new log lines only, the end after the last.

import type { ServerResponse } from 'node:http'
import { PING, statusEvent, type QueueStatus } from '../fal-wire/status.ts'
import type { Job, Jobs } from './jobs.ts'

export interface StatusStreamOptions {
  readonly jobs: Jobs
  readonly job: Job
  /** The socket's side of an answer that is out of Fastify's hands. */
  readonly raw: ServerResponse
  readonly headers: Readonly<Record<string, string>>
  readonly logs: boolean
  /** A comment is sent so often, so that nobody on the way takes the stream for dead. */
  readonly pingMs: number
  readonly statusObject: (logsFrom: number | null) => QueueStatus
  /** Breaks off after the first event, or ends in good order there. */
  readonly truncate?: 'broken' | 'cleanly' | undefined
}

/** Writes the stream; the returned promise resolves when it is over, by its end, by the caller's leaving or by `end()` from outside. */
export function writeStatusStream ({ jobs, job, raw, headers, logs, pingMs, statusObject, truncate }: StatusStreamOptions): Promise<void> {
  return new Promise(resolve => {
    let logsSent = 0
    let last = ''

    function send (): void {
      const status = statusObject(logs ? logsSent : null)
      const event = statusEvent(status)
      if (event === last) return
      last = event
      logsSent += status.logs?.length ?? 0
      raw.write(event, () => {
        if (truncate === 'broken') raw.destroy()
      })
      if (truncate !== undefined) unwatch()
      if (truncate === 'cleanly' || status.status === 'COMPLETED') raw.end()
    }

    const unwatch = jobs.watch(job, () => { if (!raw.writableEnded) send() })
    const ping = setInterval(() => { raw.write(`: ${PING}\n\n`) }, pingMs)
    raw.once('close', () => {
      clearInterval(ping)
      unwatch()
      resolve()
    })
    raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', ...headers })
    send()
  })
}
