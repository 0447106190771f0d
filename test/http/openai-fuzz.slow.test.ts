// Whatever is asked for at OpenAI's door over a socket: an answer as it is documented, that no client repeats in vain, and one payment for what was made.

import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { objectOf } from '../../src/models/json-schema.ts'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { anyJson, fittingJson, nearlyFittingJson } from '../support/drawn-json.ts'
import { key, startGateway, tenant, type CallOptions, type Reply } from '../support/gateway.ts'
import { anySize, count, modelWith, oneOf } from '../support/image-models.ts'
import { poster } from '../support/poster.ts'

const IMAGES = '/v1/images/generations'
const RUNS = 300

const painter = modelWith({ num_images: count(4), image_size: anySize, quality: oneOf('low', 'high'), output_format: oneOf('jpg', 'png'), strength: { type: 'number' }, seed: { type: 'integer' } })
const plain = modelWith({ aspect_ratio: oneOf('1:1', '16:9'), user: { type: 'string' } }, 'acme/plain')
const models = createModels([imagen4Ultra, poster], { added: [painter, plain] })
const aliases = { 'gpt-image-1': painter.endpointId, 'dall-e-3': poster.endpointId }

/** What a unit of the sandbox's bill costs. */
const usd: Readonly<Record<string, number>> = { [imagen4Ultra.endpointId]: 0.06, [poster.endpointId]: 0.045, [painter.endpointId]: 0.1, [plain.endpointId]: 0.1 }

interface Member { readonly name: string, readonly json: string }

interface Drawn { readonly body: string, readonly members: readonly Member[], readonly options: CallOptions, readonly isSentTwice: boolean }

/** Words that mean something, which no schema tells. */
const known: ReadonlyMap<string, readonly string[]> = new Map([
  ['prompt', ['a fair', 'a barn']],
  ['model', [...Object.keys(aliases), ...models.all.map(({ endpointId }) => endpointId)]],
  ['size', ['auto', '1024x1024', '1024x1536', '16:9', 'square_hd', '0x0', '99999x1']]
])

/** Fields that no schema of the document has, since they are some model's, or nobody's. */
const others: Readonly<Record<string, object>> = {
  seed: { type: 'integer' },
  num_images: count(4),
  aspect_ratio: oneOf('1:1', '16:9'),
  image_size: anySize,
  strength: { type: 'number' },
  quality: oneOf('auto', 'low', 'high'),
  style: oneOf('vivid'),
  background: oneOf('auto', 'transparent'),
  output_format: oneOf('png', 'jpeg', 'webp'),
  partial_images: { type: 'integer', minimum: 0, maximum: 3 },
  ['__proto__']: {},
  'a"b': {}
}

function memberOf (name: string, schema: object): fc.Arbitrary<Member> {
  const fitting = fittingJson({ ...schema })
  const words = known.get(name)?.map(word => JSON.stringify(word)) ?? []
  return fc.oneof(
    { weight: 14, arbitrary: words.length === 0 ? fitting : fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words) }, { weight: 1, arbitrary: fitting }) },
    { weight: 1, arbitrary: nearlyFittingJson({ ...schema }) },
    { weight: 1, arbitrary: anyJson }
  ).map(json => ({ name, json }))
}

const anyHeader = fc.oneof(...Object.entries({
  'idempotency-key': ['one', 'two', 'three', 'x'.repeat(255), 'x'.repeat(256), 'a b', 'é'],
  'falgate-cache': ['refresh', 'bypass', 'reuse', 'only', 'yes'],
  'x-stainless-retry-count': ['0', '1', '2', '-1', '99999', 'x'],
  accept: ['*/*', 'text/event-stream', 'image/png', 'application/json;q=0'],
  prefer: ['respond-async', 'wait=0'],
  'content-type': ['application/json; charset=utf-8', 'application/json; charset=latin1', 'text/plain', 'multipart/form-data; boundary=x', 'application/json; x="'],
  'content-encoding': ['gzip'],
  'falgate-dry-run': ['1'],
  'falgate-webhook': ['https://hooks.example/'],
  origin: ['https://page.example', 'null'],
  traceparent: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x'],
  'x-request-id': ['mine', 'x'.repeat(999)]
}).map(([name, values]) => fc.constantFrom(...values).map(value => [name, value] as const)))

/** Those of nobody, of one who may ask for a poster alone, of one whose budget is used up soon, and of one who may ask once. */
const anyKey = fc.oneof({ weight: 20, arbitrary: fc.constant(key('studio')) }, { weight: 3, arbitrary: fc.constantFrom(null, 'fg_studio_wrong', key('press'), key('poor'), key('hasty')) })

