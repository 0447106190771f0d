// The ledger in a folder of this machine: opened before the gateway listens, and its operators are told how its disk does.

import type { Socket } from 'node:net'
import type { DiskAccess } from '../config.ts'
import type { Ledger } from '../generation/ledger.ts'
import { createOperators } from '../generation/operators.ts'
import type { DiskFault } from '../store-faults.ts'
import { openDiskLedger } from '../store/disk/ledger.ts'
import { isNoSpace } from '../store/disk/log/port.ts'
import { createAnswering } from '../store/disk/operators-wire.ts'
import { ownFolder, type Owner } from '../store/disk/owner.ts'
import { accountText, BETWEEN_ACCOUNTS, foreignLedgerSentence, type OwnAccount } from '../upstream-account.ts'
import { unmountedFault } from './data-folder.ts'
import { answerText, askedIn } from './overview-wire.ts'
import { readOverview } from './overview.ts'
import { timesOf, type Store, type StoreOptions } from './store-terms.ts'

const sentences: Readonly<Record<DiskFault, string>> = {
  'disk-full': 'the disk of the ledger is full: nothing is bought until there is room again, and what runs goes on',
  'disk-failing': 'the disk of the ledger takes no writes: nothing is bought until it does, and what runs goes on'
}

/** By how much the ledger may be ahead of the machine's clock before it is told: clocks are put right by less than that all the time. */
const CLOCK_SECONDS = 60

/** Rejects with a sentence that says what to do when this process cannot have the folder, or when what is there cannot be read. */
export async function openDisk ({ config, accounts, log, metrics }: StoreOptions, access: DiskAccess): Promise<Store> {
  const { folder } = access
  const unmounted = await unmountedFault(access)
  if (unmounted !== null) throw new Error(unmounted)
  let fault: DiskFault | null = null

  function tellState (trouble: unknown): void {
    const now = trouble === null ? null : isNoSpace(trouble) ? 'disk-full' : 'disk-failing'
    if (fault !== null) metrics.storeFault(fault, false)
    if (now !== null) {
      metrics.storeFault(now, true)
      log.error({ fault: now, folder, err: trouble }, sentences[now])
    } else if (fault !== null) {
      log.info({ fault, folder }, 'over: the disk of the ledger takes writes again')
    }
    fault = now
  }

  let answer = (socket: Socket): void => { socket.end() } // until the ledger is there
  const owner = await ownFolder(folder, socket => { answer(socket) })
  const opened = openDiskLedger({
    folder,
    times: timesOf(config),
    accounts,
    onDamage: ({ file, offset, bytes }) => { log.warn({ file, offset, bytes }, 'the last write to the ledger was cut off before it counted; it is left out') },
    onState: tellState,
    onCheckpointFailure: error => { log.warn({ folder, err: error }, 'a snapshot of the ledger could not be written; it is tried again later') }
  })
  const { ledger, recount } = await opened.then(({ ledger, recount }) => ({ ledger: ownedBy(ledger, owner), recount }), async (error: unknown) => {
    await owner.close()
    throw error
  })
  await assertOwn(ledger, accounts(), folder)
  const aheadSeconds = Math.round((ledger.now() - Date.now()) / 1000)
  if (aheadSeconds > CLOCK_SECONDS) log.warn({ folder, ahead_seconds: aheadSeconds }, 'the ledger has seen a later time than this machine\'s clock has now: it goes on from there, and takes days and months of budgets by it')
  const operators = { ...createOperators({ ...ledger, recount }), overview: async (asked: unknown) => answerText(await readOverview(ledger, askedIn(asked))) }
  answer = createAnswering(operators)
  return {
    ledger,
    renew: () => {},
    meet: async () => {},
    connect: async () => {},
    health: () => ({ store: fault === null ? 'up' : 'down', store_kind: 'disk', store_faults: fault === null ? [] : [fault] })
  }
}

/**
 * The folder is let go once nothing writes there any more. Until then no other process buys there, so the prices of this one are those in force: it may start with earlier
 * ones than the last.
 */
function ownedBy (ledger: Ledger, owner: Owner): Ledger {
  return {
    ...ledger,
    admit: async (admission, claim) => {
      const answer = await ledger.admit(admission, claim)
      return answer.outcome === 'refused' && answer.why === 'prices' ? await ledger.admit({ ...admission, replacesPriceRule: answer.ledgerRule }, claim) : answer
    },
    preview: async admission => {
      const { would, ...standing } = await ledger.preview(admission)
      return would.outcome === 'refused' && would.why === 'prices' ? await ledger.preview({ ...admission, replacesPriceRule: would.ledgerRule }) : { would, ...standing }
    },
    close: async () => { await ledger.close().finally(owner.close) }
  }
}

/** A ledger of another account is left as it is. */
async function assertOwn (ledger: Ledger, own: readonly OwnAccount[], folder: string): Promise<void> {
  const theirs = (await ledger.gauges()).accounts.flatMap(({ upstream }) => upstream ?? [])
  if (theirs.length === 0 || own.some(account => theirs.includes(accountText(account)))) return
  await ledger.close()
  throw new Error(foreignLedgerSentence(theirs.join(BETWEEN_ACCOUNTS), own, `DATA_DIR=${folder}`, 'DATA_DIR'))
}
