// Two pictures with TanStack AI, and one line of JSON about them.

import { generateImage } from '@tanstack/ai'
import { falImage } from '@tanstack/ai-fal'

const adapter = falImage(process.env.MODEL, { apiKey: process.env.FAL_KEY, proxyUrl: { url: `${process.env.FALGATE_URL}/api/fal/proxy`, when: 'always' } })
const urls = []
for (let n = 1; n <= 2; n += 1) {
  const { images } = await generateImage({ adapter, prompt: `picture ${n}`, size: '16:9' })
  urls.push(images[0].url)
}
console.log(JSON.stringify({ urls }))
