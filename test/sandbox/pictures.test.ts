// Pictures: the size that was asked for, the same for the same input, and plainly not the model's.

import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { pathOf, recipeIn, recipesOf } from '../../src/sandbox/recipe.ts'
import { decodePng, type DecodedPng } from '../support/png.ts'
import { poster } from '../support/poster.ts'
import { fieldOf, startSandbox, type RunningSandbox } from '../support/sandbox.ts'

async function addressOf ({ call }: RunningSandbox, input: object): Promise<string> {
  const { body } = await call(`/run/${builtInModels.default.endpointId}`, { method: 'POST', body: JSON.stringify(input) })
  const images: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'images') : undefined
  return fieldOf(Array.isArray(images) ? images[0] : undefined, 'url')
}

async function bytesOf (address: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(address)).arrayBuffer())
}

/** Share of pixels that have the colour that is most frequent. */
function plainness ({ pixels }: DecodedPng): number {
  const counts = new Uint32Array(256)
  for (const pixel of pixels) counts[pixel] = (counts[pixel] ?? 0) + 1
  return Math.max(...counts) / pixels.length
}

const sizes = {
  '1:1': [1024, 1024],
  '16:9': [1408, 768],
  '9:16': [768, 1408],
  '4:3': [1280, 896],
  '3:4': [896, 1280]
} as const

t.test('every aspect ratio and resolution gives a valid PNG of its documented size', async t => {
  const sandbox = await startSandbox(t)
  for (const [ratio, [width, height]] of Object.entries(sizes)) {
    for (const [resolution, factor] of [['1K', 1], ['2K', 2]] as const) {
      const png = decodePng(await bytesOf(await addressOf(sandbox, { prompt: ratio, seed: 1, aspect_ratio: ratio, resolution })))
      t.equal(png.width, width * factor, `${ratio} ${resolution}`)
      t.equal(png.height, height * factor, `${ratio} ${resolution}`)
      t.ok(plainness(png) < 0.5, `${ratio} ${resolution} is a picture and no plain field`)
    }
  }
})

t.test('the same prompt and seed give the same bytes, in another sandbox too', async t => {
  const one = await startSandbox(t)
  const other = await startSandbox(t)
  const first = await addressOf(one, { prompt: 'a heron', seed: 5 })
  const second = await addressOf(other, { seed: 5, prompt: 'a heron', num_images: 1, aspect_ratio: '1:1', resolution: '1K', negative_prompt: '' })
  t.equal(second.replace(other.base, one.base), first)
  t.ok((await bytesOf(first)).equals(await bytesOf(second)))
})

t.test('another seed, prompt or negative prompt gives another picture, not just another banner', async t => {
  const sandbox = await startSandbox(t)
  const inputs = [
    { prompt: 'a heron', seed: 5 },
    { prompt: 'a heron', seed: 6 },
    { prompt: 'an otter', seed: 5 },
    { prompt: 'a heron', seed: 5, negative_prompt: 'fog' }
  ]
  const upper = await Promise.all(inputs.map(async input => {
    const { pixels, palette } = decodePng(await bytesOf(await addressOf(sandbox, input)))
    return Buffer.concat([palette, pixels.subarray(0, pixels.length / 2)]).toString('latin1')
  }))
  t.equal(new Set(upper).size, inputs.length)
})

t.test('header, PNG text and banner say that it is not the model\'s', async t => {
  const sandbox = await startSandbox(t)
  const address = await addressOf(sandbox, { prompt: 'a heron', seed: 5 })
  const response = await fetch(address)
  t.equal(response.headers.get('content-type'), 'image/png')
  t.equal(response.headers.get('x-falgate-sandbox'), 'picture drawn locally, not by the model')
  t.match(response.headers.get('cache-control'), /immutable/)
  const { texts, pixels, width, height } = decodePng(Buffer.from(await response.arrayBuffer()))
  t.match(texts.get('Comment'), /not by the model/)
  // The banner's two colours stand in the lower left corner and nowhere else.
  const corner = pixels.subarray((height - 30) * width + 14, (height - 30) * width + 300)
  t.ok([...corner].every(index => index < 2))
  t.notOk(pixels.subarray(0, width * (height - 60)).includes(0))

  const unchanged = await fetch(address, { headers: { 'if-none-match': response.headers.get('etag') ?? '' } })
  t.equal(unchanged.status, 304)
  const head = await fetch(address, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), response.headers.get('content-length'))
})

t.test('an address cannot ask for more pixels than a model makes', async t => {
  const { call } = await startSandbox(t)
  const bytes = 'A'.repeat(32)
  for (const size of ['4097x4096', '8193x1', '9999x1', '0x10', '99999x99999']) {
    t.equal((await call(`/files/tiger/${bytes}-${size}_output.png`)).status, 404, size)
  }
  t.equal((await call('/files/tiger/nothing.png')).status, 404)
})

t.test('every address that is handed out leads back to its recipe', async t => {
  for (const seed of ['0', '-9007199254740993', '123456789012345678901234567890']) {
    for (const format of ['png', 'jpeg', 'webp'] as const) {
      const [recipe] = recipesOf(builtInModels.default, { prompt: 'a heron' }, seed, [{ width: 2560, height: 1792 }], format)
      if (recipe === undefined) throw new Error('no picture')
      t.same(recipeIn(pathOf(recipe).split('/')[1] ?? ''), recipe)
    }
  }
})

t.test('what a model makes beyond the bounds is drawn smaller in the same shape, so that its address can be read', async t => {
  const house = { width: 24_000, height: 6_000 }
  const recipes = recipesOf(poster, { prompt: 'a fair' }, '1', [house, house], 'png')
  t.match(recipes, [{ width: 8192, height: 2048 }, { width: 8192, height: 2048 }])
  for (const recipe of recipes) t.same(recipeIn(pathOf(recipe).split('/')[1] ?? ''), recipe)
  t.equal(new Set(recipes.map(pathOf)).size, 2, 'two files are two pictures')
})

t.test('picture addresses start with the public address where one is given', async t => {
  const sandbox = await startSandbox(t, { publicUrl: 'https://gateway.example/sandbox' })
  t.match(await addressOf(sandbox, { prompt: 'a heron' }), /^https:\/\/gateway\.example\/sandbox\/files\//)
})
