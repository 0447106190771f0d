// A soft tone of a second, as WAV: 16 bits, one channel.

import { CLIP_SECONDS } from '../clips.ts'
import { createRandom } from './random.ts'

const RATE = 16_000
const NOTICE = 'Made by the sandbox, not by the model.'

/** The file's bytes: three notes of a chord, which fade in and out. */
export function soundOf (layout: Buffer): Buffer {
  const random = createRandom(layout)
  const root = 220 * 2 ** (Math.floor(random() * 12) / 12)
  const chord = [1, random() < 0.5 ? 1.2 : 1.25, 1.5].map(ratio => ratio * root)
  const count = RATE * CLIP_SECONDS
  const samples = Buffer.alloc(count * 2)
  for (let place = 0; place < count; place++) {
    const time = place / RATE
    const loudness = Math.min(1, time / 0.05, (CLIP_SECONDS - time) / 0.4)
    const wave = chord.reduce((sum, hertz) => sum + Math.sin(2 * Math.PI * hertz * time), 0) / chord.length
    samples.writeInt16LE(Math.round(wave * loudness * 6_000), place * 2)
  }
  const format = Buffer.alloc(16)
  format.writeUInt16LE(1, 0)
  format.writeUInt16LE(1, 2)
  format.writeUInt32LE(RATE, 4)
  format.writeUInt32LE(RATE * 2, 8)
  format.writeUInt16LE(2, 12)
  format.writeUInt16LE(16, 14)
  const body = Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', format), chunk('LIST', Buffer.concat([Buffer.from('INFO'), chunk('ICMT', Buffer.from(`${NOTICE}\0`))])), chunk('data', samples)])
  return chunk('RIFF', body)
}

function chunk (name: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.write(name, 'latin1')
  head.writeUInt32LE(data.length, 4)
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)])
}
