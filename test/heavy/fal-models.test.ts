// fal's own clients, as published, with a model that an operator added: several pictures in one call, sizes that have their price, and what was bought once is never bought again.

import { createFalClient } from '@fal-ai/client'
import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { plainInput } from '../support/fal-documents.ts'
import { onePicture } from '../support/fal/one-picture.ts'
import { pythonWithFalClient } from '../support/fal/python.ts'
import { startGateway, STUDIO_KEY, type Gateway } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'

/** Counts its pictures, takes no seed, and asks twice as much for large ones. */
const easel = documentModel({
  endpointId: 'acme/easel/v1',
  input: { ...plainInput, properties: { prompt: { type: 'string' }, num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 }, resolution: { type: 'string', enum: ['1K', '2K'], default: '1K' } } },
  price: { usd: 0.04, per: 'image', times: { resolution: { '1K': 1, '2K': 2 } } }
})
const MODEL = easel.endpointId
const models = createModels([imagen4Ultra], { added: [easel] })

/** What the client is asked for; `isReuse`: any stored picture of the input will do. */
type Make = (call: 'run' | 'subscribe', input: Readonly<Record<string, unknown>>, isReuse?: boolean) => Promise<unknown>

const reuse = { 'falgate-cache': 'reuse' } as const

function urlsIn (output: unknown): readonly string[] {
  return [Object(output).images].flat().map(image => String(Object(image).url))
}

async function newest (gateway: Gateway): Promise<unknown> {
  return [(await gateway.get('/generations')).json()['generations']].flat()[0]
}

async function modelSuite (t: Test, gateway: Gateway, make: Make): Promise<void> {
  const { bill } = gateway.sandbox
  let units = 0
  for (const call of ['run', 'subscribe'] as const) {
    const prompt = `a fair, by ${call}`

    const four = await make(call, { prompt, num_images: 4 })
    t.equal(new Set(urlsIn(four)).size, 4, `${call}: four pictures in one call`)
    t.match(await newest(gateway), { model: MODEL, status: 'succeeded', cost_usd: 0.16 }, 'settled at four units')
    units += 4
    t.equal(bill.billedUnits, units)

    t.equal(urlsIn(await make(call, { prompt, resolution: '2K' })).length, 1)
    t.match(await newest(gateway), { status: 'succeeded', cost_usd: 0.08 }, 'a dearer size at its price')
    units += 2
    t.equal(bill.billedUnits, units)

    const accepted = bill.accepted
    t.same(await make(call, { prompt, num_images: 4 }, true), four, 'asked for again it is the same four')
    t.same(await make(call, { resolution: '1K', num_images: 4, prompt }, true), four, 'also with a default spelt out')
    t.equal(bill.accepted, accepted, 'nothing is bought for that')
  }
  t.same([bill.submits, bill.accepted, bill.billedUnits], [4, 4, 12])
  t.match((await gateway.get('/usage')).json(), { month: { spent_usd: 0.48, reserved_usd: 0 } })
}

t.setTimeout(600_000)

t.test('JavaScript: four pictures are four units, a dearer size has its price, and with reuse the second call is a hit', async t => {
  const gateway = await startGateway(t, { models })
  await modelSuite(t, gateway, async (call, input, isReuse = false) => {
    const client = createFalClient({
      credentials: STUDIO_KEY,
      requestMiddleware: async request => ({
        ...request,
        url: request.url.replace('https://queue.fal.run', `${gateway.url}/fal/queue`).replace('https://fal.run', `${gateway.url}/fal`),
        headers: { ...request.headers, ...isReuse ? reuse : {} }
      })
    })
    return (call === 'run' ? await client.run(MODEL, { input }) : await client.subscribe(MODEL, { input, pollInterval: 20 })).data
  })
})

t.test('Python: four pictures are four units, a dearer size has its price, and with reuse the second call is a hit', async t => {
  const found = await pythonWithFalClient()
  if ('missing' in found) {
    t.fail(found.missing)
    return
  }
  const gateway = await startGateway(t, { models })
  await modelSuite(t, gateway, async (call, input, isReuse = false) => await onePicture({ python: found.python, call, base: gateway.url, model: MODEL, input, ...isReuse ? { headers: reuse } : {} }))
})
