// Makes the calls of CALLS with OpenAI's library, and prints what came of each as one line of JSON.

import OpenAI, { toFile } from 'openai'

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY })

const head = picture => Buffer.from(picture, 'base64').subarray(0, 8).toString('hex')

async function make ({ edit = 0, ...call }) {
  try {
    const pictures = await Promise.all(Array.from({ length: edit }, () => toFile(Buffer.from(process.env.PICTURE, 'base64'), 'bicycle.png')))
    const answer = edit > 0 ? await client.images.edit({ image: edit === 1 ? pictures[0] : pictures, ...call }) : await client.images.generate(call)
    if (call.stream) {
      const files = []
      for await (const event of answer) if (event.type === 'image_generation.completed') files.push(head(event.b64_json))
      return { files }
    }
    const { created, data } = answer
    return { created, urls: data.flatMap(({ url }) => url ?? []), files: data.flatMap(({ b64_json: file }) => file === undefined ? [] : head(file)), seeds: data.flatMap(({ seed }) => seed === undefined ? [] : String(seed)) }
  } catch (error) {
    return { error: { status: error.status ?? null, code: error.code ?? null, param: error.param ?? null, message: error.message } }
  }
}

const outcomes = []
for (const call of JSON.parse(process.env.CALLS)) outcomes.push(await make(call))
const models = []
for await (const model of client.models.list()) models.push(model.id)
console.log(JSON.stringify({ models, outcomes }))
