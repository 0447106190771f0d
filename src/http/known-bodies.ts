// Bodies that were answered out of this process' memory a moment ago. The same bytes for the same model mean the same call, so neither JSON nor
// schema, canonical form and digests are needed for it. What is remembered is how the body was read, and no answer: whether the caller may ask, what is stored, how long
// it lasts and whether it is still there is looked up for each request, as for every other.

import { LRUCache } from 'lru-cache'
import type { ExactNumbers } from '../fal-wire/exact-numbers.ts'
import type { ExactSeed } from '../fal-wire/exact-seed.ts'
import type { CallOptions } from '../generation/request/call.ts'
import type { PromptFacts } from '../logger.ts'
import type { Mapped } from '../models/image-request.ts'
import type { Model, ReadOptions } from '../models/model.ts'
import type { Tenant } from '../tenants/book.ts'

/** A body as JSON. Nobody changes it. */
export interface ParsedBody {
  readonly value: unknown
  /** The digits of its `seed`. */
  readonly seed: ExactSeed
  /** The digits of its numbers that JavaScript would change. */
  readonly numbers: ExactNumbers | null
}

/** What decides how a body is read, beside its bytes. Models and the parts of tenants are compared by identity: another file of either makes new ones. */
export interface ReadFor {
  readonly model: Model
  readonly unknownFields: ReadOptions['unknownFields']
  /** The fields whose defaults are sent because the price depends on them. */
  readonly pricedFields: readonly string[]
  readonly allow: Tenant['allow']
  readonly cacheGroup: string
  readonly mode: CallOptions['mode']
  /** What it means in the model's words, where it is written in OpenAI's. */
  readonly mapped: Mapped | null
}

/** A body as its model reads it. What the caller may not ask for is not decided by then. */
export interface ReadBody extends Pick<CallOptions, 'body' | 'sent' | 'input' | 'seed' | 'numbers' | 'cacheName'> {
  /** Names of fields that were left out, as they may be told. */
  readonly ignored: readonly string[]
  /** What the log says of the prompt; `null`: there is none. */
  readonly prompt: PromptFacts | null
}

export interface KnownBody extends ParsedBody {
  readonly readFor: ReadFor
  readonly read: ReadBody
}

export interface KnownBodies {
  /** `name` is that of {@link nameOfBytes}. */
  readonly find: (name: string) => KnownBody | undefined
  /** Remembers how the body with this name was read for the last one that asked. */
  readonly keep: (name: string, body: KnownBody) => void
}

/** Longer bodies are read each time. */
const MAX_BODY_BYTES = 4096

/** What all of them may take. */
const MAX_BYTES = 8 * 1024 * 1024

/** The texts of a body stand in its name, its value, its canonical form and what is sent. */
const COPIES = 4
const OVERHEAD_BYTES = 1024

/** What a body is remembered by: its bytes, one character for each. `null`: it is too long. */
export function nameOfBytes (bytes: Buffer): string | null {
  return bytes.length > MAX_BODY_BYTES ? null : bytes.toString('latin1')
}

export function createKnownBodies (): KnownBodies {
  const bodies = new LRUCache<string, KnownBody>({ maxSize: MAX_BYTES, sizeCalculation: (_body, name) => COPIES * name.length + OVERHEAD_BYTES })
  return {
    find: name => bodies.get(name),
    keep: (name, body) => { bodies.set(name, body) }
  }
}

/** Would the body be read in the same way for both? */
export function isReadAlike (one: ReadFor, other: ReadFor): boolean {
  return one.model === other.model && one.unknownFields === other.unknownFields && one.mode === other.mode && one.cacheGroup === other.cacheGroup &&
    one.mapped === other.mapped && one.pricedFields === other.pricedFields && (one.allow === other.allow || (one.allow.size === 0 && other.allow.size === 0))
}
