// Each proxy with its file below docker in front of two replicas: what callers and the ledger see is what they see without it. Needs nginx and HAProxy
// (`apt-get install nginx haproxy`), Chromium, Python 3 with `venv`, and the way to PyPI.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { Response } from 'undici'
import { openBrowser, PAGE_TIMEOUT_MS } from '../support/browser.ts'
import { draw, running, seen as seenPicture } from '../support/example-page.ts'
import { parseObject, STUDIO_KEY, tenant } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'
import { freePair, installProxies, type FrontDoor, type Pair, type Proxy } from '../support/proxies.ts'
import { leavers, REFUSAL, startStandIns } from '../support/proxy-scene.ts'
import { deploy, USUAL_LEASE, type Deployment, type Replica } from '../support/replicas.ts'
import { until } from '../support/until.ts'
import { workFolder, writeLastRun } from '../support/world.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const JSON_TYPE = { authorization: `Bearer ${STUDIO_KEY}`, 'content-type': 'application/json' }
const LONGEST_PATIENCE_MS = 300_000

/** Calls that a rolling restart has to let through at least. */
const CALLS = 100

/** What was seen of each proxy, for the file of the last runs. */
const seen = new Map<string, string[]>()

const folder = workFolder(t)
const proxies = await installProxies(folder)
const versions = new Map(await Promise.all(proxies.map(async ({ name, version }) => [name, await version()] as const)))

/** The environment of the replica on one of these addresses: it believes the proxy, and its ops port is its own. */
function placed ({ hosts, port, opsPort }: Pair, index: 0 | 1): Readonly<Record<string, string>> {
  return { HOST: hosts[index], PORT: String(port), OPS_PORT: String(opsPort), TRUST_PROXY: '127.0.0.0/8' }
}

async function both (deployment: Deployment, pair: Pair, env: Readonly<Record<string, string>> = {}): Promise<readonly [Replica, Replica]> {
  return await Promise.all([deployment.startReplica({ ...placed(pair, 0), ...env }), deployment.startReplica({ ...placed(pair, 1), ...env })])
}

async function ask (door: FrontDoor, body: object, { path = '/generate', headers = {} }: { readonly path?: string, readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Response> {
  return await door.fetch(path, { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) })
}

/** Reads an open stream until it has said this. */
async function readUntil (reader: AsyncIterator<Uint8Array>, words: string): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  while (!text.includes(words)) {
    const { done, value } = await reader.next()
    if (done === true) throw new Error(`ended after ${text}`)
    text += decoder.decode(value, { stream: true })
  }
  return text
}

function readerOf ({ body }: Response): AsyncIterator<Uint8Array> {
  if (body === null) throw new Error('the answer has no body')
  return body[Symbol.asyncIterator]()
}

/** The page of examples/page in Chromium, which reaches the gateway through the proxy. */
async function openExample (t: Test, { url, ca }: FrontDoor, port: number): Promise<Page> {
  const caFile = join(t.testdir({ 'ca.pem': ca }), 'ca.pem')
  const backend = start(t, [join(projectDir, 'examples/page/server.js')], { FALGATE_URL: url, FALGATE_KEY: STUDIO_KEY, PORT: String(port), NODE_EXTRA_CA_CERTS: caFile })
  const origin = `http://127.0.0.1:${port}/`
  await answering(backend, origin)
  const page = await (await openBrowser(t)).newPage({ ignoreHTTPSErrors: true })
  page.setDefaultTimeout(PAGE_TIMEOUT_MS)
  await page.goto(origin)
  return page
}

/** A part of what is promised of a proxy; its title goes into the file of the last runs. */
async function promise (t: Test, { name }: Proxy, short: string, title: string, body: (t: Test) => Promise<void>): Promise<void> {
  await t.test(title, { timeout: LONGEST_PATIENCE_MS }, async t => {
    await body(t)
    note(name, short, t.passing())
  })
}

function note (name: string, short: string, isKept: boolean): void {
  seen.set(name, [...seen.get(name) ?? [], isKept ? short : `FAILS: ${short}`])
}

