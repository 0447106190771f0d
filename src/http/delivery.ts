// What reached its caller (rule 6): the generation whose answer went out on an open socket is delivered, any other may be reattached.

import type { Connection } from '../generation/generation.ts'
import type { Ledger } from '../generation/ledger.ts'
import type { CallOptions } from '../generation/request/call.ts'
import type { Answer } from '../generation/request/request.ts'
import type { Metrics } from '../metrics.ts'
import type { OnTrouble } from '../trouble.ts'
import type { CallerConnection } from './connection.ts'

export interface DeliveryDeps {
  readonly ledger: Ledger
  readonly metrics: Metrics
  readonly onTrouble: OnTrouble
}

/** The generation is delivered when its result, its final error or an asked-for id went out on an open socket. */
export function rememberDelivery (caller: CallerConnection, answer: Answer, options: Pick<CallOptions, 'tenant' | 'async' | 'waitMs'>, connection: Connection, deps: DeliveryDeps): void {
  const { tenant, async, waitMs } = options
  if (answer.kind === 'caller-gone' || answer.kind === 'gone' || answer.source === 'hit') return
  const id = answer.kind === 'failed' ? answer.row.id : answer.generationId
  if (id === null || (answer.kind === 'under-way' && !async)) return
  caller.onceOver(isDelivered => {
    if (!isDelivered) deps.metrics.undelivered(tenant.id)
    // A caller that asked for the id only takes no time from a generation by leaving; a duplicate's replica is asked, and says that nobody is there.
    if (!isDelivered && waitMs === 0) return
    // A caller who has the id can collect, also one that replayed or joined and is not written there.
    const told = isDelivered ? deps.ledger.seen(id, waitMs > 0 ? connection : null) : deps.ledger.left(id, connection)
    told.catch((error: unknown) => { deps.onTrouble('note-delivery', error) })
  })
}

/** One that has ended is delivered, too, when it was fetched by its id. */
export function rememberFetch (caller: CallerConnection, id: string, { ledger, onTrouble }: Pick<DeliveryDeps, 'ledger' | 'onTrouble'>): void {
  caller.onceOver(isDelivered => {
    if (isDelivered) ledger.seen(id, null).catch((error: unknown) => { onTrouble('note-delivery', error) })
  })
}