function requestsOf (schema: object): fc.Arbitrary<Drawn> {
  const fields = Object.entries({ ...objectOf(Reflect.get(schema, 'properties')), ...others }).map(([name, field]) => memberOf(name, objectOf(field)))
  const members = fc.tuple(memberOf('prompt', { type: 'string' }).map(member => [member]), fc.array(fc.oneof(...fields), { maxLength: 3 })).map(lists => lists.flat())
  const whole = members.map(members => ({ members, body: `{${members.map(({ name, json }) => `${JSON.stringify(name)}:${json}`).join(',')}}` }))
  const broken = fc.oneof(anyJson, fc.tuple(whole, fc.integer({ min: -40, max: -1 })).map(([{ body }, end]) => body.slice(0, end)), whole.map(({ body }) => `${body},`)).map(body => ({ body, members: [] }))
  return fc.record({
    sent: fc.oneof({ weight: 12, arbitrary: whole }, { weight: 1, arbitrary: broken }),
    query: fc.oneof({ weight: 9, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constantFrom('?api-version=2025-04-01', '?model=x', '?%zz') }),
    key: anyKey,
    headers: fc.array(anyHeader, { maxLength: 2 }),
    isSentTwice: fc.boolean()
  }).map(({ sent, query, key, headers, isSentTwice }) => ({ ...sent, options: { path: IMAGES + query, key, headers: Object.fromEntries(headers) }, isSentTwice }))
}

/** What the last members of each name are, and none that says nothing. */
function saidBy ({ members }: Drawn): ReadonlyMap<string, unknown> {
  return new Map(members.map(({ name, json }) => [name, JSON.parse(json)] as const).filter(([name, value], index, all) => value !== null && all.findLastIndex(([other]) => other === name) === index))
}

/** The pictures of an answer, streamed or not. */
function picturesOf ({ text, headers, json }: Reply): readonly unknown[] {
  if (!headers.get('content-type')?.startsWith('text/event-stream')) return [json()['data']].flat()
  return [...text.matchAll(/^event: image_generation\.completed\ndata: (.*)$/gm)].map(([, data = '']) => JSON.parse(data))
}

