// fal's own JavaScript client, as published, in a page with a browser token in place of a key.

import t from 'tap'
import { openBrowser } from '../support/browser.ts'
import { openFalPage, runAndSubscribe, runInPage, serveFalPage, ways } from '../support/fal/browser-page.ts'
import { gatewayStation, type Station } from '../support/fal/stations.ts'
import { parseObject } from '../support/gateway.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'
import { until } from '../support/until.ts'

/** Gives out a token of studio's. */
async function give ({ runBase, key }: Station, wish: Readonly<Record<string, unknown>>): Promise<string> {
  const answer = await fetch(new URL('/tokens', runBase), { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(wish) })
  const { token } = parseObject(await answer.text())
  if (typeof token !== 'string') throw new Error(`no token was given: ${answer.status}`)
  return token
}

/** Revokes a token, and waits until it is not taken any more. */
async function end ({ runBase, key }: Station, token: string): Promise<void> {
  const [, id = ''] = /^fgt_([^_]+)_/.exec(token) ?? []
  const { status } = await fetch(new URL(`/tokens/${id}`, runBase), { method: 'DELETE', headers: { authorization: `Bearer ${key}` } })
  if (status !== 204) throw new Error(`revoking was answered ${status}`)
  await until(async () => (await fetch(new URL('/models', runBase), { headers: { authorization: `Bearer ${token}` } })).status === 401)
}

const draws = `
  const client = ways[way](at.key), said = {}
  ${runAndSubscribe}
  said.more = await failure(client.run(model, { input: { prompt: way + ' one more' } }))
  said.moreByQueue = await failure(client.subscribe(model, { input: { prompt: way + ' one more' } }))
  return said
`

t.setTimeout(240_000)

t.test('fal\'s JavaScript client in Chromium with a token', { timeout: 240_000 }, async t => {
  const [origin, otherOrigin] = [await serveFalPage(t), await serveFalPage(t)]
  const station = await gatewayStation(t, { origins: [origin, otherOrigin] })
  const browser = await openBrowser(t)
  const page = await openFalPage(browser, origin)
  const { bill } = station.sandbox

  for (const way of ways) {
    await t.test(`through ${way}: run, subscribe with progress, and an ApiError when its pictures are used up`, async t => {
      const drawn = { states: ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED'], lines: ['Drawn by the sandbox, not by the model'], images: 1 }
      const refused = { name: 'ApiError', status: 402, type: 'token_exhausted', message: 'The token has nothing left to spend', requestId: /^[0-9a-f-]{36}$/ }
      const accepted = bill.accepted
      t.match(await runInPage(page, `const way = '${way}'\n${draws}`, { ...station, key: await give(station, { pictures: 3, origins: [origin] }) }), {
        run: { seed: 1, images: 1, requestId: /^[0-9a-f-]{36}$/ }, polling: drawn, streaming: drawn, more: refused, moreByQueue: refused
      })
      t.equal(bill.accepted, accepted + 3)
    })

    await t.test(`through ${way}: what another token asked for is not there`, async t => {
      const one = { ...station, key: await give(station, { pictures: 1 }) }
      const requestId = String(await runInPage(page, `return (await ways.${way}(at.key).queue.submit(model, { input: { prompt: '${way} of one' } })).request_id`, one))
      const looks = `const client = ways.${way}(at.key), requestId = '${requestId}', said = {}
        for (const call of ['status', 'result', 'cancel']) said[call] = (await failure(client.queue[call](model, { requestId })))?.status
        said.streamStatus = (await failure(client.queue.streamStatus(model, { requestId }).then(stream => stream.done())))?.status
        return said`
      const nothing = { status: 404, result: 404, cancel: 404, streamStatus: 404 }
      t.same(await runInPage(page, looks, { ...station, key: await give(station, { pictures: 1 }) }), nothing)
      t.same(await runInPage(page, `await ways.${way}(at.key).queue.subscribeToStatus(model, { requestId: '${requestId}', pollInterval: 20 }); return (await ways.${way}(at.key).queue.result(model, { requestId: '${requestId}' })).data.images.length`, one), 1, 'its own does')
    })
  }

  await t.test('on another origin of the tenant the client is told why, on a foreign one it is told nothing, and neither buys', async t => {
    const place = { ...station, key: await give(station, { pictures: 1, origins: [origin] }) }
    const accepted = bill.accepted
    for (const way of ways) {
      const call = `return await failure(ways.${way}(at.key).run(model, { input: { prompt: 'x' } }))`
      t.match(await runInPage(await openFalPage(browser, otherOrigin), call, place), { name: 'ApiError', status: 403, type: 'origin_not_allowed' })
      t.match(await runInPage(await openFalPage(browser, await serveFalPage(t)), call, place), { name: 'TypeError' })
    }
    t.equal(bill.accepted, accepted)
  })

  await t.test('the documented lines draw, ask the backend again when a token has ended, and tell what was refused', async t => {
    const [block] = codeBlocksOf(pageAt('docs/fal-clients.md')).filter(({ code }) => code.includes('askBackend'))
    const program = (block?.code ?? '').replace('import { fal } from \'@fal-ai/client\'', '').replaceAll('https://falgate.example/api/fal/proxy', station.proxy ?? '')
    const tokens = [await give(station, { pictures: 2 }), await give(station, { pictures: 1 })]
    await page.exposeFunction('endFirst', async () => { await end(station, tokens[0] ?? '') })
    t.match(await runInPage(page, `
      const tokens = ${JSON.stringify(tokens)}, told = { states: [], addresses: [], refusals: [] }
      const askBackend = async () => tokens.shift()
      const showProgress = state => told.states.push(state), showPicture = url => told.addresses.push(url), showRefusal = sentence => told.refusals.push(sentence)
      await (async fal => {
        ${program}
        await draw('A heron in the rain')
        await endFirst()
        await draw('With a token that has ended')
        await draw('With a new token')
        await draw('One more')
      })(fal.fal)
      return { ...told, states: [...new Set(told.states)] }`, station), {
      states: { 0: 'IN_QUEUE' },
      addresses: { 0: /^http.*\.png$/, 1: /^http.*\.png$/, length: 2 },
      refusals: ['The token was revoked', 'The token has nothing left to spend']
    })
  })
})
