// Two pictures with the AI SDK, and one line of JSON about them.

import { generateImage } from 'ai'
import { createFal } from '@ai-sdk/fal'

const fal = createFal({ apiKey: process.env.FAL_KEY, baseURL: `${process.env.FALGATE_URL}/fal` })
const files = []
for (let n = 1; n <= 2; n += 1) {
  const { image } = await generateImage({ model: fal.image(process.env.MODEL), prompt: `picture ${n}`, aspectRatio: '16:9' })
  files.push(Buffer.from(image.uint8Array).subarray(0, 8).toString('hex'))
}
console.log(JSON.stringify({ files }))
