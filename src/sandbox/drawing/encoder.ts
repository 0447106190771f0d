// JPEG and WebP in a thread of their own, which starts with the first picture that needs it.

import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { isObject } from '../../schema.ts'
import type { PictureFormat } from '../recipe.ts'
import type { Canvas } from './canvas.ts'
import type { EncodeOrder } from './encode-worker.ts'

/** Writes canvases in the formats that need a package. */
export interface Encoder {
  /** The file, or `null` when the encoder failed. */
  encode (canvas: Canvas, format: 'jpeg' | 'webp', comment: string): Promise<Uint8Array | null>
  close (): void
}

const packages = { jpeg: '@jsquash/jpeg/codec/enc/mozjpeg_enc.js', webp: '@jsquash/webp/codec/enc/webp_enc.js' } as const

/** The formats that this installation can write: PNG, and those whose optional package is there. */
export function installedFormats (): ReadonlySet<PictureFormat> {
  const { resolve } = createRequire(import.meta.url)
  const formats = new Set<PictureFormat>(['png'])
  for (const format of ['jpeg', 'webp'] as const) {
    try {
      resolve(packages[format])
      formats.add(format)
    } catch {
      // It is optional.
    }
  }
  return formats
}

export function createEncoder (): Encoder {
  const waiting = new Map<number, (bytes: Uint8Array | null) => void>()
  let worker: Worker | null = null
  let count = 0

  function settleAll (): void {
    worker = null
    for (const resolve of waiting.values()) resolve(null)
    waiting.clear()
  }

  function start (): Worker {
    const started = new Worker(new URL('./encode-worker.js', import.meta.url))
    started.on('message', (reply: unknown) => {
      if (!isObject(reply) || typeof reply['id'] !== 'number') return
      const { id, bytes } = reply
      waiting.get(id)?.(bytes instanceof Uint8Array ? bytes : null)
      waiting.delete(id)
    })
    started.on('error', settleAll)
    started.on('exit', settleAll)
    // After the listeners, which hold a process as well.
    started.unref()
    return started
  }

  return {
    encode ({ width, height, palette, pixels }, format, comment) {
      worker ??= start()
      const order: EncodeOrder = { id: ++count, format, width, height, palette, pixels, comment }
      return new Promise(resolve => {
        waiting.set(order.id, resolve)
        worker?.postMessage(order)
      })
    },

    close () {
      worker?.terminate().catch(() => {}) // those that wait for it are told below
      settleAll()
    }
  }
}
