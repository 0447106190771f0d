// What the tests of killed processes write: numbers that count up, under one of fifty keys each, with a text beside.

import { openLog, type DiskLog } from '../../../src/store/disk/log.ts'
import type { Place } from '../../../src/store/memory/texts.ts'

const KEYS = 50

export interface Numbers {
  readonly log: DiskLog
  /** The last number that was written. */
  readonly last: () => number
  readonly append: () => Promise<number>
  readonly checkpoint: () => Promise<void>
  /** Rejects unless every key has the last number that belongs to it, with its text. */
  readonly check: () => Promise<void>
}

export function textOf (number: number): string {
  return `text ${number} `.repeat(1 + number % 90)
}

export async function openNumbers (folder: string): Promise<Numbers> {
  const held = new Map<number, { readonly number: number, readonly place: Place }>()
  let last = 0
  const take = (number: number, place: Place): void => {
    held.set(number % KEYS, { number, place })
    last = Math.max(last, number)
  }
  const log = await openLog({
    folder,
    onDamage: () => {},
    onRecord: (record, [place]) => {
      const [number, itsPlace] = JSON.parse(record)
      take(number, place ?? itsPlace)
    }
  })
  return {
    log,
    last: () => last,
    append: async () => {
      const number = last + 1
      const [place] = await log.append({ records: [JSON.stringify([number])], texts: [textOf(number)] })
      if (place === undefined) throw new Error('no place')
      take(number, place)
      return number
    },
    checkpoint: async () => {
      const checkpoint = await log.beginCheckpoint()
      const moved: (readonly [key: number, from: Place, to: Place])[] = []
      for (const [key, { number, place }] of held) {
        const to = await checkpoint.keep(place)
        moved.push([key, place, to])
        await checkpoint.write([JSON.stringify([number, to])])
      }
      await checkpoint.commit()
      for (const [key, from, place] of moved) {
        const now = held.get(key)
        if (now?.place === from) held.set(key, { number: now.number, place })
      }
    },
    check: async () => {
      for (let number = last; number > Math.max(0, last - KEYS); number--) {
        const found = held.get(number % KEYS)
        if (found?.number !== number) throw new Error(`${number} is missing; its key has ${found?.number}`)
        if (await log.readText(found.place) !== textOf(number)) throw new Error(`${number} has another text`)
      }
    }
  }
}
