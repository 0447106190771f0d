// Files as answers: drawn when they are asked for, kept for a while within a bound of bytes.

import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Answer } from './answers.ts'
import { clipIn, type ClipRecipe } from './clips.ts'
import { createEncoder } from './drawing/encoder.ts'
import { paintAnySize } from './drawing/enlarge.ts'
import { encodePng } from './drawing/png.ts'
import { videoOf } from './drawing/video.ts'
import { soundOf } from './drawing/wav.ts'
import { recipeIn, type Recipe } from './recipe.ts'

/** A file that was made. */
export interface MadeFile { readonly bytes: Buffer, readonly contentType: string }

export interface Pictures {
  /** The file of this name as an answer, or 304 when the caller has it already; `null`: there is none. */
  answer (name: string, ifNoneMatch: string | undefined): Promise<Answer> | null
  /** The file of this name; `null`: there is none. */
  file (name: string): Promise<MadeFile> | null
  close (): void
}

/** What every picture carries as a text inside and every answer with one as a header. */
const NOTICE = 'picture drawn locally, not by the model'
const CLIP_NOTICE = 'made locally, not by the model'

/** More are not drawn at once: each takes the memory of a large picture several times. */
const MAX_AT_ONCE = 2

export function createPictures (maxBytes: number): Pictures {
  const drawn = new LRUCache<string, MadeFile>({ maxSize: maxBytes, sizeCalculation: ({ bytes }) => Math.max(1, bytes.length) })
  /** Drawing takes a while, and a page may ask twice at once. */
  const underWay = new Map<string, Promise<MadeFile>>()
  const inLine: (() => void)[] = []
  const encoder = createEncoder()
  let drawing = 0

  /** Its turn comes when fewer than `MAX_AT_ONCE` are being drawn. */
  async function inTurn (make: () => Promise<MadeFile>): Promise<MadeFile> {
    if (drawing >= MAX_AT_ONCE) await new Promise<void>(resolve => inLine.push(resolve))
    else drawing++
    try {
      return await make()
    } finally {
      const next = inLine.shift()
      if (next === undefined) drawing--
      else next()
    }
  }

  async function draw (recipe: Recipe): Promise<MadeFile> {
    const canvas = paintAnySize(recipe)
    const comment = `falgate sandbox: ${NOTICE}`
    if (recipe.format !== 'png') {
      const bytes = await encoder.encode(canvas, recipe.format, comment)
      if (bytes !== null) return { bytes: Buffer.from(bytes), contentType: `image/${recipe.format}` }
    }
    return { bytes: await encodePng(canvas, { Software: 'falgate sandbox', Comment: comment }), contentType: 'image/png' }
  }

  async function play (recipe: ClipRecipe): Promise<MadeFile> {
    return recipe.kind === 'wav' ? { bytes: soundOf(recipe.layout), contentType: 'audio/wav' } : { bytes: videoOf(recipe.layout), contentType: 'video/mp4' }
  }

  function fileOf (name: string): Promise<MadeFile> | null {
    const kept = drawn.get(name) ?? underWay.get(name)
    if (kept !== undefined) return Promise.resolve(kept)
    const recipe = recipeIn(name)
    const clip = clipIn(name)
    if (recipe === null && clip === null) return null
    const making = inTurn(async () => recipe !== null ? await draw(recipe) : await play(clip ?? { kind: 'wav', layout: Buffer.alloc(0) }))
      .then(file => {
        drawn.set(name, file)
        return file
      })
      .finally(() => { underWay.delete(name) })
    underWay.set(name, making)
    return making
  }

  return {
    file: fileOf,

    answer (name, ifNoneMatch) {
      const isPicture = recipeIn(name) !== null
      if (!isPicture && clipIn(name) === null) return null
      // The name holds everything that the file depends on, so it can stand for the bytes.
      const etag = `"${createHash('sha256').update(name).digest('base64url').slice(0, 22)}"`
      const headers = {
        etag,
        'cache-control': 'public, max-age=31536000, immutable',
        'access-control-allow-origin': '*',
        'x-falgate-sandbox': isPicture ? NOTICE : CLIP_NOTICE
      }
      if (ifNoneMatch?.includes(etag) === true) return Promise.resolve({ status: 304, headers, body: '' })
      return fileOf(name)?.then(({ bytes, contentType }) => ({ status: 200, headers: { ...headers, 'content-type': contentType }, body: bytes })) ?? null
    },

    close: encoder.close
  }
}
