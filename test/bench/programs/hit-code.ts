// What the code of a hit costs, without sockets: gateways of several builds in this one process, asked by turns, in batches so short that a machine which is busy with
// other things leaves some of them alone. Their log is this process' output. node hit-code.js <file for the answer> <seconds> <folder of a build> <folder> …

import { subscribe } from 'node:diagnostics_channel'
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { startApp } from '../../../src/app.ts'
import type { parseConfig } from '../../../src/config.ts'
import type { builtInModels } from '../../../src/models/built-in.ts'
import type { parseTenants } from '../../../src/tenants/book.ts'
import { bearer, sameInput, secretOf, tenantId } from '../requests.ts'

/** Requests that are under way at once, each on a connection of its own. */
const CONNECTIONS = 32

/** Requests of one batch: two or three milliseconds. */
const BATCH = 3 * CONNECTIONS

/** Batches in which the code is still being compiled. */
const WARM_BATCHES = 100

/** A connection that takes everything at once. */
class Sink extends Socket {
  override _write (_chunk: unknown, _encoding: BufferEncoding, done: () => void): void { done() }
  override _writev (_chunks: readonly unknown[], done: () => void): void { done() }
}

interface Contestant { readonly server: Server, readonly sockets: readonly Sink[], readonly tookUs: number[] }

const [file = '', seconds = '', ...folders] = process.argv.slice(2)
const body = Buffer.from(sameInput)
const headers = { host: '127.0.0.1', ...bearer(tenantId(0)), 'content-type': 'application/json', 'content-length': String(body.length) }
const rawHeaders = Object.entries(headers).flat()

/** The server that answered last. */
let answered: unknown
subscribe('http.server.request.start', message => { answered = Reflect.get(Object(message), 'server') })

async function start (folder: string): Promise<Contestant> {
  const from = async (name: string) => await import(pathToFileURL(join(folder, 'build/src', name)).href)
  const app: { readonly startApp: typeof startApp } = await from('app.js')
  const config: { readonly parseConfig: typeof parseConfig } = await from('config.js')
  const models: { readonly builtInModels: typeof builtInModels } = await from('models/built-in.js')
  const tenants: { readonly parseTenants: typeof parseTenants } = await from('tenants/book.js')
  const id = tenantId(0)
  const read = config.parseConfig({ PORT: '0', LOG_LEVEL: 'info' })
  const book = tenants.parseTenants(JSON.stringify({ tenants: [{ id, keys: [{ id, sha256: hash('sha256', secretOf(id)) }], callLimit: { max: 1_000_000, windowSeconds: 1 } }] }), { models: models.builtInModels })
  if (!read.ok || !book.ok) throw new Error(`the build in ${folder} cannot be started in this way`)
  const { url } = await app.startApp({ config: read.config, models: models.builtInModels, tenants: book.book, falKeys: null, redisUrl: null, version: 'bench' })
  // The first one buys, and tells the server.
  for (let time = 0; time < 2; time++) {
    const response = await fetch(`${url}/generate`, { method: 'POST', headers: { ...bearer(id), 'content-type': 'application/json' }, body: sameInput })
    if (!response.ok) throw new Error(`answered ${response.status}`)
    await response.text()
  }
  if (!(answered instanceof Server)) throw new Error('no server answered')
  return { server: answered, sockets: Array.from({ length: CONNECTIONS }, () => new Sink()), tookUs: [] }
}

async function ask (server: Server, socket: Sink): Promise<void> {
  const request = Object.assign(new IncomingMessage(socket), { httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1, method: 'POST', url: '/generate', headers: { ...headers }, rawHeaders })
  const response = new ServerResponse(request)
  response.assignSocket(socket)
  const finished = new Promise(resolve => { response.once('finish', resolve) })
  server.emit('request', request, response)
  request.push(body)
  request.push(null)
  request.complete = true
  await finished
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`)
  // As Node's own server does at this point.
  response.detachSocket(socket)
  response.emit('close')
}

async function batch ({ server, sockets, tookUs }: Contestant): Promise<void> {
  const startMs = performance.now()
  for (let asked = 0; asked < BATCH; asked += CONNECTIONS) await Promise.all(sockets.map(async socket => { await ask(server, socket) }))
  tookUs.push((performance.now() - startMs) * 1000 / BATCH)
}

const contestants: Contestant[] = []
for (const folder of folders) contestants.push(await start(folder))
const endMs = performance.now() + Number(seconds) * 1000
for (let turn = 0; turn < WARM_BATCHES + 10 || performance.now() < endMs; turn++) {
  for (const contestant of turn % 2 === 0 ? contestants : contestants.toReversed()) await batch(contestant)
}
writeFileSync(file, JSON.stringify(contestants.map(({ tookUs }) => tookUs.slice(WARM_BATCHES))))
process.exit(0)
