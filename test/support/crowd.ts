// Many callers at once, as patient as any client, and what they were told.

import type { Reply } from './gateway.ts'
import type { Replica } from './replicas.ts'
import { until } from './until.ts'

/** One caller each; the requests go round the replicas. */
export async function crowd (replicas: readonly Replica[], size: number, bodyOf: (caller: number) => object, headers: Readonly<Record<string, string>> = {}): Promise<Reply[]> {
  return await Promise.all(Array.from({ length: size }, async (_, caller) => {
    const replica = at(replicas, caller)
    return await patiently(async () => await replica.generate(bodyOf(caller), { headers }))
  }))
}

export function at (replicas: readonly Replica[], caller: number): Replica {
  const replica = replicas[caller % replicas.length]
  if (replica === undefined) throw new Error('there is no replica')
  return replica
}

/** How many answers of each kind: 200, or a problem's code. */
export function counts (replies: readonly Reply[]): Record<string, number> {
  const by: Record<string, number> = {}
  for (const reply of replies) {
    const kind = reply.status === 200 ? '200' : String(reply.json()['code'])
    by[kind] = (by[kind] ?? 0) + 1
  }
  return by
}

/** As any client does: 503 `store-unavailable` has bought nothing and is asked again, at OpenAI's door, too. */
export async function patiently (ask: () => Promise<Reply>): Promise<Reply> {
  return await until(async () => {
    const reply = await ask()
    return (reply.status !== 503 || !/"code":"store[-_]unavailable"/.test(reply.text)) && reply
  }, { what: 'the ledger is there again', patienceMs: 300_000 })
}
