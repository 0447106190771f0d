// A process that has another account's ledger by mistake.

import type { Generation } from '../../src/generation/generation.ts'
import type { Deployment, Replica } from './replicas.ts'

/** `falgate serve` without a key: it draws by itself. */
export const keyless = { FAL_KEY: 'sandbox', FAL_QUEUE_URL: '' }

/** What waits in the queue stays there. */
export const buyingNothing = { FAL_CONCURRENCY: '0' }

/** Somebody's request, in the queue, once its caller was told its id. */
export async function waitingGeneration (gateway: Replica, { untilGeneration }: Deployment): Promise<Generation> {
  await gateway.generate({ prompt: 'a red bicycle', seed: 7 }, { headers: { prefer: 'respond-async' } })
  return await untilGeneration(({ phase, delivered }) => phase === 'waiting' && delivered)
}
