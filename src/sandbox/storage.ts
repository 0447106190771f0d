// fal's storage: files that callers give, for inputs to name. In memory, and few of them: what came first goes first.

import { createHash, randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { guardOf } from '../schema.ts'
import { detail, json, type Answer } from './answers.ts'

/** What the storage holds at most. */
export interface StorageBounds {
  readonly files: number
  /** Of one file. */
  readonly fileBytes: number
  /** Of all together, and the same again of those that are on their way. */
  readonly bytes: number
}

export const STORAGE_BOUNDS: StorageBounds = { files: 20, fileBytes: 32 * 1024 * 1024, bytes: 64 * 1024 * 1024 }

export interface Storage {
  /** Says where a file goes, and where it is then. `base`: of the sandbox, as the caller knows it. */
  initiate (text: string, base: string): Answer
  /** May this many bytes come for a place? Takes room for them, until it is given back; or the answer why not. `null`: nobody said how many there are. */
  expect (id: string, bytes: number | null): (() => void) | Answer
  /** Keeps a file, once. */
  take (id: string, bytes: Buffer): Answer
  /** The file of this name; `null`: there is none, any more. */
  answer (name: string): Answer | null
  /** Is it the address of a file below `base` that never came? One that came and is not kept any more is none: nobody looks into it. */
  isMissing (address: string, base: string): boolean
}

/** Below the base of the sandbox: where files are sent, and where they are. */
export const PLACES = '/storage/upload'
export const FILES = '/files/uploads'

const isWish = guardOf(Type.Object({ content_type: Type.String({ maxLength: 200 }), file_name: Type.String({ maxLength: 1_000 }) }))

/** What is served as what it was said to be. The rest could be a page that runs something, and is for saving. */
const SHOWN = /^(?:image\/(?:png|jpeg|webp|gif|avif)|audio\/(?:wav|mpeg)|video\/mp4)$/
const ANYTHING = 'application/octet-stream'

/** More are not remembered. */
const MAX_NAMES = 10_000

const NOTICE = 'given by a caller, kept for a while'

interface Place { readonly name: string, readonly type: string }

export function createStorage ({ files: maxFiles, fileBytes, bytes: maxBytes }: StorageBounds): Storage {
  /** Where files may come, by what stands in the address. */
  const places = new Map<string, Place>()
  const files = new Map<string, { readonly bytes: Buffer, readonly type: string }>()
  /** Names of all that came, also of what is not kept any more: a gateway does not give the same file twice. */
  const came = new Set<string>()
  let keptBytes = 0
  let comingBytes = 0

  function dropOldest (): void {
    for (const [name, { bytes }] of files) {
      if (files.size <= maxFiles && keptBytes <= maxBytes) return
      files.delete(name)
      keptBytes -= bytes.length
    }
  }

  return {
    initiate (text, base) {
      const wish = parse(text)
      if (!isWish(wish)) return detail(422, 'The body has to be an object with content_type and file_name, which are texts')
      const [id, ending] = [randomUUID(), /\.([a-z0-9]{1,8})$/i.exec(wish.file_name)?.[1]?.toLowerCase() ?? 'bin']
      const name = `${randomUUID()}.${ending}`
      places.set(id, { name, type: SHOWN.test(wish.content_type) ? wish.content_type : ANYTHING })
      forgetOldest(places, maxFiles)
      return json(200, { upload_url: `${base}${PLACES}/${id}`, file_url: `${base}${FILES}/${name}` })
    },

    expect (id, bytes) {
      if (!places.has(id)) return noPlace
      if (bytes === null) return detail(411, 'The length of the file has to be told')
      if (bytes > fileBytes) return detail(413, `A file has at most ${fileBytes} bytes here`)
      if (comingBytes + bytes > maxBytes) return detail(503, 'Too many files are coming at once')
      comingBytes += bytes
      let isHeld = true
      return () => {
        if (isHeld) comingBytes -= bytes
        isHeld = false
      }
    },

    take (id, bytes) {
      const place = places.get(id)
      if (place === undefined) return noPlace
      places.delete(id)
      files.set(place.name, { bytes, type: place.type })
      came.add(place.name)
      forgetOldest(came, MAX_NAMES)
      keptBytes += bytes.length
      dropOldest()
      return { status: 200, headers: {}, body: '' }
    },

    answer (name) {
      const file = files.get(name)
      if (file === undefined) return null
      return {
        status: 200,
        headers: {
          'content-type': file.type,
          'access-control-allow-origin': '*',
          'cache-control': 'public, max-age=60',
          // Whatever it is, it runs nothing at the origin of a gateway.
          'content-security-policy': 'default-src \'none\'; sandbox',
          'x-content-type-options': 'nosniff',
          etag: `"${createHash('sha256').update(file.bytes).digest('base64url').slice(0, 22)}"`,
          'x-falgate-sandbox': NOTICE
        },
        body: file.bytes
      }
    },

    isMissing (address, base) {
      return address.startsWith(`${base}${FILES}/`) && !came.has(address.slice(base.length + FILES.length + 1))
    }
  }
}

function forgetOldest (kept: Map<string, unknown> | Set<string>, most: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= most) return
    kept.delete(oldest)
  }
}

const noPlace = detail(404, 'Nothing is expected here')

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
