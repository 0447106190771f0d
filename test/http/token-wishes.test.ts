// Wishes for tokens: what is told of one that cannot be met.

import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { createModels } from '../../src/models/models.ts'
import { promptAnd } from '../support/fal-documents.ts'
import { key, startGateway, tenant } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'
import { ask, give, PAGE } from '../support/tokens.ts'

/** A model with a parameter that no other one has. */
const sketcher = documentModel({ endpointId: 'acme/sketcher', input: promptAnd({ pencil: { type: 'string' } }) })
const models = createModels(builtInModels.all, { added: [sketcher] })

t.test('what a tenant may not, it cannot give away', async t => {
  const gateway = await startGateway(t, { tenants: { tenants: [tenant('studio', { origins: [PAGE], allow: { aspect_ratio: ['1:1'] } })] } })
  const wishes: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
    [{}, '/pictures'], [{ pictures: 1, picture: 1 }, '/picture'], [{ pictures: 0 }, '/pictures'], [{ pictures: 1, expires_in: 86_401 }, '/expires_in'], [{ pictures: 1, usd: 0 }, '/usd'],
    [{ pictures: 1, origins: ['https://other.example'] }, '/origins/0'], [{ pictures: 1, models: ['fal-ai/unknown'] }, '/models/0'],
    [{ pictures: 1, allow: { aspect_ratio: ['16:9'] } }, '/allow/aspect_ratio/0'], [{ pictures: 1, cache: ['reuse'] }, '/cache/0'], [{ pictures: 1, subject: 'x'.repeat(129) }, '/subject']
  ]
  for (const [wish, path] of wishes) t.match(await ask(gateway, 'POST', '/tokens', key('studio'), wish), { status: 422, body: { code: 'bad-token-wish', errors: [{ path }] } }, JSON.stringify(wish))
})

t.test('a limited parameter is one of the models that the token may use, and the nearest one is told', async t => {
  const gateway = await startGateway(t, { models, tenants: { tenants: [tenant('studio'), tenant('press', { models: ['fal-ai/*'] })] } })
  const refused = async (wish: object, from = key('studio')) => (await ask(gateway, 'POST', '/tokens', from, { pictures: 1, ...wish })).body
  t.match(await refused({ allow: { aspect_ration: ['1:1'] } }), { code: 'bad-token-wish', errors: [{ path: '/allow/aspect_ration', message: 'is a parameter of none of the models that the token may use; did you mean "aspect_ratio"?' }] })
  t.match(await refused({ allow: { pencil: ['soft'] }, models: ['fal-ai/imagen4/preview/ultra'] }), { errors: [{ path: '/allow/pencil' }] }, 'only of another model')
  t.match(await refused({ allow: { pencil: ['soft'] } }, key('press')), { errors: [{ path: '/allow/pencil' }] }, 'only of a model that the tenant may not use')
  t.match(await refused({ allow: { pencil: ['soft'] } }), { allow: { pencil: ['soft'] } })
  // No model has them, whatever they hold.
  for (const [name, values] of [['a\nb', 'no list'], ['a\nb', [{}]], ['__proto__', [1]], ['x'.repeat(5000), [1]]] as const) {
    t.match(await refused({ allow: Object.fromEntries([[name, values]]) }), { code: 'bad-token-wish', errors: [{ path: /^\/allow\/.{1,200}$/s }] }, JSON.stringify([name, values]).slice(0, 40))
  }
})

t.test('what is wrong with a text is told in words', async t => {
  const gateway = await startGateway(t)
  const errors = async (wish: object) => (await ask(gateway, 'POST', '/tokens', key('studio'), { pictures: 1, ...wish })).body['errors']
  for (const subject of ['a\nb', 'a\u0085b', '\u0000']) t.match(await errors({ subject }), [{ path: '/subject', message: 'must not hold control characters' }])
  t.match(await errors({ subject: '\ud800' }), [{ path: '/subject', message: /well-formed/ }])
  t.match(await errors({ cache: ['reuse'] }), [{ path: '/cache/0', message: 'must be refresh or bypass' }])
  t.match(await errors({ picture: 1 }), [{ path: '/picture', message: 'is not a field of a wish for a token; did you mean "pictures"?' }])
})

t.test('what every call with a token reads again is short', async t => {
  const gateway = await startGateway(t)
  const values = (count: number) => Array.from({ length: count }, (_, n) => String(n).padEnd(800, '.'))
  t.ok(await give(gateway, { allow: { aspect_ratio: values(10) } }))
  t.match(await ask(gateway, 'POST', '/tokens', key('studio'), { pictures: 1, allow: { aspect_ratio: values(11) } }), { status: 422, body: { code: 'bad-token-wish', errors: [{ path: '', message: /8192 bytes/ }] } })
})
