// Looks at everything that a gateway of this environment needs, and says of each thing whether it is in order. Nothing is bought, and nothing of the ledger is changed.

import type { Parts } from '../parts.ts'
import { falFindings, modelsFindings, storageFindings } from './fal.ts'
import { checks, notTried, ok, warning, type Finding } from './finding.ts'
import { folderFindings } from './folder.ts'
import { diskFinding, filesFindings, nodeFinding, openFilesFinding } from './machine.ts'
import { mediaFindings } from './media.ts'
import { redisFindings } from './redis.ts'
import { settingsFindings } from './settings.ts'

/** All findings, in the order of `checks`. Never rejects; takes some seconds where nobody answers. */
export async function examine (parts: Parts): Promise<readonly Finding[]> {
  const { config } = parts
  const [openFiles, disk, files, redis, folder, media, fal, storage, models] = await Promise.all([openFilesFinding(), diskFinding(config), filesFindings(config), redisFindings(parts), folderFindings(config), mediaFindings(config), falFindings(parts), storageFindings(config), modelsFindings(parts)])
  const clock = clockFinding({ aheadOfRedisMs: redis.clockAheadMs === null ? null : -redis.clockAheadMs, aheadOfFalMs: fal.clockAheadMs })
  const all = [...settingsFindings(parts), ...files, nodeFinding(), openFiles, disk, clock, ...redis.findings, ...folder, ...media, ...fal.findings, ...storage, ...models]
  return all.toSorted((one, other) => checks.indexOf(one.check) - checks.indexOf(other.check))
}

/** Times of the ledger are those of Redis, those of the log this machine's. */
const FAR_MS = 2_000
/** fal tells whole seconds, and its answer takes its time. */
const FAR_FROM_FAL_MS = 30_000

/** How far this machine's clock is ahead of others; `null`: that is not known. */
export function clockFinding ({ aheadOfRedisMs, aheadOfFalMs }: { readonly aheadOfRedisMs: number | null, readonly aheadOfFalMs: number | null }): Finding {
  const measured = { ...aheadOfRedisMs === null ? {} : { ahead_of_redis_ms: Math.round(aheadOfRedisMs) }, ...aheadOfFalMs === null ? {} : { ahead_of_fal_ms: Math.round(aheadOfFalMs) } }
  const zone = `This machine is set to ${Intl.DateTimeFormat().resolvedOptions().timeZone}; budgets and logs go by UTC`
  if (aheadOfRedisMs !== null && Math.abs(aheadOfRedisMs) > FAR_MS) {
    return warning('clock', `the clock of this machine is ${offText(aheadOfRedisMs)} that of Redis, by which budgets and limits go: let both follow a time server`, measured)
  }
  if (aheadOfFalMs !== null && Math.abs(aheadOfFalMs) > FAR_FROM_FAL_MS) return warning('clock', `the clock of this machine is ${offText(aheadOfFalMs)} that of fal: let it follow a time server`, measured)
  if (aheadOfRedisMs === null && aheadOfFalMs === null) return notTried('clock', `there was no other clock to compare with. ${zone}`)
  return ok('clock', `the clocks agree. ${zone}`, measured)
}

function offText (aheadMs: number): string {
  return `${(Math.abs(aheadMs) / 1000).toFixed(1)} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`
}
