// A map whose entries have an end: what Redis does with the expiry of a key.

import { SortedSet } from './sorted-set.ts'

/** Entries are gone from their end on, whether or not anybody purged them. */
export interface ExpiringMap<Value> {
  readonly get: (key: string) => Value | undefined
  /** `endMs` is a time of the ledger's clock, `Infinity` for an entry that only `delete` ends. */
  readonly set: (key: string, value: Value, endMs: number) => void
  /** Was it there? */
  readonly delete: (key: string) => boolean
  /** Frees the memory of at most `max` ended entries. */
  readonly purge: (max: number) => void
  /** An entry with its end; nothing once it has ended. */
  readonly whole: (key: string) => { readonly value: Value, readonly endMs: number } | undefined
  /** Everything that has not ended, while it is walked: entries may come and go meanwhile. */
  readonly entries: () => Generator<[key: string, value: Value]>
}

/** `onEnd` is told of every entry that a purge removes, `note` of every key that is set or deleted. */
export function createExpiringMap<Value extends object> (now: () => number, { note = () => {}, onEnd = () => {} }: { readonly note?: (key: string) => void, readonly onEnd?: (key: string, value: Value) => void } = {}): ExpiringMap<Value> {
  const values = new Map<string, Value>()
  /** Of those that end by themselves. */
  const ends = new SortedSet()

  function endOf (key: string): number {
    return ends.score(key) ?? Infinity
  }

  function purge (max: number): void {
    for (const key of ends.first(max, now())) {
      const value = values.get(key)
      values.delete(key)
      ends.delete(key)
      if (value !== undefined) onEnd(key, value)
    }
  }

  function get (key: string): Value | undefined {
    const value = values.get(key)
    return value !== undefined && endOf(key) > now() ? value : undefined
  }

  return {
    get,
    whole: key => {
      const value = get(key)
      return value === undefined ? undefined : { value, endMs: endOf(key) }
    },
    set (key, value, endMs) {
      // More leave than enter, so that the map is bounded by what is alive however seldom somebody tidies up.
      purge(2)
      values.set(key, value)
      if (endMs === Infinity) ends.delete(key)
      else ends.set(key, endMs)
      note(key)
    },
    delete (key) {
      const was = values.delete(key)
      if (was) note(key)
      ends.delete(key)
      return was
    },
    purge,
    entries: function * () {
      for (const entry of values) if (endOf(entry[0]) > now()) yield entry
    }
  }
}
