// Sounds and videos: small, the same for the same input and seed, and made when they are read.

import { createHash } from 'node:crypto'
import type { Model, ModelInput } from '../models/model.ts'

/** A sound or a video, as an answer names it. */
export interface Clip {
  /** Below the files folder. */
  readonly path: string
  readonly contentType: string
  readonly fileName: string
  readonly seconds: number
  readonly width?: number
  readonly height?: number
}

/** What a clip is made of. */
export interface ClipRecipe {
  readonly kind: 'wav' | 'mp4'
  readonly layout: Buffer
}

/** Every clip is as short. */
export const CLIP_SECONDS = 1
/** Every video is of this size: whole blocks of 16 pixels, 16 to 9. */
export const CLIP_WIDTH = 256
export const CLIP_HEIGHT = 144

const LAYOUT_BYTES = 24
const NAME = /^([\w-]{32})_output\.(wav|mp4)$/

/** The clips of an input. */
export function clipsOf (model: Model, input: ModelInput, seed: string): Readonly<Record<'audio' | 'video', Clip>> {
  const layout = createHash('sha256').update(JSON.stringify([model.endpointId, input, seed])).digest().subarray(0, LAYOUT_BYTES).toString('base64url')
  return {
    audio: { path: `tiger/${layout}_output.wav`, contentType: 'audio/wav', fileName: 'output.wav', seconds: CLIP_SECONDS },
    video: { path: `tiger/${layout}_output.mp4`, contentType: 'video/mp4', fileName: 'output.mp4', seconds: CLIP_SECONDS, width: CLIP_WIDTH, height: CLIP_HEIGHT }
  }
}

/** The clip in a file name, or `null` when it is none. */
export function clipIn (name: string): ClipRecipe | null {
  const [, bytes, kind] = NAME.exec(name) ?? []
  return bytes === undefined ? null : { kind: kind === 'wav' ? 'wav' : 'mp4', layout: Buffer.from(bytes, 'base64url') }
}
