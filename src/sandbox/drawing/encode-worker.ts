// A thread that writes pictures as JPEG and WebP, because their encoders take long. The encoders are packages that need not be installed.

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { parentPort } from 'node:worker_threads'
import { withJpegComment, withWebpComment } from './comments.ts'

/** What the thread is sent. */
export interface EncodeOrder {
  readonly id: number
  readonly format: 'jpeg' | 'webp'
  readonly width: number
  readonly height: number
  readonly palette: Uint8Array
  readonly pixels: Uint8Array
  readonly comment: string
}

/** What it answers: the file, or why there is none. */
export type EncodeReply = { readonly id: number, readonly bytes: Uint8Array } | { readonly id: number, readonly fault: string }

/** What is used of it. No library of types that is used here has it. */
declare const WebAssembly: {
  readonly compile: (bytes: Uint8Array) => Promise<object>
  readonly Instance: new (code: object, imports: object) => { readonly exports: object }
}

type Encode = (rgba: Uint8Array, width: number, height: number) => Uint8Array

/** The parts of each package, and all of its options: those that are quick. */
const codecs = {
  jpeg: {
    package: '@jsquash/jpeg',
    glue: 'codec/enc/mozjpeg_enc.js',
    code: 'codec/enc/mozjpeg_enc.wasm',
    options: { quality: 85, baseline: true, arithmetic: false, progressive: false, optimize_coding: false, smoothing: 0, color_space: 3, quant_table: 3, trellis_multipass: false, trellis_opt_zero: false, trellis_opt_table: false, trellis_loops: 1, auto_subsample: true, chroma_subsample: 2, separate_chroma_quality: false, chroma_quality: 85 }
  },
  webp: {
    package: '@jsquash/webp',
    glue: 'codec/enc/webp_enc.js',
    code: 'codec/enc/webp_enc.wasm',
    options: { quality: 85, target_size: 0, target_PSNR: 0, method: 0, sns_strength: 50, filter_strength: 60, filter_sharpness: 0, filter_type: 1, partitions: 0, segments: 4, pass: 1, show_compressed: 0, preprocessing: 0, autofilter: 0, partition_limit: 0, alpha_compression: 1, alpha_filtering: 1, alpha_quality: 100, lossless: 0, exact: 0, image_hint: 0, emulate_jpeg_size: 0, thread_level: 0, low_memory: 0, near_lossless: 100, use_delta_palette: 0, use_sharp_yuv: 0 }
  }
} as const

const loaded = new Map<string, Promise<Encode>>()

/** Loads an encoder from its package. Throws where it is not there or is another than expected. */
async function load (format: 'jpeg' | 'webp'): Promise<Encode> {
  const { package: name, glue, code, options } = codecs[format]
  const { resolve } = createRequire(import.meta.url)
  const compiled = await WebAssembly.compile(await readFile(resolve(`${name}/${code}`)))
  const imported: unknown = await import(`${name}/${glue}`)
  const factory: unknown = Reflect.get(Object(imported), 'default')
  if (typeof factory !== 'function') throw new Error(`${name} has another form`)
  const codec: unknown = await factory({
    noInitialRun: true,
    instantiateWasm: (imports: object, done: (instance: object) => void) => {
      const instance = new WebAssembly.Instance(compiled, imports)
      done(instance)
      return instance.exports
    }
  })
  const encode: unknown = Reflect.get(Object(codec), 'encode')
  if (typeof encode !== 'function') throw new Error(`${name} has another form`)
  return (rgba, width, height) => {
    const bytes: unknown = Reflect.apply(encode, codec, [rgba, width, height, options])
    if (!(bytes instanceof Uint8Array)) throw new Error(`${name} wrote nothing`)
    return bytes
  }
}

function rgbaOf ({ palette, pixels }: EncodeOrder): Uint8Array {
  const rgba = new Uint8Array(pixels.length * 4)
  for (const [place, index] of pixels.entries()) {
    rgba[place * 4] = palette[index * 3] ?? 0
    rgba[place * 4 + 1] = palette[index * 3 + 1] ?? 0
    rgba[place * 4 + 2] = palette[index * 3 + 2] ?? 0
    rgba[place * 4 + 3] = 255
  }
  return rgba
}

async function encoded (order: EncodeOrder): Promise<EncodeReply> {
  const { id, format, width, height, comment } = order
  try {
    const encoder = loaded.get(format) ?? load(format)
    loaded.set(format, encoder)
    const bytes = (await encoder)(rgbaOf(order), width, height)
    return { id, bytes: format === 'jpeg' ? withJpegComment(bytes, comment) : withWebpComment(bytes, comment, width, height) }
  } catch (error) {
    return { id, fault: error instanceof Error ? error.message : String(error) }
  }
}

parentPort?.on('message', (order: EncodeOrder) => {
  encoded(order).then(reply => { parentPort?.postMessage(reply) }, () => {})
})
