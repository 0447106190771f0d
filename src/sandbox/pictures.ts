// Pictures as answers: drawn when they are asked for, kept for a while within a bound of bytes.

import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Answer } from './answers.ts'
import { paint } from './drawing/paint.ts'
import { encodePng } from './drawing/png.ts'
import type { Recipe } from './recipe.ts'

export interface Pictures {
  /** The picture as an answer, or 304 when the caller has it already. */
  answer (name: string, recipe: Recipe, ifNoneMatch: string | undefined): Promise<Answer>
}

/** What every picture carries as a PNG text and every answer with one as a header. */
const NOTICE = 'picture drawn locally, not by the model'

export function createPictures (maxBytes: number): Pictures {
  const drawn = new LRUCache<string, Buffer>({ maxSize: maxBytes, sizeCalculation: png => png.length })
  /** Drawing takes a while, and a page may ask twice at once. */
  const underWay = new Map<string, Promise<Buffer>>()

  async function draw (name: string, recipe: Recipe): Promise<Buffer> {
    const png = await encodePng(paint(recipe), { Software: 'falgate sandbox', Comment: `falgate sandbox: ${NOTICE}` })
    drawn.set(name, png)
    return png
  }

  async function pictureOf (name: string, recipe: Recipe): Promise<Buffer> {
    const kept = drawn.get(name)
    if (kept !== undefined) return kept
    const drawing = underWay.get(name) ?? draw(name, recipe).finally(() => { underWay.delete(name) })
    underWay.set(name, drawing)
    return drawing
  }

  return {
    async answer (name, recipe, ifNoneMatch) {
      // The name holds everything that the picture depends on, so it can stand for the bytes.
      const etag = `"${createHash('sha256').update(name).digest('base64url').slice(0, 22)}"`
      const headers = {
        etag,
        'cache-control': 'public, max-age=31536000, immutable',
        'access-control-allow-origin': '*',
        'x-falgate-sandbox': NOTICE
      }
      if (ifNoneMatch?.includes(etag) === true) return { status: 304, headers, body: '' }
      return { status: 200, headers: { ...headers, 'content-type': 'image/png' }, body: await pictureOf(name, recipe) }
    }
  }
}