/** Names that stand in `Falgate-Mapped`. */
function changedIn ({ headers }: Reply): ReadonlySet<string> {
  return new Set([...(headers.get('falgate-mapped') ?? '').matchAll(/(?:^|, )([\w-]+)="/g)].map(([, name = '']) => name))
}

/** Of the picture: these say how it is sent, or what is usual. */
function saysNothing (name: string, value: unknown): boolean {
  return ['model', 'response_format', 'stream'].includes(name) || (name === 'n' && value === 1) || (name === 'partial_images' && value === 0)
}

t.test('every request is answered as it is documented, and what was made is paid for once', async t => {
  const gateway = await startGateway(t, {
    models,
    tenants: {
      aliases,
      tenants: [
        tenant('studio', { rateLimit: { max: 100_000, windowSeconds: 60 }, callLimit: { max: 100_000, windowSeconds: 60 } }),
        tenant('press', { models: [poster.endpointId] }),
        tenant('poor', { budget: { usd: 0.2, per: 'day' } }),
        tenant('hasty', { rateLimit: { max: 1, windowSeconds: 3600 } })
      ]
    }
  })
  const { bill } = gateway.sandbox
  const document = (await gateway.get('/openapi.json')).json()
  const { schemas } = objectOf(document['components'])
  const judge = new Ajv2020({ strict: false, validateFormats: false, logger: false })
  const schemaOf = (name: string): object => ({ $ref: `#/components/schemas/${name}`, components: document['components'] })
  const asked = judge.compile(schemaOf('OpenAiImageRequest'))
  const answered = judge.compile(schemaOf('OpenAiImages'))
  const refused = judge.compile(schemaOf('OpenAiError'))
  const told = new Map<string, number>()

  /** Sends it, and gives the answer with what the sandbox accepted for it. */
  async function send ({ body, options }: Drawn): Promise<{ readonly reply: Reply, readonly bought: readonly { readonly endpoint: string, readonly units: number }[] }> {
    const before = new Set(bill.requests.map(({ requestId }) => requestId))
    const reply = await gateway.generate(body, options)
    return { reply, bought: bill.requests.filter(({ requestId }) => !before.has(requestId)) }
  }

  async function checkMade (drawn: Drawn, reply: Reply, bought: Awaited<ReturnType<typeof send>>['bought']): Promise<void> {
    const said = saidBy(drawn)
    const isStream = said.get('stream') === true
    if (!asked(Object.fromEntries(said))) throw new Error(`what does not fit the document was made: ${JSON.stringify(asked.errors)}`)
    if (!isStream && !answered(reply.json())) throw new Error(`not as it is documented: ${JSON.stringify(answered.errors)}`)
    const pictures = picturesOf(reply)
    if (pictures.length === 0) throw new Error('no picture')
    const cost = reply.headers.get('falgate-cost-usd')
    const paid = bought.reduce((sum, { endpoint, units }) => sum + units * (usd[endpoint] ?? NaN), 0)
    if (bought.some(({ units }) => units === 0)) throw new Error('bought, and not delivered')
    if (cost === null ? !isStream : Math.abs(Number(cost) - paid) > 1e-9) throw new Error(`${cost} was told, and ${paid} paid`)

    const [id = ''] = reply.headers.get('falgate-generation')?.split(', ') ?? []
    const generation = await gateway.get(`/generations/${id}`, { key: drawn.options.key ?? null })
    const { input } = generation.json()
    // Long inputs are not kept.
    if (isObject(input)) {
      const changes = changedIn(reply)
      const silent = [...said].filter(([name, value]) => !saysNothing(name, value) && !changes.has(name) && JSON.stringify(input[name]) !== JSON.stringify(value))
      if (silent.length > 0) throw new Error(`left out in silence: ${JSON.stringify(silent)}`)
    }
    const digits = drawn.members.findLast(({ name }) => name === 'seed')?.json ?? ''
    // Not every model names its seed.
    const texts = [generation.text, reply.text].filter(text => text.includes('"seed":'))
    if (/^-?[1-9]\d*$/.test(digits) && !texts.every(text => text.includes(`"seed":${digits}`))) throw new Error(`the seed ${digits} is another one: ${generation.text}`)
  }

  function checkRefused ({ options: { headers } }: Drawn, reply: Reply, bought: readonly unknown[]): void {
    const { status } = reply
    if (!refused(reply.json())) throw new Error(`not as it is documented: ${JSON.stringify(refused.errors)}`)
    const code = codeOf(reply)
    if (status === 409 || status === 422 || (status >= 500 && !(code === 'not_cached' && headers?.['falgate-cache'] === 'only'))) throw new Error('no status for this door')
    const pause = reply.headers.get('retry-after')
    if (status === 429 ? !(Number(pause) > 0 && Number(pause) <= 60) : pause !== null || reply.headers.get('x-should-retry') !== 'false') throw new Error(`clients would repeat it: ${pause}`)
    if (bought.length > 0) throw new Error('refused, and bought')
  }

  async function check (drawn: Drawn): Promise<void> {
    const { reply, bought } = await send(drawn)
    const isMade = reply.status === 200
    const outcome = isMade ? 'made' : codeOf(reply)
    told.set(outcome, (told.get(outcome) ?? 0) + 1)
    try {
      if (!reply.headers.get('x-request-id')) throw new Error('no x-request-id')
      if (isMade) await checkMade(drawn, reply, bought)
      else checkRefused(drawn, reply, bought)
      if (!drawn.isSentTwice) return
      const again = await send(drawn)
      const { headers = {} } = drawn.options
      if (!isMade) {
        if (codeOf(again.reply) !== codeOf(reply)) throw new Error(`sent again: ${again.reply.status} ${again.reply.text}`)
        checkRefused(drawn, again.reply, again.bought)
      } else if (again.reply.status === 200) {
        await checkMade(drawn, again.reply, again.bought)
        const isSame = 'idempotency-key' in headers || (saidBy(drawn).has('seed') && !['refresh', 'bypass'].includes(headers['falgate-cache'] ?? ''))
        if (isSame && again.bought.length > 0) throw new Error('sent again, and bought again')
      }
    } catch (error) {
      throw new Error(`${String(error)}\n${drawn.body.slice(0, 2_000)}\n${JSON.stringify(drawn.options)}\n${reply.status} ${reply.text.slice(0, 2_000)}\n${JSON.stringify([...reply.headers])}`, { cause: error })
    }
  }

  await fc.assert(fc.asyncProperty(requestsOf(objectOf(objectOf(schemas)['OpenAiImageRequest'])), check), { numRuns: RUNS, includeErrorInReport: true })
  const made = told.get('made') ?? 0
  t.ok(made > RUNS / 10 && told.size > 5, JSON.stringify([...told]))
})

function codeOf (reply: Reply): string {
  return reply.status === 200 ? '' : String(objectOf(reply.json()['error'])['code'])
}
