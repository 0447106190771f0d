// Fields that clients of fal's send and a model does not have: what they mean here is done, and the rest is named, because somebody pays for a picture without it.

import t from 'tap'
import { parseObject, startGateway, STUDIO_KEY, type Gateway, type Reply } from '../../support/gateway.ts'
import { deploy } from '../../support/replicas.ts'
import { until } from '../../support/until.ts'

const RUN = '/fal/fal-ai/imagen4/preview/ultra'
const SUBMIT = '/fal/queue/fal-ai/imagen4/preview/ultra'

async function run (gateway: Gateway, body: object, options: { readonly path?: string, readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Reply> {
  return await gateway.generate({ prompt: 'a bicycle', seed: 1, ...body }, { path: RUN, ...options })
}

t.test('what was left out is named in the answer, whoever paid for it, and on a dry run', async t => {
  const gateway = await startGateway(t)
  const odd = { n: 2, size: '1792x1024', response_format: 'url', guidance: null, 'odd name\r\nx: y': 1, façade: 1 }
  for (const [path, headers] of [[RUN, {}], [RUN, {}], [SUBMIT, {}], [RUN, { 'falgate-dry-run': '1' }]] as const) {
    const reply = await run(gateway, odd, { path, headers })
    t.equal(reply.status, 200, reply.text)
    t.equal(reply.headers.get('falgate-ignored'), 'n, size, response_format', 'null means nothing, and what is no name is not told')
  }
  t.equal((await run(gateway, {})).headers.get('falgate-ignored'), null)
  const many = await run(gateway, Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`field_${index}`, index])))
  t.equal(many.headers.get('falgate-ignored')?.split(', ').length, 20, 'and no more than a few')
})

t.test('what was left out is in the log, by its names', async t => {
  const gateway = await (await deploy(t)).startReplica()
  const response = await fetch(gateway.base + RUN, { method: 'POST', headers: { authorization: `Key ${STUDIO_KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'x', style: 'SECRET-VALUE', n: 1 }) })
  t.equal(response.status, 200)
  await until(() => gateway.log().includes('"ignored":["style","n"]'))
  t.notOk(gateway.log().includes('SECRET-VALUE'))
})

t.test('a size with exactly the shape of one of Imagen\'s ratios is that ratio, and the very same purchase', async t => {
  const gateway = await startGateway(t)
  const sizes: readonly (readonly [unknown, string])[] = [
    ['square_hd', '1:1'], ['square', '1:1'], ['portrait_4_3', '3:4'], ['portrait_16_9', '9:16'], ['landscape_4_3', '4:3'], ['landscape_16_9', '16:9'],
    [{ width: 1920, height: 1080 }, '16:9'], [{ width: 768, height: 1024 }, '3:4'], [{ width: 512, height: 512 }, '1:1']
  ]
  for (const [size, ratio] of sizes) {
    const plain = await run(gateway, { aspect_ratio: ratio })
    const reply = await run(gateway, { image_size: size })
    t.equal(reply.status, 200)
    t.equal(reply.headers.get('falgate-ignored'), null)
    t.match(reply.headers.get('cache-status'), /hit/, JSON.stringify(size))
    t.equal(reply.text, plain.text)
  }
  for (const size of ['auto', 'panorama', '1024x768', { width: 1000, height: 999 }, { width: 0, height: 0 }, { width: '16', height: '9' }, {}, [16, 9], 7]) {
    const reply = await run(gateway, { image_size: size })
    t.equal(reply.headers.get('falgate-ignored'), 'image_size', JSON.stringify(size))
  }
  const both = await run(gateway, { image_size: 'landscape_16_9', aspect_ratio: '1:1' })
  t.equal(both.headers.get('falgate-ignored'), 'image_size', 'a ratio that was given goes before it')
  t.equal(both.text, (await run(gateway, { aspect_ratio: '1:1' })).text)
})

t.test('the gateway\'s own call still refuses what the model does not have', async t => {
  const gateway = await startGateway(t)
  const reply = await gateway.generate({ prompt: 'x', image_size: 'square' })
  t.equal(reply.status, 422)
  t.match(parseObject(reply.text), { errors: [{ path: '/image_size' }] })
})
