// TEMPORARY: a log in one file, until the real one is there.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from '../memory/texts.ts'

export interface Batch { readonly records: readonly string[], readonly texts: readonly string[] }
export interface LogOptions { readonly folder: string, readonly files?: object, readonly onRecord: (record: string, places: readonly Place[]) => void, readonly onDamage: (damage: { file: string, offset: number, bytes: number }) => void }
export interface DiskLog {
  append: (batch: Batch) => Promise<readonly Place[]>
  readText: (place: Place) => Promise<string>
  beginCheckpoint: () => Promise<Checkpoint>
  readonly bytesSinceCheckpoint: number
  readonly snapshotBytes: number
  readonly wantsCheckpoint: boolean
  readonly isFull: boolean
  makeRoom: () => Promise<boolean>
  close: () => Promise<void>
}
export interface Checkpoint {
  keep: (place: Place) => Promise<Place>
  add: (text: string) => Promise<Place>
  write: (records: readonly string[]) => Promise<void>
  commit: () => Promise<void>
  abort: () => Promise<void>
}

export async function openLog ({ folder, onRecord }: LogOptions): Promise<DiskLog> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'log')
  const texts: string[] = []
  const take = (batch: Batch): Place[] => batch.texts.map(text => {
    texts.push(text)
    return { file: 1, offset: texts.length - 1, bytes: Buffer.byteLength(text) }
  })
  if (existsSync(file)) {
    for (const line of readFileSync(file, 'utf8').split('\n').filter(line => line !== '')) {
      const batch: Batch = JSON.parse(line)
      const places = take(batch)
      for (const record of batch.records) onRecord(record, places)
    }
  }
  return {
    append: async batch => {
      appendFileSync(file, JSON.stringify(batch) + '\n')
      return take(batch)
    },
    readText: async ({ offset }) => texts[offset] ?? '',
    beginCheckpoint: async () => { throw new Error('not yet') },
    bytesSinceCheckpoint: 0,
    snapshotBytes: 0,
    wantsCheckpoint: false,
    isFull: false,
    makeRoom: async () => true,
    close: async () => {}
  }
}
