// A log in a folder of its own, and what a reader of the folder finds in it.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { openLog, type DiskLog, type LogOptions } from '../../../src/store/disk/log.ts'
import type { Place } from '../../../src/store/memory/texts.ts'

export async function newFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'falgate-log-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

type Damage = Parameters<LogOptions['onDamage']>[0]

export interface Opened {
  readonly log: DiskLog
  readonly records: readonly string[]
  /** For each record the places that came with it. */
  readonly places: readonly (readonly Place[])[]
  readonly damage: readonly Damage[]
}

/** On a disk in memory the reserve is small. */
export async function open (folder: string, files?: LogOptions['files'], partBytes?: number): Promise<Opened> {
  const records: string[] = []
  const places: (readonly Place[])[] = []
  const damage: Damage[] = []
  const log = await openLog({
    folder,
    files,
    partBytes,
    ...files === undefined ? {} : { reserveBytes: 4096 },
    onRecord: (record, itsPlaces) => {
      records.push(record)
      places.push(itsPlaces)
    },
    onDamage: one => { damage.push(one) }
  })
  return { log, records, places, damage }
}

/** Opens the folder, and closes it again. */
export async function look (folder: string, files?: LogOptions['files']): Promise<Omit<Opened, 'log'>> {
  const { log, ...found } = await open(folder, files)
  await log.close()
  return found
}
