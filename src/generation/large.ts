// Outputs that are too long for a row: which requests make them, and how a row gets its output back.

import type { Generation } from './generation.ts'
import type { Ledger } from './ledger.ts'

/** Does this input ask for pictures inside the output? fal's word for that is a boolean `sync_mode`, of the models that know it. */
export function makesLarge (input: string): boolean {
  // Most inputs are without it, and need not be parsed again.
  return input.includes('"sync_mode":true') && Reflect.get(Object(JSON.parse(input)), 'sync_mode') === true
}

/** The row with its output, also where that lies aside; without, when it does so no longer. Rejects like any call of the ledger. */
export async function withOutput<One extends Pick<Generation, 'purchase' | 'output' | 'large'>> (ledger: Pick<Ledger, 'aside'>, row: One): Promise<One> {
  return row.output === null && row.large !== null ? { ...row, output: await ledger.aside(row.purchase) } : row
}

/** The bytes of long outputs that somebody still reads, by their hash: readers who take their time share one copy. */
const shared = new Map<string, WeakRef<Buffer>>()

const gone = new FinalizationRegistry<string>(sha256 => {
  if (shared.get(sha256)?.deref() === undefined) shared.delete(sha256)
})

/** An output as it is sent: its text, or of a long one its bytes, which many may be sent at once. */
export function bodyOf ({ large }: Pick<Generation, 'large'>, output: string): string | Buffer {
  if (large === null) return output
  const known = shared.get(large.sha256)?.deref()
  if (known !== undefined) return known
  const bytes = Buffer.from(output)
  shared.set(large.sha256, new WeakRef(bytes))
  gone.register(bytes, large.sha256)
  return bytes
}
