// One connection, many requests: what was found out about a key on it holds for exactly that key and only while it is in force.

import { hash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { key, startGateway, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { until } from '../support/until.ts'

interface Said { readonly status: number, readonly code: unknown, readonly port: number }

/** Asks for the list of generations, over the same socket each time. */
function askerOver (t: Test, url: string): (authorization: string | null) => Promise<Said> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { agent.destroy() })
  return async authorization => {
    const asking = request(`${url}/generations`, { agent, headers: authorization === null ? {} : { authorization } })
    const answered = once(asking, 'response')
    asking.end()
    const [response] = await answered
    const port = Number(response.socket.localPort)
    let text = ''
    for await (const chunk of response) text += String(chunk)
    const body: unknown = JSON.parse(text)
    return { status: response.statusCode, code: Reflect.get(Object(body), 'code'), port }
  }
}

t.test('each request on a connection is judged by its own key', async t => {
  const gateway = await startGateway(t)
  const ask = askerOver(t, gateway.url)
  const studio = await gateway.generate({ prompt: 'x', seed: 1 })
  t.equal(studio.status, 200)

  const first = await ask(`Bearer ${STUDIO_KEY}`)
  const said = [
    await ask(`Bearer ${STUDIO_KEY}`),
    await ask(`Bearer ${STUDIO_KEY.slice(0, -1)}X`),
    await ask(`Bearer ${STUDIO_KEY.slice(0, -1)}`),
    await ask(null),
    await ask(`Bearer ${key('press')}`),
    await ask(`Key ${STUDIO_KEY}`)
  ]
  t.strictSame(said.map(({ status }) => status), [200, 401, 401, 401, 200, 200])
  t.strictSame(said.map(({ code }) => code), [undefined, 'key-unknown', 'key-unknown', 'key-missing', undefined, undefined])
  t.ok(said.every(({ port }) => port === first.port), 'all over one connection')
})

t.test('a key that leaves the tenants file is refused on connections that it opened', async t => {
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  const before = { tenants: [tenant('studio'), tenant('press')] }
  writeFileSync(tenantsFile, JSON.stringify(before))
  const gateway = await startGateway(t, { tenants: before, config: { tenantsFile } })
  const ask = askerOver(t, gateway.url)
  const known = await ask(`Bearer ${STUDIO_KEY}`)
  t.equal(known.status, 200)

  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('press')] }))
  await gateway.reload()
  t.strictSame(await ask(`Bearer ${STUDIO_KEY}`), { status: 401, code: 'key-unknown', port: known.port })
})

t.test('what was found out about a key holds on other connections for exactly that key, and until it leaves the tenants file', async t => {
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  const before = { tenants: [tenant('studio'), tenant('press')] }
  writeFileSync(tenantsFile, JSON.stringify(before))
  const gateway = await startGateway(t, { tenants: before, config: { tenantsFile } })
  t.equal((await askerOver(t, gateway.url)(`Bearer ${STUDIO_KEY}`)).status, 200)

  const others = ['Bearer ' + STUDIO_KEY.slice(0, -1) + 'X', 'Bearer ' + STUDIO_KEY.slice(0, -1), `Bearer ${STUDIO_KEY}X`, `Bearer ${key('press').replace('press', 'studio')}`]
  for (const other of others) t.match(await askerOver(t, gateway.url)(other), { status: 401, code: 'key-unknown' })
  const ask = askerOver(t, gateway.url)
  for (const name of [STUDIO_KEY, key('press'), STUDIO_KEY, key('press')]) t.equal((await ask(`Bearer ${name}`)).status, 200)

  writeFileSync(tenantsFile, JSON.stringify({ tenants: [tenant('press')] }))
  await gateway.reload()
  t.match(await askerOver(t, gateway.url)(`Bearer ${STUDIO_KEY}`), { status: 401, code: 'key-unknown' })
})

t.test('a key ends at its time on connections that it opened', async t => {
  const tenantsFile = join(t.testdir({}), 'tenants.json')
  const before = { tenants: [tenant('studio')] }
  writeFileSync(tenantsFile, JSON.stringify(before))
  const gateway = await startGateway(t, { tenants: before, config: { tenantsFile } })
  const ask = askerOver(t, gateway.url)
  let known: Said
  // On a machine that is busy the key may have ended before it is used: it gets more time.
  for (let livesMs = 1500; ; livesMs *= 2) {
    const expires = new Date(Date.now() + livesMs).toISOString()
    writeFileSync(tenantsFile, JSON.stringify({ tenants: [{ id: 'studio', keys: [{ id: 'studio', sha256: hash('sha256', 'secret-of-studio'), expires }] }] }))
    await gateway.reload()
    known = await ask(`Bearer ${STUDIO_KEY}`)
    if (known.code !== 'key-expired') break
  }
  t.equal(known.status, 200)
  let last = known
  await until(async () => {
    last = await ask(`Bearer ${STUDIO_KEY}`)
    return last.status !== 200
  })
  t.strictSame(last, { status: 401, code: 'key-expired', port: known.port })
})