for (const proxy of proxies) {
  await t.test(`behind ${proxy.name} ${versions.get(proxy.name)}`, { timeout: 900_000 }, async t => {
    const pair = await freePair()
    const pagePort = await freePort()
    const deployment = await deploy(t, { env: USUAL_LEASE, tenants: { tenants: [tenant('studio', { origins: [`http://127.0.0.1:${pagePort}`] })] } })
    const { sandbox } = deployment
    const replicas = await both(deployment, pair)
    const door = await proxy.start(t, pair)

    await promise(t, proxy, 'events at once', 'each event of a generation arrives when it happens', async t => {
      const release = sandbox.faults.holdJobs()
      t.teardown(release)
      const made = parseObject(await (await ask(door, { prompt: 'seen' }, { path: '/generations' })).text())
      const events = readerOf(await door.fetch(`/generations/${String(made['id'])}/events`, { headers: JSON_TYPE }))
      await readUntil(events, '"running"')
      const submitted = parseObject(await (await ask(door, { prompt: 'seen at fal\'s queue' }, { path: `/fal/queue/${MODEL}` })).text())
      const statuses = readerOf(await door.fetch(`${new URL(String(submitted['status_url'])).pathname}/stream`, { headers: JSON_TYPE }))
      await readUntil(statuses, 'IN_PROGRESS')
      release()
      await readUntil(events, '"succeeded"')
      await readUntil(statuses, 'COMPLETED')
    })

    await promise(t, proxy, 'a page with a token', 'a page of a listed origin draws with a token, and its visitor sees how far it is', async t => {
      const release = sandbox.faults.holdJobs()
      t.teardown(release)
      const page = await openExample(t, door, pagePort)
      await draw(page, 'A heron in the rain')
      await running(page)
      release()
      await seenPicture(page, 'A heron in the rain')
    })

    for (const [way, leaver] of Object.entries(leavers)) {
      await promise(t, proxy, `leaving by ${way}`, `a client that leaves by ${way} and asks again is given the picture that was bought`, async t => {
        const release = sandbox.faults.holdJobs()
        t.teardown(release)
        const before = sandbox.bill.accepted
        const requestId = randomUUID()
        const body = { prompt: `left by ${way}` }
        const leave = leaver(door, JSON.stringify(body), requestId)
        await sandbox.bill.untilAccepted(before + 1)
        leave()
        const again = ask(door, body)
        await until(() => replicas.some(({ log }) => log().split('\n').some(line => line.includes(requestId) && line.includes('"status":499'))), { what: 'a replica learns that the caller left' })
        release()
        const reply = await again
        await reply.text()
        t.equal(reply.status, 200)
        t.equal(sandbox.bill.accepted, before + 1, 'nothing more was bought')
      })
    }

    await promise(t, proxy, 'addresses', 'addresses are those at which the client reached the proxy, whatever it says itself', async t => {
      const forged = { 'x-forwarded-host': 'forged.example', 'x-forwarded-proto': 'gopher' }
      const submitted = parseObject(await (await ask(door, { prompt: 'addresses' }, { path: `/fal/queue/${MODEL}`, headers: forged })).text())
      for (const name of ['status_url', 'response_url', 'cancel_url']) t.ok(String(submitted[name]).startsWith(`${door.url}/fal/queue/`), `${name}: ${String(submitted[name])}`)
      const reply = await ask(door, { prompt: 'a picture', seed: 1 }, { path: '/generations' })
      await reply.text()
      t.match(reply.headers.get('location'), /^\/generations\//)
      t.ok([200, 202].includes((await door.fetch(new URL(String(submitted['status_url'])).pathname, { headers: JSON_TYPE })).status))
    })
  })
}

/** The replica with PUBLIC_URL is only one of two addresses; nobody is at the other one. */
for (const proxy of proxies) {
  await t.test(`behind ${proxy.name}, with one of two replicas`, { timeout: 900_000 }, async t => {
    const pair = await freePair()
    const deployment = await deploy(t)
    const { sandbox } = deployment
    const first = await deployment.startReplica({ ...placed(pair, 0), PUBLIC_URL: 'https://falgate.example' })
    const door = await proxy.start(t, pair)

    await promise(t, proxy, '`PUBLIC_URL`', 'with PUBLIC_URL addresses begin with it', async t => {
      for (let call = 0; call < 4; call++) {
        const reply = await ask(door, { prompt: 'a picture', seed: call }, { path: '/generations' })
        await reply.text()
        t.match(reply.headers.get('location'), /^https:\/\/falgate\.example\/generations\//, 'also when the other address was tried first')
      }
      await sandbox.bill.untilAccepted(4)
    })

    await promise(t, proxy, 'a replica killed under a caller', 'a replica dies under a caller: nothing is bought again, and the same request is given the picture', async t => {
      const release = sandbox.faults.holdJobs()
      t.teardown(release)
      const before = sandbox.bill.accepted
      const waiting = ask(door, { prompt: 'whose replica dies' }).then(async reply => {
        await reply.text()
        return reply.status
      }, () => null)
      // Killed before it had written down what was accepted, the outcome would rightly be unknown.
      await deployment.untilGeneration(({ phase }) => phase === 'running')
      first.child.kill('SIGKILL')
      t.not(await waiting, 200)
      await deployment.startReplica({ ...placed(pair, 1) })
      release()
      await until(async () => {
        const reply = await ask(door, { prompt: 'whose replica dies' }).catch(() => null)
        await reply?.text()
        return reply?.status === 200
      })
      t.equal(sandbox.bill.accepted, before + 1)
    })
  })
}

for (const proxy of proxies) {
  await t.test(`behind ${proxy.name}, what arrives`, { timeout: 900_000 }, async t => {
    const pair = await freePair()
    const standIns = await startStandIns(t, pair)
    const door = await proxy.start(t, pair)
    const post = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> => await ask(door, { prompt: 'x' }, { path, headers })

    await promise(t, proxy, 'a POST whose connection dies is not sent again', 'a POST reaches one replica once, when its connection dies and when it is refused', async t => {
      // Go's clients take a request with a key for one that may be repeated, and Envoy may be told by the request itself.
      for (const headers of [{}, { 'idempotency-key': randomUUID() }, { 'x-envoy-retry-on': '5xx,reset', 'x-envoy-max-retries': '3' }]) {
        for (const isReused of [false, true]) {
          if (isReused) for (let get = 0; get < 4; get++) await (await door.fetch('/')).text()
          const before = standIns.posts().length
          const status = await post('/cut', headers).then(async reply => {
            await reply.text()
            return reply.status
          }, () => null)
          t.ok(status === null || status >= 500, `answered with ${String(status)}`)
          t.same(standIns.posts().slice(before), ['/cut'])
        }
      }
    })

    await promise(t, proxy, '503 as it is', 'a 503 of falgate reaches the caller as it is, and nobody else is asked', async t => {
      const before = standIns.posts().length
      const reply = await post('/refuse')
      t.equal(await reply.text(), REFUSAL.body)
      t.match({ status: reply.status, type: reply.headers.get('content-type'), after: reply.headers.get('retry-after') }, { status: REFUSAL.status, type: 'application/problem+json', after: REFUSAL.retryAfter })
      t.same(standIns.posts().slice(before), ['/refuse'])
    })
  })
}

/** Time is what this is about, so it passes once, for all of them beside each other. */
await t.test('a minute passes', { timeout: 900_000 }, async t => {
  const pair = await freePair()
  const deployment = await deploy(t, { env: USUAL_LEASE })
  await both(deployment, pair)
  const { sandbox } = deployment
  const release = sandbox.faults.holdJobs()
  t.teardown(release)

  const scenes = await Promise.all(proxies.map(async proxy => {
    const idlePair = await freePair()
    const standIns = await startStandIns(t, idlePair)
    const idleDoor = await proxy.start(t, idlePair)
    for (let get = 0; get < 6; get++) await (await idleDoor.fetch('/kept')).text()
    const connections = standIns.kept().length
    t.ok(connections < 6, `${proxy.name} uses connections again: ${connections} for six requests`)
    return { proxy, standIns, idleDoor, door: await proxy.start(t, pair) }
  }))

  // The second asks three seconds later, and is given its picture when the first has waited as long as falgate lets anybody wait.
  const firsts = scenes.map(async ({ door, proxy }) => await ask(door, { prompt: `longer than anybody waits, behind ${proxy.name}` }))
  await setTimeout(3000)
  const askedMs = performance.now()
  const seconds = scenes.map(async ({ door, proxy }) => await ask(door, { prompt: `nearly as long, behind ${proxy.name}` }))
  const stillRunning = await Promise.all(firsts)
  const waitedMs = performance.now() - askedMs
  release()
  const pictures = await Promise.all(seconds)
  t.ok(waitedMs > 50_000, `callers waited for ${Math.round(waitedMs / 1000)} s`)

  await Promise.all(scenes.map(async ({ proxy: { name }, standIns, idleDoor }, index) => {
    const problem = await stillRunning[index]?.text()
    await pictures[index]?.text()
    const isPatient = t.equal(stillRunning[index]?.status, 504, `${name} passes on that falgate lets nobody wait longer`) &&
      t.match(problem, 'still-running', `${name} passes on why`) && t.equal(pictures[index]?.status, 200, `${name} passes on a picture after ${Math.round(waitedMs / 1000)} s`)
    const ended = await standIns.untilEnded()
    // HAProxy has no such time, and notices an idle connection that falgate has closed.
    const isFirst = name.startsWith('HAProxy') || t.same(ended.filter(by => by === 'server'), [], `${name} closes idle connections before falgate does`)
    const after = await idleDoor.fetch('/', { method: 'POST', body: '{}' })
    await after.text()
    t.equal(after.status, 200, `${name}: the next request is whole`)
    note(name, 'over 50 s of waiting', isPatient)
    note(name, name.startsWith('HAProxy') ? 'whole requests after idle connections ended' : 'idle connections end in time', isFirst && after.status === 200)
  }))
})

// nginx does not ask for health.
for (const proxy of proxies.filter(({ name }) => name !== 'nginx')) {
  await t.test(`behind ${proxy.name}, both replicas are replaced`, { timeout: 900_000 }, async t => {
    await promise(t, proxy, `0 of more than ${CALLS} calls fail in a rolling restart`, 'a rolling restart under load fails no call', async t => {
      const pair = await freePair()
      // Five seconds by default.
      const deployment = await deploy(t, { env: { ...USUAL_LEASE, DRAIN_DELAY_SECONDS: '' }, sandbox: { runMs: 100 } })
      const { sandbox } = deployment
      const replicas = [...await both(deployment, pair)]
      const door = await proxy.start(t, pair)
      const failures: string[] = []
      const over = new AbortController()
      let answered = 0
      const before = sandbox.bill.accepted

      async function caller (number: number): Promise<void> {
        for (let n = 0; !over.signal.aborted; n++) {
          const outcome = await ask(door, { prompt: 'load', seed: number * 100_000 + n }).then(async reply => `${reply.status} ${await reply.text()}`, (error: unknown) => String(error))
          answered++
          if (!outcome.startsWith('200 ')) failures.push(outcome.slice(0, 300))
        }
      }

      const served = (replica: Replica): boolean => replica.log().split('\n').some(line => line.includes('"msg":"request"') && line.includes('"status":200'))
      const callers = Promise.all(Array.from({ length: 4 }, async (_, number) => { await caller(number) }))
      await until(() => replicas.every(served))
      for (const index of [0, 1] as const) {
        replicas[index]?.child.kill('SIGTERM')
        t.match(await replicas[index]?.ended, { code: 0, stderr: '' })
        const fresh = await deployment.startReplica(placed(pair, index))
        replicas[index] = fresh
        await until(() => served(fresh), { what: 'the new replica is given requests' })
      }
      await until(() => answered >= CALLS)
      over.abort()
      await callers
      t.same(failures, [], `of ${answered} calls`)
      t.equal(sandbox.bill.accepted - before, answered, 'each was bought once')
    })
  })
}

writeLastRun('proxies', proxies.map(({ name }) => [name, versions.get(name) ?? '', (seen.get(name) ?? []).join('; ')] as const))
